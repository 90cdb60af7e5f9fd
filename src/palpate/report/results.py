"""The numbers of a report as one record, results.json: the page, the terminal, the tables and the figures are written from it.

Every number is a group-by of the rows in the run's images.parquet; `docs/results.md` describes the fields.
"""

from collections.abc import Iterator
from typing import Any

import polars as pl

from palpate.core import formatting
from palpate.core.epsilon import Scale
from palpate.core.grouping import grouped
from palpate.core.records import VerdictRecord
from palpate.core.spec import Spec
from palpate.report import verdicts
from palpate.report.contrasts import NO_ATTACK, Contrast, contrasts_of, with_attack_id
from palpate.report.corruptions import CorruptionResults, corruption_results
from palpate.report.stages import ATTACKED, STATES, StageTables
from palpate.statistics.clinical import confusion, directed_curves, directed_radii, operating_points
from palpate.statistics.curves import COUNTED, KEYS, curve, with_result
from palpate.statistics.leaderboard import ARCHITECTURE, Leaderboard, Unranked, architecture_name, ranked, unranked
from palpate.statistics.subgroups import subgroups

FORMAT = 1
"""Of results.json; raised when a field changes its meaning."""


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


class TaskResults(Spec):
    """The numbers of one task.

    Attributes:
        scale: the values of the files that became 0 and 1, their unit, and how many levels lie between.
        leaderboards: one for each finding and attack, the one that the report opens with first.
        curves: one for each model and attack.   contrasts: with vs. without attention.
        errors: rows of `palpate.statistics.clinical.ERRORS`, of two-class tasks.
        directed_radii: rows of `palpate.statistics.clinical.RADII`, of two-class tasks.
        confusions: rows of `palpate.statistics.clinical.CONFUSION`, of tasks with three classes or more.
        corruptions: one for each corruption.   corruption_errors: as `errors`, under corruptions.
        operating_points: rows of `palpate.statistics.clinical.OPERATING`, of two-class tasks, clean test split.
        subgroups: rows of `palpate.statistics.subgroups.SUBGROUPS`, of tasks whose images have metadata.
    """

    title: str
    scale: Scale = Scale()
    leaderboards: tuple[Leaderboard, ...] = ()
    curves: tuple[Curve, ...] = ()
    contrasts: tuple[Contrast, ...] = ()
    errors: tuple[dict[str, Any], ...] = ()
    directed_radii: tuple[dict[str, Any], ...] = ()
    confusions: tuple[dict[str, Any], ...] = ()
    operating_points: tuple[dict[str, Any], ...] = ()
    corruptions: tuple[CorruptionResults, ...] = ()
    corruption_errors: tuple[dict[str, Any], ...] = ()
    subgroups: tuple[dict[str, Any], ...] = ()


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
    tasks, checks = {}, []
    for task, record in tables.study.tasks.items():
        found = tables.attempt(f"numbers of {task}", lambda task=task: _task(tables, task))
        tasks[task] = found or TaskResults(title=record.title, scale=record.scale)
    for stage in tables.of("trust"):
        status, summary, told = verdicts.read(stage)
        about = {"task": stage.task, "model_id": stage.model_id, "status": status, "summary": summary}
        checks.append(ModelChecks(**about, verdicts=told))
    study, states = tables.study, [stage.state for stage in tables.stages]
    about: dict[str, Any] = {"palpate": study.palpate, "study": study.name, "title": study.title or study.name}
    about |= {"created": study.created, "stages": {state: states.count(state) for state in STATES}}
    return Results(**about, tasks=tasks, checks=tuple(checks), problems=tuple(tables.problems))


def _task(tables: StageTables, task: str) -> TaskResults:
    """Architecture by architecture, so that the rows of one (two where they are compared) are in memory, however many there are."""
    record = tables.study.tasks[task]
    two = len(record.classes) == 2
    curves: list[Curve] = []
    boards: dict[tuple[str | None, str], list[Unranked]] = {}
    errors, radii, confusions, operating = [], [], [], []
    holding: dict[tuple[str, ...], list[str]] = {}
    attacks: list[str] = []
    for models in _architectures(tables, task):
        predicted = tables.prediction_rows(task, COUNTED, models)
        attacked = with_attack_id(tables.attack_rows(task, ATTACKED, models))
        found = _curves(predicted.filter(split="test"), attacked)
        curves += found
        if two and len(predicted):
            operating.append(operating_points(tables.prediction_rows(task, (*COUNTED, "logits", "inherited"), models)))
        attacks.extend(attacked["attack_id"].unique(maintain_order=True))
        if not len(attacked):
            continue
        if two:
            errors.append(directed_curves(attacked, classes=2))
            radii.append(directed_radii(attacked))
        else:
            confusions.append(confusion(attacked))
        signal = {one.model_id: one.signal for one in found}
        for part in attacked.partition_by("finding", "attack_id", maintain_order=True):
            if len(with_result(part).filter(pl.col("epsilon_index") > 0)):
                boards.setdefault((part["finding"][0], part["attack_id"][0]), []).append(unranked(part, signal))
        names = attacked.with_columns(name=architecture_name()).select("finding", "name", *ARCHITECTURE, "attack_id")
        holding |= dict.fromkeys(names.unique(maintain_order=True).rows(), models)
    signal = {one.model_id: one.signal for one in curves}
    with formatting.native(record.scale):
        contrasts = contrasts_of(tables, task, holding, signal)
    about: dict[str, Any] = {"title": record.title or task, "scale": record.scale, "contrasts": contrasts}
    about |= {"errors": _lines(errors, *KEYS, "label"), "directed_radii": _lines(radii)}
    about["confusions"] = _lines(confusions, *KEYS, "label", "prediction")
    about["operating_points"] = _lines(operating, *KEYS)
    about["corruptions"], about["corruption_errors"] = corruption_results(tables, task, signal)
    about["subgroups"] = [line for one in _architectures(tables, task) for line in _subgroups(tables, task, one)]
    ordered = _ordered(curves, list(dict.fromkeys(attacks)), tables.models(task))
    found = [ranked(parts) for parts in boards.values()]
    # First those with radii between the epsilons, then those on more images.
    found.sort(key=lambda one: (not one.continuous, -max(entry.images for entry in one.entries)))
    return TaskResults(leaderboards=tuple(found), curves=ordered, **about)


def _lines(parts: list[pl.DataFrame], *by: str) -> tuple[dict[str, Any], ...]:
    """The rows of tables together, in the order of these columns."""
    rows = pl.concat(parts) if parts else pl.DataFrame()
    return tuple((rows.sort(by) if parts and by else rows).to_dicts())


def _subgroups(tables: StageTables, task: str, models: list[str]) -> list[dict[str, Any]]:
    """Of clean images of the whole test split at the threshold of the validation images, and of attacked and corrupted images."""
    metadata = tables.metadata(task)
    if metadata.width < 2:
        return []
    columns = (*COUNTED, "logits", "inherited", "prediction")
    attacked = with_attack_id(tables.attack_rows(task, columns, models))
    corrupted = with_attack_id(tables.corruption_rows(task, columns)).filter(pl.col("model_id").is_in(models))
    rows = pl.concat([tables.prediction_rows(task, columns, models), attacked, corrupted])
    return subgroups(rows, metadata, tables.study.tasks[task].disease).to_dicts() if len(rows) else []


def _architectures(tables: StageTables, task: str) -> list[list[str]]:
    """The models of a task, those that differ in nothing but the seed together, in the study's order."""
    return list(grouped((model.rpartition("#")[0] or model, model) for model in tables.models(task)).values())


def _curves(predicted: pl.DataFrame, attacked: pl.DataFrame) -> list[Curve]:
    """Join the clean results with the curves."""
    about = ["finding", "model_id", "backbone", "attention", "training", "seed", "attack_id"]

    def points(rows: pl.DataFrame) -> Iterator[tuple[tuple, Point]]:
        for row in curve(rows).iter_rows(named=True) if len(rows) else ():
            yield tuple(row[name] for name in about), Point(**{name: row[name] for name in Point.model_fields})

    clean = {key[:-1]: point for key, point in points(predicted)}
    found = grouped(points(attacked))
    found |= {(*key, NO_ATTACK): [] for key in clean if not any(key == other[:-1] for other in found)}
    norms = dict(attacked.drop_nulls("norm").select("attack_id", "norm").unique().rows())
    named = [(dict(zip(about, key, strict=True)), clean.get(key[:-1]), tuple(each)) for key, each in found.items()]
    return [Curve(**key, norm=norms.get(key["attack_id"], "linf"), clean=one, points=each) for key, one, each in named]


def _ordered(curves: list[Curve], attacks: list[str], models: list[str]) -> tuple[Curve, ...]:
    """By finding, by attack as they come, those without an attack last, then in the study's order of models."""
    first, order = ({name: place for place, name in enumerate(names)} for names in (attacks, models))

    def place(one: Curve) -> tuple:
        return one.finding, first.get(one.attack_id, len(first)), order.get(one.model_id, len(order)), one.model_id

    return tuple(sorted(curves, key=place))
