"""What a study asks for: frozen, validated specifications, read from TOML and hashed into fingerprints.

Everything that changes a result is a field here, and nothing else is: devices, folders and progress bars are arguments of the run. Unknown keys are
refused, because a mistyped `epsilon = …` that is silently ignored costs hours and is never noticed.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_serializer, model_validator

from palpate.attacks.spec import Attack, make_attack
from palpate.core.epsilon import Scale, epsilon_grid, in_unit
from palpate.core.errors import InputError
from palpate.core.registry import EXPLAINERS
from palpate.core.spec import Name, Spec, SpecError
from palpate.data.options import ImageSettings
from palpate.data.table import Columns
from palpate.training.spec import TrainSpec


def _radii(values: Any) -> Any:
    """Epsilons as shares of the image range, rising; where one is in a unit, such as "8 HU", as they are written, until the images are known."""
    return tuple(values) if isinstance(values, list | tuple) and any(map(in_unit, values)) else epsilon_grid(values)


Epsilons = Annotated[tuple[float | str, ...], BeforeValidator(_radii)]

FIRST_VERSION = {
    "method": 'was dropped after version 0.1; write attack = "standard" or attack = "foolbox-pgd"',
    "chest_filter": 'was dropped after version 0.1; write filter = NAME and filter_at = "before" or "after"',
    "chest_dtype": "was dropped after version 0.1; write filter = NAME",
}
"""How keys of the first version's studies are written now."""


OWN = ("finding", "classes", "channels", "value_range", "unit", "fractions", "stratify", "test_only", "deduplicate")
"""Settings of a task that are for images of one's own."""


class _Part(Spec):
    """The base of the parts of a study: a key of the first version is told how it is written now."""

    @classmethod
    def unknown_key(cls, key: str) -> str:
        if key.startswith("epsilon_"):
            return 'was dropped after version 0.1; write epsilons as shares of the image range, such as "2/255", "0.01/255" or "0.00125/2"'
        return FIRST_VERSION.get(key) or super().unknown_key(key)


class TaskSpec(_Part, ImageSettings):
    """A task of the study: which images, at which size, how many of them; registered by its name, or images of one's own."""

    name: Name
    folder: str | None = Field(None, description="own images: of class folders")
    table: str | None = Field(None, description="own images: CSV, TSV or parquet, a row for each")
    images: str | None = Field(None, description="of the table: the folder that holds all images; its own when absent")
    columns: Columns | None = Field(None, description="of the table: which holds what; all others are metadata")
    group: str | None = Field(None, description="of the folder: a regular expression that finds the patient in a path")
    size: int = Field(224, ge=28, le=1024, description="images are resized to size × size pixels")
    split_seed: int = Field(0, ge=0)
    train_images: int | None = Field(None, ge=2, description="at most so many training images; all when absent")
    epsilons: Epsilons | None = Field(None, description="instead of the study's epsilons")
    training: TrainSpec | None = Field(None, description="instead of the study's training")

    @model_validator(mode="after")
    def _settings_fit(self) -> "TaskSpec":
        if self.folder is not None and self.table is not None:
            raise ValueError("folder and table are both given; give the one that says what the images are")
        needs = {"images": "table", "columns": "table", "group": "folder"} | dict.fromkeys(OWN, "folder or table")
        for key, need in needs.items():
            given = getattr(self, key) != type(self).model_fields[key].default
            if given and not (self.own if key in OWN else getattr(self, need) is not None):
                raise ValueError(f"{key} is given without a {need}; give that too, or leave {key} out")
        return self

    @property
    def own(self) -> bool:
        """Whether these are images of one's own."""
        return self.folder is not None or self.table is not None


class ModelSpec(_Part):
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


class AttackSpec(_Part):
    """An attack of the study, over all its epsilons: `attack`, a registered name, with that attack's settings beside it, and `images`.

    >>> AttackSpec(attack="standard", norm="l2", images=64).attack.name
    'standard-l2'
    """

    attack: Attack
    images: int | None = Field(None, ge=1, description="at most so many test images; all when absent")

    @model_validator(mode="before")
    @classmethod
    def _with_its_settings(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return {"attack": make_attack(value)}
        if "method" in value:
            raise SpecError(cls.__name__, [(("method",), cls.unknown_key("method"))])
        settings = {key: setting for key, setting in value.items() if key != "images"}
        attack = settings["attack"] if isinstance(settings.get("attack"), Attack) else make_attack(settings)
        return {"attack": attack, **{key: value[key] for key in value if key == "images"}}

    @model_serializer
    def _flat(self) -> dict[str, Any]:
        return self.attack.to_dict() | ({} if self.images is None else {"images": self.images})


class ExplainSpec(_Part):
    """Which maps of what a model looks at are made."""

    method: str = Field("grad-cam", description="a registered explainer")
    layer: Literal["backbone", "attention"] | None = Field(
        None, description="of the method: the backbone's last map, the default, or the map after soft attention"
    )
    images: int = Field(16, ge=1, le=64, description="sample images per model, attacked at every epsilon")

    @field_validator("method")
    @classmethod
    def _method_is_known(cls, method: str) -> str:
        EXPLAINERS[method]  # raises where it is unknown
        return method


class TrustSpec(_Part):
    """How much is spent on checking whether the attack can be trusted."""

    images: int = Field(64, ge=1, le=64, description="test images that the checks look at")
    budget: int | None = Field(
        None, ge=0, description="passes, forward and backward together; what does not fit is reported as not run"
    )


class Study(_Part):
    """Tasks × models × seeds, each trained, attacked and explained."""

    name: Name
    title: str | None = None
    tasks: tuple[TaskSpec, ...] = Field(min_length=1)
    models: tuple[ModelSpec, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    epsilons: Epsilons | None = Field(None, description="radii of the attacks; absent where every task has its own")
    training: TrainSpec = TrainSpec()  # pyright: ignore[reportCallIssue]
    attacks: tuple[AttackSpec, ...] = Field(("standard",), min_length=1, validate_default=True)  # pyright: ignore[reportAssignmentType]
    explain: ExplainSpec = ExplainSpec()  # pyright: ignore[reportCallIssue]
    trust: TrustSpec = TrustSpec()  # pyright: ignore[reportCallIssue]

    @model_validator(mode="after")
    def _whole(self) -> "Study":
        for kind, names in {
            "tasks": [task.name for task in self.tasks],
            "models": [model.name for model in self.models],
            "seeds": [str(seed) for seed in self.seeds],
            "attacks": [attack.attack.name for attack in self.attacks],
        }.items():
            twins = sorted({name for name in names if names.count(name) > 1})
            if twins:
                raise ValueError(f"{kind} must differ in name, given twice: {', '.join(twins)}")
        without = [task.name for task in self.tasks if task.epsilons is None]
        if self.epsilons is None and without:
            raise ValueError(
                f'epsilons is required, such as ["1/255", "2/255"], because no epsilons are given for {", ".join(without)}'
            )
        return self

    def epsilons_of(self, task: TaskSpec, scale: Scale | None = None) -> tuple[float, ...]:
        """The task's own epsilons, or the study's, in [0, 1], rising; those in a unit need the scale of the task's images.

        Raises:
            InputError: a unit that is not that of the images.
        """
        return epsilon_grid(task.epsilons or self.epsilons or (), scale=scale)

    def training_of(self, task: TaskSpec) -> TrainSpec:
        """The task's own training, or the study's."""
        return task.training or self.training


def read_study(path: Path | str) -> Study:
    """Read a study from a TOML file.

    Raises:
        InputError: the file is absent or not TOML, a key is unknown or a value not allowed; every fault is listed with its place in the file.
    """
    try:
        data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror or error}); `palpate init` writes a starter study"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is not valid TOML: {error}") from None
    return Study.read(data, str(path))
