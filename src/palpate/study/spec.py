"""What a study asks for: frozen, validated specifications, read from TOML and hashed into fingerprints.

Everything that changes a result is a field here, and nothing else is: devices, folders and progress bars are arguments of the run. Unknown keys are
refused, because a mistyped `epsilon = …` that is silently ignored costs hours and is never noticed.
"""

from pathlib import Path
from typing import Any

from pydantic import Field, ValidationInfo, field_validator, model_validator

from palpate.core.epsilon import Scale, epsilon_grid
from palpate.core.errors import InputError
from palpate.core.io import read_toml
from palpate.core.registry import EXPLAINERS
from palpate.core.spec import Name, SpecError
from palpate.data.options import ImageSettings
from palpate.data.table import Columns
from palpate.models.networks import code_hash
from palpate.study.attacks import AttackSpec, CorruptionSpec, Epsilons, fit
from palpate.study.network import ModelSpec
from palpate.study.part import Part
from palpate.training.spec import TrainSpec

SOURCES = ("folder", "table", "arrays")
"""Keys of a task of which one says where own images are."""

ATTENTION = "soft-attention"
LAYERLESS = (ATTENTION, "integrated-gradients")
"""Explainers that are not of a layer to be chosen."""

OWN = ("finding", "classes", "channels", "value_range", "unit", "fractions", "stratify", "test_only", "deduplicate")
"""Settings of a task that are for images of one's own."""


class TaskSpec(Part, ImageSettings):
    """A task of the study: which images, at which size, how many of them; registered by its name, or images of one's own."""

    name: Name
    folder: str | None = None
    """own images: of class folders"""
    table: str | None = None
    """own images: CSV, TSV or parquet, a row for each"""
    images: str | None = None
    """of the table: the folder that holds all images; its own when absent"""
    arrays: str | None = None
    """own images: an npz file with `images` and `labels`"""
    columns: Columns | None = None
    """of the table: which holds what; all others are metadata"""
    group: str | None = None
    """of the folder: a regular expression that finds the patient in a path"""
    size: int = Field(224, ge=28, le=1024)
    """images are resized to size × size pixels"""
    split_seed: int = Field(0, ge=0)
    train_images: int | None = Field(None, ge=2)
    """at most so many training images; all when absent"""
    disease: tuple[str, ...] | None = None
    """classes that count as disease; the second of two when absent"""
    subgroups: tuple[str, ...] | None = None
    """columns of the metadata; those of 2 to 12 values or bands of numbers when absent"""
    epsilons: Epsilons | None = None
    """instead of the study's epsilons"""
    training: TrainSpec | None = None
    """instead of the study's training"""

    @model_validator(mode="after")
    def _settings_fit(self) -> "TaskSpec":
        given = [key for key in SOURCES if getattr(self, key) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are both given; give the one that says what the images are")
        needs = {"images": ("table",), "columns": ("table", "arrays"), "group": ("folder",)}
        for key, need in (needs | dict.fromkeys(OWN, SOURCES)).items():
            stated = getattr(self, key) != type(self).model_fields[key].default
            if stated and all(getattr(self, source) is None for source in need):
                raise ValueError(f"{key} is given without a {' or '.join(need)}; give that too, or leave {key} out")
        return self

    @property
    def own(self) -> bool:
        """Whether these are images of one's own."""
        return any(getattr(self, key) is not None for key in SOURCES)

    @property
    def findings(self) -> tuple[str, ...]:
        """Of own images with several findings, the columns that hold them, where it does not name one of them."""
        several = self.columns.findings if self.columns is not None else ()
        return several if len(several) > 1 and self.finding == type(self).model_fields["finding"].default else ()


class ExplainSpec(Part):
    """Which maps of what a model looks at are made."""

    method: tuple[str, ...] = ()
    """registered explainers, shown side by side; Grad-CAM when absent, or integrated gradients of a network that has no map for it"""
    layer: str | None = None
    """of Grad-CAM: "backbone", the default; "attention", the map after soft attention; or a module"""
    reshape: str | None = Field(None, pattern=r"^[\w.]+:[\w.]+$")
    """of the layer: MODULE:FUNCTION, which makes a map (N, C, h, w) of its output"""
    images: int = Field(16, ge=1, le=10_000)
    """sample images per model, attacked at every epsilon"""

    @field_validator("method", mode="before")
    @classmethod
    def _one_or_several(cls, method: Any) -> Any:
        return (method,) if isinstance(method, str) else method

    @field_validator("method")
    @classmethod
    def _methods_are_known(cls, method: tuple[str, ...]) -> tuple[str, ...]:
        for name in method:
            EXPLAINERS[name]  # raises where it is unknown
        return tuple(dict.fromkeys(method))

    @model_validator(mode="after")
    def _layer_is_used(self) -> "ExplainSpec":
        if self.method and set(self.method).issubset(LAYERLESS) and (self.layer or self.reshape):
            raise ValueError(f"{' and '.join(self.method)} look at no layer; leave layer and reshape out")
        return self


class TrustSpec(Part):
    """How much is spent on checking whether the attack can be trusted."""

    images: int = Field(64, ge=1, le=64)
    """test images that the checks look at"""
    budget: int | None = Field(None, ge=0)
    """passes, forward and backward together; what does not fit is reported as not run"""
    expect: float | None = Field(None, ge=0, le=1)
    """clean accuracy that was measured elsewhere on such images, of all models"""


class Study(Part):
    """Tasks × models × seeds, each trained, attacked and explained."""

    name: Name
    title: str | None = None
    attacks: tuple[AttackSpec, ...] = Field(("standard",), min_length=1, validate_default=True)  # pyright: ignore[reportAssignmentType]
    tasks: tuple[TaskSpec, ...] = Field(min_length=1)
    models: tuple[ModelSpec, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    epsilons: Epsilons | None = None
    """radii of the attacks; absent where every task has its own"""
    training: TrainSpec = TrainSpec()  # pyright: ignore[reportCallIssue]
    corruptions: tuple[CorruptionSpec, ...] = ()
    """names, or tables with settings; none when absent"""
    explain: ExplainSpec = ExplainSpec()  # pyright: ignore[reportCallIssue]
    trust: TrustSpec = TrustSpec()  # pyright: ignore[reportCallIssue]

    @field_validator("tasks", "epsilons")
    @classmethod
    def _epsilons_are_of_the_norms(cls, value: Any, info: ValidationInfo) -> Any:
        """The fields are read in order, so the attacks are known here, unless they are faulty themselves."""
        norms = [attack.attack.norm for attack in info.data.get("attacks", ()) if attack.epsilons is None]
        tasks = enumerate(value) if info.field_name == "tasks" else ()
        grids = [((place, "epsilons"), task.epsilons) for place, task in tasks] or [((), value)]
        for norm in norms:
            for place, grid in grids:
                try:
                    fit(grid, norm)
                except InputError as error:
                    raise SpecError(cls.__name__, [(place, str(error))]) from None
        return value

    @model_validator(mode="after")
    def _whole(self) -> "Study":
        for kind in ("tasks", "models", "seeds", "attacks", "corruptions"):
            names = [str(getattr(each, "name", each)) for each in getattr(self, kind)]  # a seed is its own name
            twins = sorted({name for name in names if names.count(name) > 1})
            if twins:
                raise ValueError(f"{kind} must differ in name, given twice: {', '.join(twins)}")
        for corruption in self.corruptions:
            for task in self.tasks:
                corruption.grid(task.size)  # raises where a severity is out of range
        for attack in self.attacks:
            if attack.attack.norm == "px" and attack.epsilons is None:
                fault = "sides of the patch in pixels, such as [4, 8, 16]"
                raise ValueError(f"epsilons is required for {attack.name}: {fault}")
        without = [task.name for task in self.tasks if task.epsilons is None]
        if self.epsilons is None and without and any(attack.epsilons is None for attack in self.attacks):
            fault = 'epsilons is required, such as ["1/255", "2/255"]'
            raise ValueError(f"{fault}, because no epsilons are given for {', '.join(without)}")
        return self

    def task_of(self, name: str) -> TaskSpec:
        """The task of a name, or that which a finding of that name belongs to (`palpate.study.plan.finding_task`)."""
        tasks = [task for task in self.tasks if name == task.name or name.startswith(f"{task.name}.")]
        return max(tasks, key=lambda task: len(task.name))

    def epsilons_of(
        self, task: TaskSpec, scale: Scale | None = None, attack: AttackSpec | None = None
    ) -> tuple[float, ...]:
        """The attack's own epsilons, or the task's, or the study's, rising; those in a unit need the scale of the task's images.

        Raises:
            InputError: a unit that is not that of the images.
        """
        if attack is not None and attack.epsilons is not None:
            return attack.attack.grid(attack.epsilons, scale)
        return epsilon_grid(task.epsilons or self.epsilons or (), "any", scale)

    def training_of(self, task: TaskSpec, model: ModelSpec) -> TrainSpec:
        """The model's own training, or the task's, or the study's."""
        return model.training or task.training or self.training

    def methods_of(self, model: ModelSpec) -> list[dict[str, str]]:
        """The explanations of a model: of each method its name and settings; without a name it is chosen when the model is built.

        A function counts by the source of its module, too (`code`).
        """
        reshape = self.explain.reshape
        code = reshape and code_hash(reshape, "explain.reshape")
        layer = {"layer": self.explain.layer, "reshape": reshape, "code": code}
        layer = {key: value for key, value in layer.items() if value is not None}
        methods = [name for name in self.explain.method if name != ATTENTION or model.attention]
        return [{"method": name} | ({} if name in LAYERLESS else layer) for name in methods] or [layer]

    def channels_of(self, task: TaskSpec) -> int | None:
        """Channels in which own images are served: as the task says, or else as its models say; None where neither does."""
        stated = {model.channels for model in self.models}
        return task.channels or (next(iter(stated)) if len(stated) == 1 else None)


def read_study(path: Path | str) -> Study:
    """Read a study from a TOML file.

    Raises:
        InputError: the file is absent or not TOML, a key is unknown or a value not allowed; every fault is listed with its place in the file.
    """
    return Study.read(read_toml(Path(path), "`palpate init` writes a starter study"), str(path))
