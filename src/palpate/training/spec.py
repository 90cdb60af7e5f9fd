"""How a classifier is trained: the recipe as a specification."""

from typing import Any, Literal

from pydantic import Field, model_validator

from palpate.core.registry import RECIPES
from palpate.core.spec import Epsilon, Name, Spec


class AdversarialSpec(Spec):
    """Madry's adversarial training: each batch is replaced by its l-infinity PGD image (arXiv 1706.06083, section 5)."""

    epsilon: Epsilon = 8 / 255
    """radius of the training attack, in [0, 1]"""
    steps: int = Field(7, ge=1)
    """PGD steps per batch"""


class TrainSpec(Spec):
    """How a classifier is trained; `preset = NAME` takes the settings registered under that name.

    The defaults are the recipe of arXiv 2210.14405, which gives no batch size; 16 is that of its reference code.
    """

    name: Name = "default"
    """a short name that tells two recipes apart in tables"""
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: float = Field(0.01, gt=0)
    adam_epsilon: float = Field(0.1, gt=0)
    """1e-8 is the usual value, .1 that of arXiv 2210.14405"""
    weight_decay: float = Field(0.0, ge=0)
    schedule: Literal["constant", "one-cycle"] = "constant"
    batch_size: int = Field(16, ge=1)
    epochs: int = Field(300, ge=0)
    """at most; 0 keeps the weights as the model's file gives them"""
    patience: int = Field(40, ge=1)
    """epochs without improvement before training stops"""
    min_delta: float = Field(0.001, ge=0)
    monitor: Literal["val_loss", "val_balanced_accuracy"] = "val_loss"
    keep: Literal["best", "last"] = "best"
    """the epoch of best validation, or the weights at the end"""
    batch_norm: Literal["running", "recalibrated"] = "running"
    """recalibrated: its statistics are computed again at the end, for trainings too short for its slow averages"""
    class_weights: Literal["inverse", "sqrt-inverse", "none"] | dict[str, float] = "inverse"
    """weights in the loss; or by class name, such as { mel = 5 }, the others 1"""
    sampling: Literal["uniform", "sqrt-inverse"] = "uniform"
    """how an epoch's images are drawn"""
    epoch_fraction: float = Field(1.0, gt=0, le=1)
    """share of the training images seen in an epoch"""
    augment: Literal["none", "flips"] = "none"
    """flips: flips and transposes at random"""
    adversarial: AdversarialSpec | None = None
    precision: Literal["bf16-mixed"] | None = None
    """bf16-mixed: passes of the training in bfloat16, weights and validation in float32"""

    @model_validator(mode="before")
    @classmethod
    def _from_preset(cls, values: Any) -> Any:
        """`preset = NAME`: the settings registered under that name, below those that are given beside it."""
        if not isinstance(values, dict) or "preset" not in values:
            return values
        name = values["preset"]
        return {"name": name} | RECIPES[str(name)] | {key: value for key, value in values.items() if key != "preset"}
