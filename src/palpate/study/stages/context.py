"""What every stage is handed: the study, its run folder, the data, the device, and where its progress goes."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import torch

from palpate.core.errors import InputError
from palpate.core.provenance import versions
from palpate.core.records import Role, StageOutput
from palpate.core.run_folder import RunFolder
from palpate.core.spec import fingerprint
from palpate.data.assemble import from_files
from palpate.data.dataset import Dataset, load
from palpate.data.manifest import Labelled
from palpate.data.options import ImageOptions, ImageSettings
from palpate.data.own import read_arrays, read_folder, read_table
from palpate.data.table import Columns
from palpate.data.tasks import Task
from palpate.models.adapt import use_channels_last
from palpate.models.checkpoint import read_spec
from palpate.models.memory import return_large_arrays
from palpate.models.predict import Progress
from palpate.models.weights import load_weights
from palpate.statistics.subgroups import banded, choose_columns
from palpate.study.classifier import two_logits
from palpate.study.plan import finding_task, model_id
from palpate.study.spec import ModelSpec, Study, TaskSpec
from palpate.study.stages.kept import Kept, kept_folder
from palpate.training.spec import TrainSpec

BLOCK = 1024
"""Images read at once where only their predictions are needed: whole batches of any size that is used."""


def blocks(first: int, last: int, size: int = BLOCK) -> Iterator[slice]:
    """The places of the images from `first` to before `last`, block after block."""
    return (slice(start, min(start + size, last)) for start in range(first, last, size))


@dataclasses.dataclass
class Context:
    """Finds the parts of a stage by their names; data sets are opened once."""

    study: Study
    run: RunFolder
    root: Path | None
    device: torch.device
    devices: int = 1
    log: str | None = None
    told: Callable[[StageOutput, int, int, str], None] = lambda stage, done, total, note: None
    _datasets: dict[str, Dataset] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        return_large_arrays()

    def progress(self, stage: StageOutput) -> Progress:
        """The function to be told how far the stage has come: work done, work in all, and a few words."""
        return lambda done, total, note: self.told(stage, done, total, note)

    def kept(self, stage: StageOutput) -> Kept:
        """The finished parts of the stage, made by these versions from what its parents hold now."""
        made = [parent.id for parent in stage.parents if self.run.complete(parent.id)]
        inputs = fingerprint({parent: self.run.stage(parent).content for parent in made} | {"versions": versions()})
        return Kept(kept_folder(self.run, stage.id) / inputs)

    def model(self, stage: StageOutput) -> tuple[ModelSpec, int]:
        """The specification and the seed of the stage's model."""
        pairs = ((model, seed) for model in self.study.models for seed in self.study.seeds)
        return next(pair for pair in pairs if model_id(*pair) == stage.model_id)

    def training(self, stage: StageOutput) -> TrainSpec:
        """The recipe of the stage's task."""
        return self.study.training_of(self.study.task_of(stage.task), self.model(stage)[0])

    def dataset(self, name: str) -> Dataset:
        """The images of a task, decoded once into the store, or of one of its findings."""
        if name not in self._datasets:
            task = self.study.task_of(name)
            whole = self._datasets.get(task.name) or open_dataset(self.study, task, self.root)
            self._datasets[task.name] = whole
            self._datasets |= {finding_task(task.name, one): whole.of_finding(one) for one in whole.findings}
        return self._datasets[name]

    def parent(self, stage: StageOutput, role: Role) -> Path:
        """The folder of the stage's parent of a role, its files verified."""
        parent = stage.parent(role)
        assert parent is not None, f"{stage.title} has no parent of the role {role}"
        return self.run.verify(parent.id)

    def trained(self, stage: StageOutput, role: Role = "model") -> torch.nn.Module:
        """The model of the stage's parent of a role, with a logit for each class, in evaluation mode on the device."""
        path = self.parent(stage, role) / "weights.safetensors"
        model = load_weights(path).to(self.device)
        use_channels_last(model, torch.zeros(1, model.channels, model.size, model.size, device=self.device))
        told = read_spec(path)["extra"]
        finding = stage.spec.get("finding")
        return two_logits(model.eval(), told.get("column") if finding is None else told["classes"].index(finding))

    def keys(self, stage: StageOutput, split: str) -> dict[str, Any]:
        """The columns of the row that are the same for all images of the stage."""
        model, seed = self.model(stage)
        images = {"task": self.study.task_of(stage.task).name, "split": split}
        made_of = {"model_id": stage.model_id, "backbone": model.backbone, "attention": model.attention or "none"}
        about = {"finding": self.dataset(stage.task).finding, "training": self.training(stage).name, "seed": seed}
        return images | made_of | about


def read_own(study: Study, task: TaskSpec) -> tuple[Task, Labelled, ImageOptions]:
    """What a task's own images are, without decoding them, and how they are to be read."""
    settings = {name: getattr(task, name) for name in ImageSettings.model_fields}
    settings["channels"] = study.channels_of(task) or 3
    asked = settings | {"name": task.name, "size": task.size, "seed": task.split_seed}
    options = ImageOptions.read(asked, f"task {task.name}")
    if task.folder is not None:
        return *read_folder(task.folder, task.group, options), options
    if task.arrays is not None:
        return *read_arrays(task.arrays, task.columns.findings if task.columns else (), options), options
    columns = task.columns or Columns.read({}, "columns")
    return *read_table(task.table or "", task.images, columns, options), options


def open_dataset(study: Study, task: TaskSpec, root: Path | None) -> Dataset:
    """Open a task as its specification says; of own images with several findings, the one that it names or all."""
    if task.own:
        dataset = Dataset(**from_files(*read_own(study, task)))
        return dataset.of_finding(task.finding) if dataset.findings and not task.findings else dataset
    limits = {f"{split}_images": most for split, most in task.limits.items()}
    how = {"size": task.size, "seed": task.split_seed, "filter": task.filter, "filter_at": task.filter_at}
    return load(task.name, root, **how, **limits)  # pyright: ignore[reportArgumentType]


def subgroup_columns(dataset: Dataset, task: TaskSpec) -> pl.DataFrame:
    """Image_id of every validation and test image, and the columns of its metadata that make subgroups, as words.

    Raises:
        InputError: a column that is asked for is not there.
    """
    parts = []
    for part in (dataset.val, dataset.test):
        ids = pl.Series("image_id", part.ids, dtype=pl.String)
        parts.append(ids.to_frame() if part.metadata is None else part.metadata.with_columns(ids))
    table = pl.concat([part for part in parts if len(part)] or parts[:1], how="diagonal")
    columns = choose_columns(table.drop("image_id"), task.subgroups)
    return table.select("image_id", *(banded(table[name]) for name in columns))


def disease_labels(dataset: Dataset, task: TaskSpec) -> tuple[int, ...]:
    """The labels that count as disease: those of the classes named, else the second of two.

    Raises:
        InputError: a class that is not there, or all of them.
    """
    named = task.disease if task.disease is not None else dataset.classes[1:] if len(dataset.classes) == 2 else ()
    unknown = [name for name in named if name not in dataset.classes]
    if unknown or len(set(named)) == len(dataset.classes):
        fault = f"disease must name some of the classes {', '.join(dataset.classes)}, given {', '.join(named)}"
        raise InputError(f"task {task.name}: {fault}")
    return tuple(dataset.classes.index(name) for name in named)
