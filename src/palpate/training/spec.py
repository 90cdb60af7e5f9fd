"""How a classifier is trained: the recipe as a specification."""

from typing import Any, Literal

from pydantic import Field, model_validator

from palpate.core.spec import Epsilon, Name, Spec


class AdversarialSpec(Spec):
    """Madry's adversarial training: each batch is replaced by its l-infinity PGD image (arXiv 1706.06083, section 5)."""

    epsilon: Epsilon = Field(8 / 255, description="radius of the training attack, in [0, 1]")
    steps: int = Field(7, ge=1, description="PGD steps per batch")


class TrainSpec(Spec):
    """How a classifier is trained. The defaults are the recipe of arXiv 2210.14405; the batch size is the reference code's."""

    name: Name = Field("paper", description="a short name that tells two recipes apart in tables")
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: float = Field(0.01, gt=0)
    adam_epsilon: float = Field(0.1, gt=0, description="the paper's .1 is part of its recipe; 1e-8 is the usual value")
    weight_decay: float = Field(0.0, ge=0)
    schedule: Literal["constant", "one-cycle"] = "constant"
    batch_size: int = Field(16, ge=1)
    epochs: int = Field(300, ge=0, description="at most; 0 keeps the weights as the model's file gives them")
    patience: int = Field(40, ge=1, description="epochs without improvement before training stops")
    min_delta: float = Field(0.001, ge=0)
    monitor: Literal["val_loss", "val_balanced_accuracy"] = "val_loss"
    keep: Literal["best", "last"] = Field("best", description="the epoch of best validation, or the weights at the end")
    batch_norm: Literal["running", "afresh"] = Field(
        "running",
        description="afresh: its statistics are taken again at the end, for trainings too short for its slow averages",
    )
    class_weights: Literal["inverse", "sqrt-inverse", "none"] | dict[str, float] = Field(
        "inverse", description="weights in the loss; or by class name, such as { mel = 5 }, the others 1"
    )
    sampling: Literal["uniform", "sqrt-inverse"] = Field("uniform", description="how an epoch's images are drawn")
    epoch_fraction: float = Field(1.0, gt=0, le=1, description="share of the training images seen in an epoch")
    augment: Literal["none", "flips"] = Field("none", description="flips: flips and transposes at random")
    adversarial: AdversarialSpec | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_preset(cls, values: Any) -> Any:
        """A recipe by name: its settings, under those that are given beside it."""
        if not isinstance(values, dict) or "preset" not in values:
            return values
        name = values["preset"]
        if name not in PRESETS:
            raise ValueError(f"preset must be one of {', '.join(PRESETS)}, given {name!r}")
        return {"name": name} | PRESETS[name] | {key: value for key, value in values.items() if key != "preset"}


PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "paper-skin": {"epoch_fraction": 0.1},
    "reference": {"class_weights": {"mel": 5.0}},
}
"""Recipes by name. paper: arXiv 2210.14405. paper-skin: the same with 10 % of the images in an epoch, as the paper has it for skin lesions.
reference: the public code of arXiv 2105.03358, which weighs melanoma five-fold; it also chose its epoch on the test set, which palpate never does."""
