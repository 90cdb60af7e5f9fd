"""A run folder read once: its cells with their state, the points of its curves, and what could not be read.

A report of half a study is worth having, so nothing here stops at a gap: an absent, failed or unreadable cell becomes a
line in `Material.problems` or a state on the cell, and the page says so.
"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import polars as pl

from palpate.core import rows
from palpate.core import run_folder as runs
from palpate.core.errors import InputError
from palpate.core.records import FailureRecord, StageOutput
from palpate.statistics.curves import curve

Value = TypeVar("Value")


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell of the study as the report sees it."""

    id: str
    kind: str
    title: str
    task: str
    model_id: str
    parents: tuple[str, ...]
    state: str  # "complete" | "failed" | "missing"
    error: str  # why it failed, or ""
    folder: Path
    record: dict[str, Any]  # cell.json, or {}


@dataclasses.dataclass(frozen=True)
class Point:
    """One point of a curve: a share of images still classified correctly, with its interval. Shares are in [0, 1]."""

    epsilon_index: int
    epsilon: float  # in units of [0, 1]
    n: int
    groups: int
    failed: int
    accuracy: float | None  # None where the attack failed on every image
    low: float | None
    high: float | None
    balanced_accuracy: float | None
    balanced_low: float | None
    balanced_high: float | None
    majority_rate: float
    chance: float | None
    signal: bool | None  # None where balanced accuracy does not apply
    note: str


@dataclasses.dataclass(frozen=True)
class Line:
    """One model under one attack: its clean result on the whole test split and its curve on the attacked images."""

    task: str
    finding: str
    model_id: str
    attack_id: str  # "none" where there is only the clean result
    clean: Point | None  # the whole test split
    points: tuple[Point, ...]  # the attacked images; epsilon_index 0 first; empty where there is no attack
    backbone: str = ""
    attention: str = "none"
    seed: int = 0

    @property
    def reference(self) -> Point:
        """The clean result with the most images: what signal and majority rate are judged on."""
        return self.clean or self.points[0]

    @property
    def attacked(self) -> tuple[Point, ...]:
        """The points above epsilon 0."""
        return tuple(point for point in self.points if point.epsilon_index > 0)


@dataclasses.dataclass(frozen=True)
class Material:
    """Everything a report is made of."""

    path: Path
    study: dict[str, Any]
    cells: tuple[Cell, ...]
    lines: tuple[Line, ...]
    predictions: pl.DataFrame  # clean rows of validation and test images
    attacks: dict[str, pl.DataFrame]  # rows of each attack cell by its id
    history: pl.DataFrame  # empty where nothing was trained
    explanations: pl.DataFrame
    problems: tuple[str, ...]  # files of complete cells that could not be read

    @property
    def tasks(self) -> dict[str, dict[str, Any]]:
        """The tasks in the study's order."""
        return self.study.get("tasks", {})

    def of(self, kind: str, task: str | None = None, model_id: str | None = None) -> list[Cell]:
        """The cells of a kind, in any state, of a task and a model when these are given."""
        return [
            cell
            for cell in self.cells
            if cell.kind == kind and task in (None, cell.task) and model_id in (None, cell.model_id)
        ]

    def complete(self, kind: str, task: str | None = None, model_id: str | None = None) -> list[Cell]:
        """As `of`, the complete ones."""
        return [cell for cell in self.of(kind, task, model_id) if cell.state == "complete"]

    def attack_rows(self, task: str | None = None) -> pl.DataFrame:
        """Rows of all attack cells together, each once: two attacks on one model bring the same clean rows."""
        every = rows.concat(self.attacks.values())
        mine = every if task is None else every.filter(task=task)
        once = ["task", "split", "finding", "model_id", "attack_id", "epsilon_index", "image_id"]
        return mine.unique(once, keep="first", maintain_order=True)

    def models(self, task: str) -> list[str]:
        """The models of a task in the study's order, whether or not they have results."""
        return list(dict.fromkeys(cell.model_id for cell in self.cells if cell.task == task and cell.model_id))


def read(path: Path) -> Material:
    """Read a run folder, complete or not.

    Raises:
        InputError: the folder is no run folder, or its study.json cannot be read.
    """
    run = runs.RunFolder(Path(path))
    study = run.study().to_dict()
    problems: list[str] = []

    def attempt(label: str, load: Callable[[], Value]) -> Value | None:
        try:
            return load()
        except (InputError, OSError, ValueError, KeyError, pl.exceptions.PolarsError) as error:
            problems.append(f"{label}: {error}")
            return None

    failures = attempt("failed cells", run.failures) or {}
    cells = tuple(_cell(run, entry, failures, attempt) for entry in run.study().stages)

    def tables(kind: str, name: str, load: Callable[[Path], pl.DataFrame]) -> dict[str, pl.DataFrame]:
        files = {cell.id: cell.folder / name for cell in cells if cell.kind == kind and cell.state == "complete"}
        found = {key: attempt(f"{key}/{name}", lambda file=file: load(file)) for key, file in files.items()}
        return {key: table for key, table in found.items() if table is not None}

    predictions = rows.concat(tables("predict", "images.parquet", rows.read).values())
    attacks = tables("attack", "images.parquet", rows.read)
    attacked = rows.concat(_with_attack_id(table) for table in attacks.values())
    points = attempt("curves", lambda: _lines(study, predictions.filter(split="test"), attacked))
    return Material(
        path=run.path,
        study=study,
        cells=cells,
        lines=points or (),
        predictions=predictions,
        attacks=attacks,
        history=_stack(tables("train", "history.parquet", pl.read_parquet)),
        explanations=_stack(tables("explain", "explanations.parquet", pl.read_parquet)),
        problems=tuple(problems),
    )


def arrays(file: Path) -> dict[str, np.ndarray]:
    """The arrays of an npz file; never a pickle."""
    with np.load(file, allow_pickle=False) as found:
        return {name: found[name] for name in found.files}


def _cell(run: runs.RunFolder, entry: StageOutput, failures: dict[str, FailureRecord], attempt: Callable) -> Cell:
    record, error, state = {}, "", "missing"
    if run.complete(entry.id):
        made = attempt(f"{entry.id}/stage.json", lambda: run.stage(entry.id))
        record = made.to_dict() if made else {}
        state = "complete"
    elif entry.id in failures:
        error, state = failures[entry.id].error, "failed"
    return Cell(
        id=entry.id,
        kind=entry.kind,
        title=entry.title,
        task=entry.task,
        model_id=entry.model_id,
        parents=tuple(parent.id for parent in entry.parents),
        state=state,
        error=error,
        folder=run.folder(entry.id),
        record=record,
    )


def _with_attack_id(table: pl.DataFrame) -> pl.DataFrame:
    """Give the clean rows of an attack cell the id of its attack, so that a curve starts at the images that were attacked."""
    clean = table.filter(epsilon_index=0).drop("attack_id", "attack")
    attacked = table.filter(pl.col("epsilon_index") > 0)
    names = attacked.select("attack_id", "attack").unique(maintain_order=True)
    start = clean.join(names, how="cross").select(table.columns)
    return pl.concat([start, attacked])


def _stack(found: dict[str, pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(found.values(), how="diagonal_relaxed") if found else pl.DataFrame()


def _lines(study: dict[str, Any], predictions: pl.DataFrame, attacks: pl.DataFrame) -> tuple[Line, ...]:
    """Join the clean results with the curves, in the study's order of tasks and models."""
    fields = [field.name for field in dataclasses.fields(Point)]
    keys = ["task", "finding", "model_id"]
    made_of: dict[str, tuple] = {}

    def points(table: pl.DataFrame) -> dict[tuple, list[Point]]:
        found: dict[tuple, list[Point]] = {}
        for row in curve(table).iter_rows(named=True) if len(table) else ():
            key = (*(row[name] for name in keys), row["attack_id"])
            made_of[row["model_id"]] = (row["backbone"], row["attention"], row["seed"])
            found.setdefault(key, []).append(Point(**{name: row[name] for name in fields}))
        return found

    clean = {key[:3]: found[0] for key, found in points(predictions).items()}
    curves = points(attacks)
    bare = [(*key, "none") for key in clean if not any(key == other[:3] for other in curves)]
    tasks = list(study.get("tasks", {}))
    models = list(dict.fromkeys(stage["model_id"] for stage in study.get("stages", [])))

    def place(key: tuple) -> tuple:
        at = tasks.index(key[0]) if key[0] in tasks else len(tasks)
        return at, key[1], key[3], models.index(key[2]) if key[2] in models else len(models), key[2]

    return tuple(
        Line(
            task, finding, model, attack, clean.get((task, finding, model)), tuple(curves.get(key, ())), *made_of[model]
        )
        for key in sorted([*curves, *bare], key=place)
        for task, finding, model, attack in [key]
    )


def data_identity(cell: Cell) -> str:
    """What the cell recorded about the images it saw, as text; "" where it recorded nothing."""
    for source in (cell.record.get("facts", {}), cell.record.get("spec", {})):
        for name in ("data_identity", "data", "identity"):
            if source.get(name):
                return source[name] if isinstance(source[name], str) else json.dumps(source[name], sort_keys=True)
    return ""
