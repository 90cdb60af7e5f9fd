"""Acceptance criteria: limits on a metric, stated in a file before the measurement."""

import dataclasses
import datetime
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal, Self

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from palpate.core.epsilon import parse_epsilon
from palpate.core.io import read_toml
from palpate.core.spec import Name, Spec
from palpate.statistics.curves import curve, group_names, survived, with_result
from palpate.statistics.intervals import clustered_wilson
from palpate.statistics.radius import median_radius


@dataclasses.dataclass(frozen=True)
class Measured:
    """A metric with the limits of its interval and the number of images it is of.

    Attributes:
        value, low, high: shares in [0, 1], or radii in images in [0, 1]; a radius is inf above the largest epsilon tried.
        images: number of images.
    """

    value: float
    low: float
    high: float
    images: int


@dataclasses.dataclass(frozen=True)
class Metric:
    """How a metric is measured, from the rows of one model and attack at one epsilon.

    Attributes:
        measure: from rows and a level to what was measured; None where there is no image that it is about.
        attacked: it belongs to an epsilon or a severity.   is_radius: its limits are radii, not shares.
    """

    measure: Callable[[pl.DataFrame, float], Measured | None]
    attacked: bool
    is_radius: bool = False


def _accuracy(start: str, rows: pl.DataFrame, level: float) -> Measured | None:
    names = (f"{start}accuracy", f"{start}low", f"{start}high", "n")
    value, low, high, n = curve(rows, level).select(names).row(0)
    return None if value is None else Measured(value, low, high, n)


def _errors(label: int, rows: pl.DataFrame, level: float) -> Measured | None:
    """The share of the images of a label that are not classified correctly."""
    part = with_result(rows).filter(pl.col("label") == label).select(wrong=~survived(), group=group_names())
    if part.is_empty():
        return None
    wrong = part["wrong"].to_numpy()
    return Measured(float(wrong.mean()), *clustered_wilson(wrong, part["group"].to_numpy(), level), len(part))


def _median_radius(rows: pl.DataFrame, level: float) -> Measured | None:
    # An image on which the attack failed has no radius: it counts as one that the smallest change fools.
    known = pl.col("radius").fill_null(0), (pl.col("radius") != 0).fill_null(True).alias("clean")
    part = with_result(rows).select(*known, group=group_names())
    radius, clean, group = (part[name].to_numpy() for name in ("radius", "clean", "group"))
    found = median_radius(radius, clean, group, level)
    if found is None:
        return None
    value, low, high = (np.inf if limit is None else limit for limit in (found.value, found.low, found.high))
    return Measured(value, low, high, int(found.images))


METRICS = {
    "clean accuracy": Metric(partial(_accuracy, ""), attacked=False),
    "clean balanced accuracy": Metric(partial(_accuracy, "balanced_"), attacked=False),
    "robust accuracy": Metric(partial(_accuracy, ""), attacked=True),
    "robust balanced accuracy": Metric(partial(_accuracy, "balanced_"), attacked=True),
    "missed disease": Metric(partial(_errors, 1), attacked=True),  # of two classes, or of one finding
    "false alarm": Metric(partial(_errors, 0), attacked=True),
    "median radius": Metric(_median_radius, attacked=False, is_radius=True),
}
"""What a criterion may be about; "missed disease" and "false alarm" at epsilon 0 are those of the clean images."""


class Criterion(Spec):
    """One limit.

    Raises:
        InputError: an unknown metric, no limit or several, an epsilon that is missing, or a limit outside its range.

    >>> Criterion(name="robust", metric="robust accuracy", epsilon="1/255", minimum=60)
    Traceback (most recent call last):
    palpate.core.spec.SpecError: Criterion: minimum: a share in [0, 1] is needed, given 60; write 0.60 for 60 %
    """

    name: str
    """what the criterion is called in the results"""
    metric: str = Field(description=", ".join(METRICS))
    minimum: float | str | None = None
    """the least value allowed"""
    maximum: float | str | None = None
    """the largest value allowed"""
    no_worse_by: float | None = Field(None, gt=0, le=1)
    """at most so much below the baseline run, as a share: 0.02 is two points"""
    epsilon: float | str | None = None
    """of the attack, such as "1/255\""""
    severity: float | None = Field(None, ge=0)
    """of a corruption, in its unit"""
    on: Literal["bound", "estimate"] = "bound"
    """the bound of the interval nearer to the limit, or the estimate"""
    level: float = Field(0.95, gt=0, lt=1)
    """of the interval"""
    images: int = Field(1, ge=1)
    """with fewer images the criterion is undecided"""
    task: str | None = None
    """one task; every task when absent"""
    model: str | None = None
    """one model; every model when absent"""
    attack: str | None = None
    """one attack's name; every attack when absent"""
    finding: str | None = None
    """one finding of several; every finding when absent"""

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        known = METRICS.get(self.metric)
        if known is None:
            raise ValueError(f"metric: one of {', '.join(METRICS)} is needed, given {self.metric!r}")
        limits = [name for name in ("minimum", "maximum", "no_worse_by") if getattr(self, name) is not None]
        if len(limits) != 1:
            given = f"given {' and '.join(limits) or 'none'}"
            raise ValueError(f"one of minimum, maximum and no_worse_by is needed, {given}")
        if limits == ["no_worse_by"] and self.metric not in ("clean accuracy", "robust accuracy"):
            raise ValueError(f"no_worse_by: goes with clean accuracy and robust accuracy, given {self.metric!r}")
        places = [name for name in ("epsilon", "severity") if getattr(self, name) is not None]
        if len(places) != (1 if known.attacked else 0):
            needed = "epsilon or severity is needed" if known.attacked else "no epsilon and no severity belong to it"
            raise ValueError(f"{self.metric}: {needed}, given {' and '.join(places) or 'none'}")
        if limits[0] != "no_worse_by":
            self.limit()  # refuses what is no share and no radius
        return self

    def limit(self) -> float:
        """The limit as a number: a share, or a radius of images in [0, 1]."""
        name = "minimum" if self.minimum is not None else "maximum" if self.maximum is not None else "no_worse_by"
        given = getattr(self, name)
        if METRICS[self.metric].is_radius:
            return parse_epsilon(given, "any")
        if isinstance(given, str) or not 0 <= given <= 1:
            near = f"; write {given / 100:.2f} for {given:g} %" if isinstance(given, float) and given <= 100 else ""
            shown = f"{given:g}" if isinstance(given, float) else repr(given)
            raise ValueError(f"{name}: a share in [0, 1] is needed, given {shown}{near}")
        return given

    def at(self, norm: str) -> float:
        """The epsilon or severity of the criterion; 0 for clean images."""
        if self.severity is not None:
            return self.severity
        return 0.0 if self.epsilon is None else parse_epsilon(self.epsilon, norm)


class Criteria(Spec):
    """Criteria with the day on which they were fixed.

    Attributes:
        checks: names of checks that every model's attack has to pass or to be warned about, or "all".
    """

    name: Name
    date: datetime.date
    """on which the criteria were fixed"""
    checks: tuple[str, ...] | Literal["all"] = ()
    """checks that may not fail and must have been run, or "all\""""
    criteria: tuple[Criterion, ...] = Field(min_length=1)


def read_criteria(path: Path) -> Criteria:
    """Read criteria from a TOML file.

    Raises:
        InputError: the file cannot be read or is not TOML, or a key or value is not allowed; every fault is listed.
    """
    return Criteria.read(read_toml(path, "give a TOML file of criteria"), str(path))
