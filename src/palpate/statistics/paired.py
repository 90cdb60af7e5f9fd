"""The comparison of two models on the same images, epsilon by epsilon, in points with an interval and one plain sentence.

"20 times better" may be one image and twenty, and a difference of two trainings says nothing about architectures. So differences
are given in points, a ratio only where its denominator is large enough, and the sentence says what the number of runs allows.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from palpate.core import formatting
from palpate.statistics.align import CLEAN, Aligned, align
from palpate.statistics.comparison import Area, Comparison, PairedPoint
from palpate.statistics.curves import curve
from palpate.statistics.differences import Difference, holm, mean_interval, paired_difference
from palpate.statistics.radius import median_radius
from palpate.statistics.tables import Comparable, read_rows

SMALLEST_DENOMINATOR = 10
"""Patients or lesions with a correct image, averaged over runs, below which a ratio is refused: at 10 its error is about a third."""


def compare(
    a: Comparable,
    b: Comparable,
    *,
    attack_id: str | None = None,
    level: float = 0.95,
    unit: str = "patients or lesions",
) -> Comparison:
    """Compare model b with the baseline a, paired on the same images; differences are b minus a.

    With two runs or more on both sides the intervals and p-values are about architectures, trainings as well as images being a
    sample; with one run on a side they are about weight files. See `palpate.statistics.differences.paired_difference`.

    Args:
        a: rows (`palpate.core.rows.SCHEMA`) of one architecture, one run or several seeds, the result of `palpate.sweep`, or the path of a saved
            file of either. The images of a sweep are told apart by their place and each is its own group.
        b: the same of the other.
        attack_id: which attack, where both tables hold several.
        level: the share of intervals that should cover the truth; a difference is significant where the adjusted p < 1 − level.
        unit: what a group is, for the sentence: "patients", "lesions".

    Raises:
        InputError: the tables cannot be paired: no image, attack or epsilon in common, several architectures or tasks in one table,
            other labels, or no image with a prediction of every run.
    """
    tables = [read_rows(given, name) for name, given in (("a", a), ("b", b))]
    both = align(tables[0], tables[1], attack_id)
    groups = both.groups
    sides, pairs = (both.a, both.b), zip(both.a.correct, both.b.correct, strict=True)
    differences = [paired_difference(first, second, groups, level) for first, second in pairs]
    adjusted = enumerate(zip(differences, holm([one.p for one in differences]), strict=True))
    points = tuple(_point(both, place, one, float(p), level, unit) for place, (one, p) in adjusted)
    attacked, architectures = both.attack_id != CLEAN and len(points) > 1, differences[0].architectures
    a_radius, b_radius = (median_radius(side.radius, side.correct[0], groups, level) for side in sides)
    named = both.a.name, both.b.name, len(both.a.runs), len(both.b.runs), architectures
    about = both.task, both.finding, both.attack_id, both.norm, len(groups), len(np.unique(groups))
    text = sentence(both, points, architectures, 1 - level, unit)
    notes = (*both.notes, *_notes(both, tables, unit))
    found = (_area(both, level), a_radius, b_radius) if attacked else (None, None, None)
    return Comparison(*named, *about, points, *found, text, notes)


def _point(both: Aligned, place: int, difference: Difference, p: float, level: float, unit: str) -> PairedPoint:
    first, second = both.a.correct[place], both.b.correct[place]
    accuracies = float(first.mean()), float(second.mean())
    points = 100 * difference.value, 100 * difference.low, 100 * difference.high
    ratio = _ratio(first, second, both.groups, level, unit)
    return PairedPoint(both.indices[place], both.epsilons[place], *accuracies, *points, difference.p, p, *ratio)


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
        return None, None, None, f"no ratio, its denominator is too small ({left})"
    low_b, high_b = mean_interval(second, groups, level)
    product = above * below
    down = np.sqrt(max(product**2 - low_b * high * (2 * above - low_b) * (2 * below - high), 0.0))
    up = np.sqrt(max(product**2 - high_b * low * (2 * above - high_b) * (2 * below - low), 0.0))
    lower, upper = (product - down) / (high * (2 * below - high)), (product + up) / (low * (2 * below - low))
    return above / below, float(lower), float(upper), ""


def _area(both: Aligned, level: float) -> Area:
    """Trapezoidal mean over epsilon of each image's outcome, compared like any other share."""
    epsilons = np.array(both.epsilons)
    span = epsilons[-1] - epsilons[0]
    a, b = (np.trapezoid(side.correct.astype(float), epsilons, axis=0) / span for side in (both.a, both.b))  # (S, N)
    found = paired_difference(a, b, both.groups, level)
    return Area(100 * found.value, 100 * found.low, 100 * found.high, found.p)


def _notes(both: Aligned, tables: list[pl.DataFrame], unit: str) -> list[str]:
    notes = []
    if len(np.unique(both.labels)) == 1:
        notes.append("one class: the accuracies are the recall of that class")
    if len(np.unique(both.groups)) == 1 < len(both.groups):
        notes.append(f"all images belong to one group ({unit}): no difference can be significant")
    for side, table in zip((both.a, both.b), tables, strict=True):
        clean = curve(table.filter(pl.col("epsilon_index") == 0, pl.col("split") == both.split))
        if not side.correct[0].any():
            notes.append(f"{side.name}: all images are already wrong when clean, so no attack is needed")
        elif len(clean) and (clean["signal"] == False).all():  # noqa: E712  (null: does not apply)
            chance = "its clean balanced accuracy is not significantly above chance"
            notes.append(f"{side.name}: {chance}, so its robust accuracy says nothing")
        if len(both.epsilons) > 1 and both.attack_id != CLEAN and np.isinf(side.radius).all():
            last = formatting.epsilon(both.epsilons[-1], both.norm)
            notes.append(f"{side.name}: no image was fooled up to ε = {last}: the attack may be too weak")
    return notes


def sentence(both: Aligned, points: Sequence[PairedPoint], architectures: bool, alpha: float, unit: str) -> str:
    """The comparison in one sentence, at the epsilon where the two models together have lost half of their clean accuracy.

    Robustness shows best at that epsilon, and choosing it by the sum of the two models does not favour a difference.
    """
    chosen = halfway(points)
    figures = formatting.points_interval(chosen.points, chosen.low, chosen.high)
    number = len(np.unique(both.groups))
    images = f"{len(both.groups)} images" + (f" of {number} {unit}" if number < len(both.groups) else "")
    which = "two" if len(both.a.runs) == len(both.b.runs) == 1 else "these"
    note = "" if architectures else f"; {which} weight files, not two architectures"
    about = f"{_subject(both)}: {figures} points {_where(chosen, both)}, {_runs(both)}, {images}"
    return f"{about}: {_significance(points, chosen, both, alpha)}{note}"


def halfway(points: Sequence[PairedPoint]) -> PairedPoint:
    """The point at which two models together have lost half of their clean accuracy; the clean one where there is no other."""
    sums = np.array([point.accuracy_a + point.accuracy_b for point in points])
    return points[1 + int(np.argmin(np.abs(sums[1:] - sums[0] / 2)))] if len(points) > 1 else points[0]


def _where(point: PairedPoint, both: Aligned) -> str:
    return f"at ε = {formatting.epsilon(point.epsilon, both.norm)}" if point.epsilon else "on clean images"


def _subject(both: Aligned) -> str:
    a, b = both.a, both.b
    if (a.backbone, a.training) == (b.backbone, b.training) and a.attention != b.attention:
        if a.attention == "none":
            return "with vs. without attention"
        return "without vs. with attention" if b.attention == "none" else f"{b.attention} vs. {a.attention} attention"
    return f"{b.name} vs. {a.name}"


def _runs(both: Aligned) -> str:
    a, b = len(both.a.runs), len(both.b.runs)
    return f"{b} vs. {a} runs" if a != b else "one run each" if a == 1 else f"{a} seeds each"


def _significance(points: Sequence[PairedPoint], chosen: PairedPoint, both: Aligned, alpha: float) -> str:
    p = f"(Holm-adjusted {formatting.p_value(chosen.p_adjusted)})"
    significant = [point for point in points if point.p_adjusted < alpha and point is not chosen]
    others = ", ".join(
        f"{_where(one, both)} ({formatting.points(one.points, plus=True)} points)" for one in significant
    )
    if chosen.p_adjusted < alpha:
        return f"significant difference {p}" + (f", also {others}" if others else "")
    return f"no significant difference {p}" + (f", but a significant one {others}" if others else "")
