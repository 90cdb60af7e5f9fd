"""Whether the rows of a run meet acceptance criteria.

A limit on a confidence bound has three answers: met, not met, or undecided at this number of images. A limit on the estimate has two.
"""

import dataclasses
from typing import Literal

import polars as pl

from palpate.core.errors import InputError
from palpate.statistics.criteria import METRICS, Criterion, Measured
from palpate.statistics.curves import norm_of
from palpate.statistics.paired import compare

State = Literal["met", "not met", "undecided"]


@dataclasses.dataclass(frozen=True)
class Judgement:
    """Whether one model met one criterion.

    Attributes:
        criterion: its name.   metric: what was measured.   subject: task, finding, model and attack.   condition: epsilon or severity, or "clean".
        state: "met", "not met" or "undecided".   measured: None where nothing could be measured.   limit: as stated.   why: one sentence.
    """

    criterion: str
    metric: str
    subject: str
    condition: str
    state: State
    measured: Measured | None
    limit: float
    why: str


KEYS = ("task", "finding", "model_id", "attack_id")


def judge(criterion: Criterion, rows: pl.DataFrame, baseline: pl.DataFrame | None = None) -> list[Judgement]:
    """Judge every model and attack that the criterion is about.

    Args:
        criterion: the limit.
        rows: of test images, clean and attacked (`palpate.core.rows.SCHEMA`).
        baseline: rows of another run on the same images, for `no_worse_by`.

    Raises:
        InputError: the rows hold no such task, model, attack or epsilon, or the baseline is missing or of other images.
    """
    rows = rows.filter(pl.col("split") == "test")
    chosen = rows
    for key, column in (("task", "task"), ("model", "model_id"), ("attack", "attack_id"), ("finding", "finding")):
        wanted = getattr(criterion, key)
        if wanted is not None:
            kept = chosen.filter((pl.col(column) == wanted) | (pl.col(column) == "none" if key == "attack" else False))
            if kept.filter(pl.col(column) == wanted).is_empty():
                known = ", ".join(map(repr, sorted(set(chosen[column].drop_nulls()) - {"none"}))) or "none"
                raise InputError(f"criterion {criterion.name!r}: {key} {wanted!r} is not in the run; found {known}")
            chosen = kept
    metric = METRICS[criterion.metric]
    attacked = chosen.filter(pl.col("attack_id") != "none")
    if criterion.severity is not None or criterion.epsilon is not None:
        attacked = attacked.filter((pl.col("norm") == "severity") == (criterion.severity is not None))
    of_attack = metric.attacked or metric.is_radius
    about = attacked if of_attack else chosen.filter(pl.col("epsilon_index") == 0)
    parts = about.partition_by(KEYS if of_attack else KEYS[:3], maintain_order=True)
    if not parts:
        raise InputError(f"criterion {criterion.name!r}: the run holds no row that it is about; run the study again")
    return [_judge(criterion, part, chosen, baseline) for part in parts]


def _judge(criterion: Criterion, part: pl.DataFrame, chosen: pl.DataFrame, baseline: pl.DataFrame | None) -> Judgement:
    metric = METRICS[criterion.metric]
    task, finding, model, attack = part.select(KEYS).row(0)
    of_attack = metric.attacked or metric.is_radius
    subject = " · ".join(str(name) for name in (task, finding, model, *([attack] if of_attack else [])) if name)
    if metric.attacked:
        at = criterion.at(norm_of(part))
        here = _at(criterion, part, chosen, at)
        condition = f"severity {at:g}" if criterion.severity is not None else f"epsilon {criterion.epsilon}"
    else:  # each image's radius is the same in every row
        here, condition = part.unique("image_id", maintain_order=True), attack if metric.is_radius else "clean"
    if criterion.no_worse_by is not None:
        measured = _difference(criterion, here, chosen, baseline)
        limit, least = -criterion.no_worse_by, True
    else:
        measured = metric.measure(here, criterion.level)
        limit, least = criterion.limit(), criterion.minimum is not None
    state, why = _state(criterion, measured, limit, least)
    return Judgement(criterion.name, criterion.metric, subject, condition, state, measured, limit, why)


def _at(criterion: Criterion, part: pl.DataFrame, chosen: pl.DataFrame, at: float) -> pl.DataFrame:
    """The rows of an attack at one epsilon; of its clean images where that is 0."""
    if at == 0:
        image = ["task", "finding", "image_id"]
        clean = chosen.filter(pl.col("epsilon_index") == 0, pl.col("model_id") == part["model_id"][0])
        return clean.join(part, on=image, how="semi", nulls_equal=True).unique(image, maintain_order=True)
    tried = part["epsilon"].unique().sort().to_list()
    near = min(tried, key=lambda epsilon: abs(epsilon - at))
    if abs(near - at) > 1e-9 * max(at, 1):
        known = ", ".join(f"{epsilon:g}" for epsilon in tried)
        remedy = f"measured at {known}; add it to the study's epsilons"
        raise InputError(f"criterion {criterion.name!r}: {part['attack_id'][0]} was not measured at {at:g}; {remedy}")
    return part.filter(pl.col("epsilon") == near)


def _difference(
    criterion: Criterion, here: pl.DataFrame, chosen: pl.DataFrame, baseline: pl.DataFrame | None
) -> Measured:
    """The accuracy less that of the baseline, paired over the same images."""
    if baseline is None:
        raise InputError(f"criterion {criterion.name!r}: no_worse_by compares with another run; give --baseline RUN")
    first = here.row(0, named=True)
    same = [pl.col(key).eq_missing(pl.lit(first[key], dtype=pl.String)) for key in ("task", "finding")]
    same.append(pl.col("attack_id").is_in([first["attack_id"], "none"]))
    old = baseline.filter(*same, pl.col("split") == "test")
    models = old["model_id"].unique().to_list()
    name = first["model_id"] if first["model_id"] in models else models[0] if len(models) == 1 else None
    if name is None:
        absent = f"holds no model {first['model_id']!r} for {first['task']!r}"
        held = f"found {', '.join(sorted(models)) or 'none'}"
        raise InputError(f"criterion {criterion.name!r}: the baseline {absent}; {held}")
    old = old.filter(pl.col("model_id") == name)
    new = chosen.filter(*same, pl.col("model_id") == first["model_id"])
    if set(here["image_id"]) != set(old.filter(pl.col("attack_id") == first["attack_id"])["image_id"]):
        remedy = "measure both runs on the same test images"
        raise InputError(f"criterion {criterion.name!r}: the baseline is of other images; {remedy}")
    found = compare(old, new, attack_id=first["attack_id"], level=criterion.level)
    point = min(found.points, key=lambda point: abs(point.epsilon - first["epsilon"]))
    return Measured(point.points / 100, point.low / 100, point.high / 100, found.images)


def _state(criterion: Criterion, measured: Measured | None, limit: float, least: bool) -> tuple[State, str]:
    if measured is None:
        return "undecided", "there is no image that the criterion is about"
    if measured.images < criterion.images:
        return "undecided", f"{measured.images} images, and {criterion.images} are needed"
    low, high = (measured.low, measured.high) if criterion.on == "bound" else (measured.value, measured.value)
    # A value as the limit was written is not below it for the sake of its last binary digit.
    slack = 1e-12 * max(abs(limit), 1)
    worst, best = (low, high) if least else (-high, -low)
    aim = limit if least else -limit
    if worst >= aim - slack:
        return "met", ""
    if best < aim - slack:
        return "not met", ""
    return "undecided", "the interval holds the limit: more images are needed"
