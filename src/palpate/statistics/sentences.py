"""A comparison in one sentence, which states no more than the number of runs and images allows."""

from collections.abc import Sequence

import numpy as np

from palpate.core import formatting
from palpate.statistics.align import Aligned
from palpate.statistics.comparison import PairedPoint


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
    if not point.epsilon:
        return "on clean images"
    return f"at ε = {formatting.epsilon(point.epsilon, both.norm)}"


def _subject(both: Aligned) -> str:
    a, b = both.a, both.b
    if (a.backbone, a.training) == (b.backbone, b.training) and a.attention != b.attention:
        if a.attention == "none":
            return "with vs. without attention"
        return "without vs. with attention" if b.attention == "none" else f"{b.attention} vs. {a.attention} attention"
    return f"{b.name} vs. {a.name}"


def _runs(both: Aligned) -> str:
    a, b = len(both.a.runs), len(both.b.runs)
    if a != b:
        return f"{b} vs. {a} runs"
    return "one run each" if a == 1 else f"{a} seeds each"


def _significance(points: Sequence[PairedPoint], chosen: PairedPoint, both: Aligned, alpha: float) -> str:
    p = f"(Holm-adjusted {formatting.p_value(chosen.p_adjusted)})"
    significant = [point for point in points if point.p_adjusted < alpha and point is not chosen]
    others = ", ".join(
        f"{_where(one, both)} ({formatting.points(one.points, plus=True)} points)" for one in significant
    )
    if chosen.p_adjusted < alpha:
        return f"significant difference {p}" + (f", also {others}" if others else "")
    return f"no significant difference {p}" + (f", but a significant one {others}" if others else "")
