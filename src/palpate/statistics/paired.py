"""The comparison of two models on the same images, epsilon by epsilon, in points with an interval and one plain sentence.

"20 times better" may be one image against twenty, and one training against another says nothing about an architecture. So
differences come in points, a ratio only where its denominator can bear it, and the sentence says what kind of claim the runs allow.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from palpate.core import rows
from palpate.statistics.align import CLEAN, Aligned, Side, align
from palpate.statistics.curves import curve
from palpate.statistics.differences import Difference, holm, mean_interval, paired_difference
from palpate.statistics.intervals import Floats, clustered_wilson
from palpate.statistics.wording import describe, name_epsilon, sentence

SMALLEST_DENOMINATOR = 10
"""Patients or lesions with a correct image, averaged over runs, below which a ratio is refused: at 10 its error is about a third."""


@dataclasses.dataclass(frozen=True)
class PairedPoint:
    """Two models at one epsilon.

    Attributes:
        epsilon_index: 0 is the clean prediction.
        epsilon: in units of [0, 1].
        accuracy_a: robust accuracy of the baseline, mean over runs, in [0, 1].
        accuracy_b: of the other.
        points: b minus a, in percentage points.
        low: lower limit, in points.
        high: upper limit, in points.
        p: two-sided, of this epsilon alone.
        p_adjusted: Holm's, over all epsilons of the comparison.
        ratio: accuracy_b / accuracy_a, or None where it is refused.
        ratio_low: its lower limit.
        ratio_high: its upper limit.
        ratio_note: why it is refused, or "".
    """

    epsilon_index: int
    epsilon: float
    accuracy_a: float
    accuracy_b: float
    points: float
    low: float
    high: float
    p: float
    p_adjusted: float
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    ratio_note: str


@dataclasses.dataclass(frozen=True)
class Area:
    """Mean difference over all epsilons from 0 to the largest, in points, by the trapezoidal rule; p is unadjusted."""

    points: float
    low: float
    high: float
    p: float


@dataclasses.dataclass(frozen=True)
class MedianRadius:
    """Epsilon that fools half the images, over images of these runs; None stands for more than the largest epsilon tried."""

    value: float | None
    low: float | None
    high: float | None


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What `compare` found; `str()` prints it, `to_frame()` gives a line per epsilon, `to_dict()` what JSON can hold.

    Attributes:
        a: name of the baseline.
        b: name of the model compared with it.
        runs_a: number of runs.
        runs_b: number of runs.
        architectures: True where both sides have two runs or more, so that the claim is about trainings like these; else the
            claim is about these weight files.
        task: of the rows.
        finding: of the rows.
        attack_id: of the rows; "none" where only clean predictions were given.
        images: number compared.
        groups: number of patients or lesions they belong to.
        points: one per epsilon.
        area: between the curves; None without an attack.
        median_radius_a: of the baseline; None without an attack.
        median_radius_b: of the other; None without an attack.
        sentence: the finding in plain words.
        notes: what was left out, what does not apply, and why.
    """

    a: str
    b: str
    runs_a: int
    runs_b: int
    architectures: bool
    task: str
    finding: str | None
    attack_id: str
    images: int
    groups: int
    points: tuple[PairedPoint, ...]
    area: Area | None
    median_radius_a: MedianRadius | None
    median_radius_b: MedianRadius | None
    sentence: str
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and finite numbers."""
        return dataclasses.asdict(self)

    def to_frame(self) -> pl.DataFrame:
        """One line per epsilon, with the attributes of `PairedPoint` as columns."""
        nullable = dict.fromkeys(["ratio", "ratio_low", "ratio_high"], pl.Float64())
        return pl.DataFrame([dataclasses.asdict(point) for point in self.points], schema_overrides=nullable)

    def __str__(self) -> str:
        return describe(self)


def compare(
    a: pl.DataFrame | str | Path,
    b: pl.DataFrame | str | Path,
    *,
    attack_id: str | None = None,
    level: float = 0.95,
    unit: str = "patients or lesions",
) -> Comparison:
    """Compare model b with the baseline a, paired on the same images; differences are b minus a.

    With two runs or more on both sides the intervals and p-values are about architectures, trainings as well as images being a
    sample; with one run on a side they are about weight files. See `palpate.statistics.differences.paired_difference`.

    Args:
        a: rows (`palpate.core.rows.SCHEMA`) of one architecture, one run or several seeds, or the path of such a parquet file.
        b: the same of the other.
        attack_id: which attack, where both tables hold several.
        level: the share of intervals that should cover the truth; a difference is shown where the adjusted p < 1 − level.
        unit: what a group is, for the sentence: "patients", "lesions".

    Raises:
        InputError: the tables cannot be paired: no image, attack or epsilon in common, several architectures or tasks in one table,
            other labels, or no image answered by every run.
    """
    tables = [rows.read(Path(table)) if isinstance(table, str | Path) else table for table in (a, b)]
    both = align(tables[0], tables[1], attack_id)
    groups = both.groups
    differences = [
        paired_difference(first, second, groups, level)
        for first, second in zip(both.a.correct, both.b.correct, strict=True)
    ]
    adjusted = holm([difference.p for difference in differences])
    points = tuple(
        _point(both, place, difference, float(p), level, unit)
        for place, (difference, p) in enumerate(zip(differences, adjusted, strict=True))
    )
    attacked = both.attack_id != CLEAN and len(points) > 1
    notes = [*both.notes, *_notes(both, tables, unit)]
    return Comparison(
        both.a.name,
        both.b.name,
        len(both.a.runs),
        len(both.b.runs),
        differences[0].architectures,
        both.task,
        both.finding,
        both.attack_id,
        len(groups),
        len(np.unique(groups)),
        points,
        _area(both, level) if attacked else None,
        _median_radius(both.a, both, level) if attacked else None,
        _median_radius(both.b, both, level) if attacked else None,
        sentence(both, points, differences[0].architectures, 1 - level, unit),
        tuple(notes),
    )


def _point(both: Aligned, place: int, difference: Difference, p: float, level: float, unit: str) -> PairedPoint:
    first, second = both.a.correct[place], both.b.correct[place]
    ratio, low, high, note = _ratio(first, second, both.groups, level, unit)
    return PairedPoint(
        both.indices[place],
        both.epsilons[place],
        float(first.mean()),
        float(second.mean()),
        100 * difference.value,
        100 * difference.low,
        100 * difference.high,
        difference.p,
        p,
        ratio,
        low,
        high,
        note,
    )


def _ratio(
    first: np.ndarray, second: np.ndarray, groups: np.ndarray, level: float, unit: str
) -> tuple[float | None, float | None, float | None, str]:
    """accuracy_b / accuracy_a and its limits by variance recovery (Donner & Zou 2012, Stat. Methods Med. Res. 21:347–359).

    The correlation of the two shares is left out; on the same images it is positive, so the interval is rather too wide.
    """
    below, above = float(first.mean()), float(second.mean())
    holders = float(np.mean([len(np.unique(groups[run])) for run in first]))
    low, high = mean_interval(first, groups, level)
    if holders < SMALLEST_DENOMINATOR or low <= 0 or high >= 2 * below:
        left = f"correct images: {first.sum(1).mean():.3g}, {unit}: {holders:.3g}"
        return None, None, None, f"no ratio, as its denominator rests on too little ({left})"
    low_b, high_b = mean_interval(second, groups, level)
    product = above * below
    down = np.sqrt(max(product**2 - low_b * high * (2 * above - low_b) * (2 * below - high), 0.0))
    up = np.sqrt(max(product**2 - high_b * low * (2 * above - high_b) * (2 * below - low), 0.0))
    return (
        above / below,
        float((product - down) / (high * (2 * below - high))),
        float((product + up) / (low * (2 * below - low))),
        "",
    )


def _area(both: Aligned, level: float) -> Area:
    """Trapezoidal mean over epsilon of each image's outcome, compared like any other share."""
    epsilons = np.array(both.epsilons)
    span = epsilons[-1] - epsilons[0]
    a, b = (np.trapezoid(side.correct.astype(float), epsilons, axis=0) / span for side in (both.a, both.b))  # (S, N)
    found = paired_difference(a, b, both.groups, level)
    return Area(100 * found.value, 100 * found.low, 100 * found.high, found.p)


def _median_radius(side: Side, both: Aligned, level: float) -> MedianRadius:
    """Median over images and runs, with the quantiles at the limits of the share below it (Woodruff 1952, JASA 47:635–646)."""
    radius = side.radius.ravel()
    middle = _quantile(radius, 0.5)
    low, high = clustered_wilson(radius <= middle, np.tile(both.groups, len(side.runs)), level)
    share = float(np.mean(radius <= middle))
    limits = _quantile(radius, max(0.5 - (share - low), 0.0)), _quantile(radius, min(0.5 + (high - share), 1.0))
    value, below, above = (None if np.isinf(radius) else radius for radius in (middle, *limits))
    return MedianRadius(value, below, above)


def _quantile(values: Floats, share: float) -> float:
    """The smallest value with at least this share at or below it: a value that was seen, even where others are infinite."""
    ordered = np.sort(values)
    return float(ordered[max(int(np.ceil(share * len(ordered) - 1e-9)) - 1, 0)])


def _notes(both: Aligned, tables: list[pl.DataFrame], unit: str) -> list[str]:
    notes = []
    if len(np.unique(both.labels)) == 1:
        notes.append("one class: accuracies are the recall of that class, and say nothing about the other")
    if len(np.unique(both.groups)) == 1 < len(both.groups):
        notes.append(f"all images belong to one group ({unit}): no difference can be shown on it")
    for side, table in zip((both.a, both.b), tables, strict=True):
        clean = curve(table.filter(pl.col("epsilon_index") == 0, pl.col("split") == both.split))
        if not side.correct[0].any():
            notes.append(f"{side.name}: all images are already wrong when clean, so there is nothing to attack")
        elif len(clean) and (clean["signal"] == False).all():  # noqa: E712  (null: does not apply)
            notes.append(
                f"{side.name}: clean balanced accuracy is not shown above chance, so its robustness means nothing"
            )
        if len(both.epsilons) > 1 and both.attack_id != CLEAN and np.isinf(side.radius).all():
            notes.append(
                f"{side.name}: no image was fooled up to {name_epsilon(both.epsilons[-1])}: attack or range may be too weak"
            )
    return notes
