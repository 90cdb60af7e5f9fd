"""What a study asks for: frozen, validated specifications, read from TOML and hashed into fingerprints.

Everything that changes a result is a field here, and nothing else is: devices, folders and progress bars are arguments of the run. Unknown keys are
refused, because a mistyped `epsilon = …` that is silently ignored costs hours and is never noticed.
"""

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from palpate.core.epsilon import READINGS, rising
from palpate.core.errors import InputError
from palpate.core.spec import Epsilon, Name, Spec
from palpate.training.spec import TrainSpec

Reading = Literal["A", "B", "C"]


class TaskSpec(Spec):
    """A task of the study: which images, at which size, how many of them."""

    name: Name
    size: int = Field(224, ge=28, le=1024, description="images are resized to size × size pixels")
    split_seed: int = Field(0, ge=0)
    train_images: int | None = Field(None, ge=2, description="at most so many training images; all when absent")
    val_images: int | None = Field(None, ge=1)
    test_images: int | None = Field(None, ge=1)
    filter: str | None = Field(None, description="a registered image filter; the task's own, if any, when absent")
    filter_at: Literal["before", "after"] = Field(
        "after", description="whether the filter runs before or after the resize"
    )
    epsilons: tuple[Epsilon, ...] | None = Field(None, description="instead of the study's epsilons")
    epsilon_reading: Reading | None = Field(None, description="instead of the study's reading")
    training: TrainSpec | None = Field(None, description="instead of the study's training")


class ModelSpec(Spec):
    """A classifier of the study, named by what it is made of."""

    backbone: str
    attention: Literal["full", "released"] | None = None
    gamma: Literal["fixed", "learned"] | None = None
    weights: str | None = Field(None, description='"imagenet", a safetensors file, or nothing for random weights')
    output_stride: Literal[8, 16, 32] = 32

    @field_validator("attention", mode="before")
    @classmethod
    def _none_is_a_word(cls, value: Any) -> Any:
        return None if value in ("none", False) else "full" if value is True else value

    @property
    def name(self) -> str:
        """The name used in tables and figures.

        >>> ModelSpec(backbone="resnet18", attention="full").name
        'resnet18+full'
        """
        name = self.backbone + (f"+{self.attention}" if self.attention else "")
        return name + (f"+gamma-{self.gamma}" if self.gamma else "")


class AttackSpec(Spec):
    """An attack of the study, over all its epsilons."""

    method: Literal["sweep", "foolbox"] = "sweep"
    strength: Literal["fast", "standard", "ensemble"] = Field("standard", description="of the sweep")
    steps: int = Field(40, ge=1, description="of Foolbox's LinfPGD; the step is always epsilon / 30")
    images: int | None = Field(None, ge=1, description="at most so many test images; all when absent")
    batch_size: int | None = Field(
        None,
        ge=1,
        description="images per pass; chosen by their size when absent, 64 for Foolbox, whose draws depend on it",
    )
    levels: Literal[256] | None = Field(
        None, description="256: the sweep gives only images that an 8-bit file can hold"
    )
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _levels_of_a_sweep(self) -> "AttackSpec":
        if self.levels and self.method == "foolbox":
            raise ValueError("levels go with method 'sweep' only, given 'foolbox'; leave levels out")
        return self

    @property
    def name(self) -> str:
        """The name used in tables: "sweep-standard", "sweep-standard-8bit" or "foolbox-40"."""
        if self.method == "foolbox":
            return f"foolbox-{self.steps}"
        return f"sweep-{self.strength}" + ("-8bit" if self.levels else "")


class ExplainSpec(Spec):
    """What Grad-CAM looks at."""

    images: int = Field(16, ge=1, le=64, description="sample images per model, attacked at every epsilon")
    layer: Literal["x", "u"] = Field("x", description="x: the backbone's last map, in both models; u: after attention")


class TrustSpec(Spec):
    """How much is spent on checking whether the attack can be believed."""

    images: int = Field(64, ge=1, le=64, description="test images that the checks look at")
    budget: int | None = Field(
        None, ge=0, description="passes, forward and backward together; what does not fit is reported as not run"
    )


class Study(Spec):
    """Tasks × models × seeds, each trained, attacked and explained."""

    name: Name
    title: str | None = None
    tasks: tuple[TaskSpec, ...] = Field(min_length=1)
    models: tuple[ModelSpec, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    epsilons: tuple[Epsilon, ...] = Field(min_length=1, description="l-infinity radii in [0, 1]")
    epsilon_reading: Reading = Field("A", description="the unit in which a repeated paper states its epsilons")
    training: TrainSpec = TrainSpec()  # pyright: ignore[reportCallIssue]
    attacks: tuple[AttackSpec, ...] = Field((AttackSpec(),), min_length=1)  # pyright: ignore[reportCallIssue]
    explain: ExplainSpec = ExplainSpec()  # pyright: ignore[reportCallIssue]
    trust: TrustSpec = TrustSpec()  # pyright: ignore[reportCallIssue]

    @field_validator("epsilons")
    @classmethod
    def _rising(cls, epsilons: tuple[float, ...]) -> tuple[float, ...]:
        return rising(epsilons)

    @model_validator(mode="after")
    def _no_twins(self) -> "Study":
        for kind, names in {
            "tasks": [task.name for task in self.tasks],
            "models": [model.name for model in self.models],
            "seeds": [str(seed) for seed in self.seeds],
            "attacks": [f"{attack.name} seed {attack.seed}" for attack in self.attacks],
        }.items():
            twins = sorted({name for name in names if names.count(name) > 1})
            if twins:
                raise ValueError(f"{kind} must differ in name, given twice: {', '.join(twins)}")
        return self

    def epsilons_of(self, task: TaskSpec) -> tuple[float, ...]:
        """The task's own epsilons, or the study's, in [0, 1] by the reading that holds for the task."""
        scale = READINGS[self.reading_of(task)]
        return tuple(epsilon * scale for epsilon in (rising(task.epsilons) if task.epsilons else self.epsilons))

    def reading_of(self, task: TaskSpec) -> str:
        """The task's own reading of epsilon, or the study's."""
        return task.epsilon_reading or self.epsilon_reading

    def training_of(self, task: TaskSpec) -> TrainSpec:
        """The task's own training, or the study's."""
        return task.training or self.training


def read_study(path: Path) -> Study:
    """Read a study from a TOML file.

    Raises:
        InputError: the file is absent or not TOML, a key is unknown or a value not allowed; every fault is listed with its place in the file.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror or error}); `palpate init` writes a starter study"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is not valid TOML: {error}") from None
    return make_study(data, str(path))


def make_study(data: dict[str, Any], source: str) -> Study:
    """Validate a study given as a dictionary; `source` names it in errors.

    Raises:
        InputError: as `read_study`.
    """
    return Study.read(data, source)
