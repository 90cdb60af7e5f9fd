"""The numbers of a report as one record, results.json: the page, the terminal, the tables and the figures are written from it.

Every number is a group-by of the rows in the run's images.parquet; `docs/results.md` describes the fields.
"""

from typing import Any

import polars as pl

from palpate.core import formatting
from palpate.core.epsilon import Scale
from palpate.core.errors import InputError
from palpate.core.records import VerdictRecord
from palpate.core.spec import Spec
from palpate.report import verdicts
from palpate.report.stages import ATTACKED, STATES, StageTables
from palpate.statistics.clinical import directed_curves, directed_radii, operating_points
from palpate.statistics.comparison import Comparison
from palpate.statistics.confusion import confusion
from palpate.statistics.curves import COUNTED, curve, with_result
from palpate.statistics.leaderboard import ARCHITECTURE, Leaderboard, architecture_name, leaderboard
from palpate.statistics.paired import compare

FORMAT = 1
"""Of results.json; raised when a field changes its meaning."""

NO_ATTACK = "none"


class Point(Spec):
    """One point of a curve, with the columns of `palpate.statistics.curves.POINT`; shares in [0, 1]."""

    epsilon_index: int
    epsilon: float
    n: int
    groups: int
    failed: int
    no_gradient: int
    accuracy: float | None
    low: float | None
    high: float | None
    balanced_accuracy: float | None
    balanced_low: float | None
    balanced_high: float | None
    majority_rate: float | None
    chance: float | None
    signal: bool | None
    note: str


class Curve(Spec):
    """One model under one attack.

    Attributes:
        finding: what the label is about.   model_id, backbone, attention, training, seed: the model.
        norm: of the attack's epsilons.
        attack_id: "none" where only the clean prediction is there.
        clean: of the whole test split; None where there is none.   points: of the attacked images, the clean prediction first.
    """

    finding: str
    model_id: str
    backbone: str
    attention: str
    training: str
    seed: int
    attack_id: str
    norm: str
    clean: Point | None
    points: tuple[Point, ...]

    @property
    def signal(self) -> bool | None:
        """Whether the clean balanced accuracy lies above chance, judged on the most images there are."""
        return (self.clean or self.points[0]).signal

    @property
    def start(self) -> Point:
        """The clean prediction of the attacked images; of the test split where there is no attack."""
        return self.points[0] if self.points else self.clean  # pyright: ignore[reportReturnType]

    @property
    def attacked(self) -> tuple[Point, ...]:
        """The points above epsilon 0."""
        return tuple(point for point in self.points if point.epsilon_index > 0)


class Contrast(Spec):
    """An architecture with attention and the same without, on the same images; `comparison` is None where the sentence says why."""

    finding: str
    name: str
    backbone: str
    attention: str
    training: str
    attack_id: str
    sentence: str
    comparison: Comparison | None


class TaskResults(Spec):
    """The numbers of one task.

    Attributes:
        scale: the values of the files that became 0 and 1, their unit, and how many levels lie between.
        leaderboards: one for each finding and attack, the one that the report opens with first.
        curves: one for each model and attack.   contrasts: with vs. without attention.
        errors: rows of `palpate.statistics.clinical.ERRORS`, of two-class tasks.
        directed_radii: rows of `palpate.statistics.clinical.RADII`, of two-class tasks.
        confusions: rows of `palpate.statistics.confusion.CONFUSION`, of tasks with three classes or more.
        operating_points: rows of `palpate.statistics.clinical.OPERATING`, of two-class tasks, clean test split.
    """

    title: str
    scale: Scale = Scale()
    leaderboards: tuple[Leaderboard, ...]
    curves: tuple[Curve, ...]
    contrasts: tuple[Contrast, ...]
    errors: tuple[dict[str, Any], ...]
    directed_radii: tuple[dict[str, Any], ...]
    confusions: tuple[dict[str, Any], ...]
    operating_points: tuple[dict[str, Any], ...]


class ModelChecks(Spec):
    """The checks of one model's result: the worst status, one sentence, and each verdict, the worst first."""

    task: str
    model_id: str
    status: str
    summary: str
    verdicts: tuple[VerdictRecord, ...]


class Results(Spec):
    """What results.json holds.

    Attributes:
        stages: the number of stages in each of `palpate.report.stages.STATES`.
        tasks: by name, in the study's order.   checks: one for each trust stage, in any state.
        problems: what could not be read or made.
    """

    format: int = FORMAT
    palpate: str
    study: str
    title: str
    created: str
    stages: dict[str, int]
    tasks: dict[str, TaskResults]
    checks: tuple[ModelChecks, ...]
    problems: tuple[str, ...]


def measure(tables: StageTables) -> Results:
    """Count, rank and compare everything that the run's rows hold."""
    lists = ("leaderboards", "curves", "contrasts", "errors", "directed_radii", "confusions", "operating_points")
    empty = dict.fromkeys(lists, ())
    tasks = {
        task: tables.attempt(f"numbers of {task}", lambda task=task: _task(tables, task))
        or TaskResults(title=record.title, scale=record.scale, **empty)
        for task, record in tables.study.tasks.items()
    }
    checks = tuple(
        ModelChecks(task=stage.task, model_id=stage.model_id, status=status, summary=summary, verdicts=found)
        for stage in tables.of("trust")
        for status, summary, found in [verdicts.read(stage)]
    )
    return Results(
        palpate=tables.study.palpate,
        study=tables.study.name,
        title=tables.study.title or tables.study.name,
        created=tables.study.created,
        stages={state: sum(stage.state == state for stage in tables.stages) for state in STATES},
        tasks=tasks,
        checks=checks,
        problems=tuple(tables.problems),
    )


def _task(tables: StageTables, task: str) -> TaskResults:
    record = tables.study.tasks[task]
    two = len(record.classes) == 2
    attacked = _with_attack_id(tables.attack_rows(task, ATTACKED))
    predicted = tables.prediction_rows(task, COUNTED)
    curves = _curves(tables, task, predicted.filter(split="test"), attacked)
    signal = {one.model_id: one.signal for one in curves}
    operating: list[dict[str, Any]] = []
    if two and len(predicted):
        clean = tables.prediction_rows(task, (*COUNTED, "logits", "inherited"))
        operating = operating_points(clean).to_dicts()
    errors = directed_curves(attacked, classes=2).to_dicts() if two and len(attacked) else []
    radii = directed_radii(attacked).to_dicts() if two and len(attacked) else []
    confusions = confusion(attacked).to_dicts() if not two and len(attacked) else []
    with formatting.native(record.scale):
        contrasts = _contrasts(attacked, signal)
    return TaskResults(
        title=record.title or task,
        scale=record.scale,
        leaderboards=_leaderboards(attacked, signal),
        curves=curves,
        contrasts=contrasts,
        errors=tuple(errors),
        directed_radii=tuple(radii),
        confusions=tuple(confusions),
        operating_points=tuple(operating),
    )


def _with_attack_id(table: pl.DataFrame) -> pl.DataFrame:
    """Give the clean rows the ids of the attacks on their model, so that each curve starts at the images that were attacked."""
    clean = table.filter(epsilon_index=0).drop("attack_id", "attack")
    attacked = table.filter(pl.col("epsilon_index") > 0)
    images = ["finding", "model_id", "image_id", "split"]
    named = attacked.select(*images, "attack_id", "attack").unique(maintain_order=True)
    start = clean.join(named, on=images, nulls_equal=True).select(table.columns)
    return pl.concat([start, attacked])


def _curves(tables: StageTables, task: str, predicted: pl.DataFrame, attacked: pl.DataFrame) -> tuple[Curve, ...]:
    """Join the clean results with the curves, in the study's order of models."""
    about = ["finding", "model_id", "backbone", "attention", "training", "seed"]
    found: dict[tuple, list[Point]] = {}
    clean: dict[tuple, Point] = {}
    for row in curve(predicted).iter_rows(named=True) if len(predicted) else ():
        clean[tuple(row[name] for name in about)] = Point(**{name: row[name] for name in Point.model_fields})
    for row in curve(attacked).iter_rows(named=True) if len(attacked) else ():
        key = (*(row[name] for name in about), row["attack_id"])
        found.setdefault(key, []).append(Point(**{name: row[name] for name in Point.model_fields}))
    bare = [(*key, NO_ATTACK) for key in clean if not any(key == other[:-1] for other in found)]
    models, norms = tables.models(task), dict(attacked.drop_nulls("norm").select("attack_id", "norm").unique().rows())
    attacks = attacked["attack_id"].unique(maintain_order=True).to_list()

    def place(key: tuple) -> tuple:
        finding, model, attack = key[0], key[1], key[-1]
        order = models.index(model) if model in models else len(models)
        return finding, attacks.index(attack) if attack in attacks else len(attacks), order, model

    return tuple(
        Curve(
            **dict(zip(about, key[:-1], strict=True)),
            attack_id=key[-1],
            norm=norms.get(key[-1], "linf"),
            clean=clean.get(key[:-1]),
            points=tuple(found.get(key, ())),
        )
        for key in sorted([*found, *bare], key=place)
    )


def _leaderboards(attacked: pl.DataFrame, signal: dict[str, bool | None]) -> tuple[Leaderboard, ...]:
    """One for each finding and attack: first those with radii between the epsilons, then those on more images."""
    if not len(attacked):
        return ()
    parts = attacked.partition_by("finding", "attack_id", maintain_order=True)
    known = [part for part in parts if len(with_result(part).filter(pl.col("epsilon_index") > 0))]
    found = [leaderboard(part, signal) for part in known]
    return tuple(sorted(found, key=lambda one: (not one.continuous, -max(entry.images for entry in one.entries))))


def _contrasts(rows: pl.DataFrame, signal: dict[str, bool | None]) -> tuple[Contrast, ...]:
    """Every architecture with attention that the study holds without attention too."""
    rows = rows.with_columns(name=architecture_name())
    attacked = rows.filter(pl.col("attack_id") != NO_ATTACK)
    models = attacked.select("finding", "name", *ARCHITECTURE, "attack_id").unique(maintain_order=True)
    found = []
    for key in models.filter(pl.col("attention") != "none").iter_rows(named=True):
        same = {name: key[name] for name in ("finding", "backbone", "training")}
        plain = rows.filter(**same, attention="none")
        if len(plain.filter(attack_id=key["attack_id"])):
            sides = [plain, rows.filter(finding=key["finding"], name=key["name"])]
            sentence, comparison = _compare([side.drop("name") for side in sides], key["attack_id"], signal)
            found.append(Contrast(**key, sentence=sentence, comparison=comparison))
    return tuple(found)


def _compare(
    sides: list[pl.DataFrame], attack_id: str, signal: dict[str, bool | None]
) -> tuple[str, Comparison | None]:
    """Compare the runs with signal; those without are counted in the sentence."""
    silent = sorted({name for side in sides for name in side["model_id"].unique() if signal.get(name) is False})
    kept = [side.filter(~pl.col("model_id").is_in(silent)) for side in sides]
    if not all(len(side) for side in kept):
        return f"not compared: no signal in {', '.join(silent)}, so their robust accuracy has no meaning", None
    try:
        found = compare(*kept, attack_id=attack_id)
    except InputError as error:
        return f"not compared: {error}", None
    left_out = f"; {formatting.plural(len(silent), 'run')} without signal left out" if silent else ""
    return found.sentence + left_out, found
