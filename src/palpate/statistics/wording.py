"""The words of a comparison: what a stranger can read aloud without claiming more than was shown.

They stand apart from the numbers so that the terminal, the report and `str()` say the same thing in the same way.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from palpate.statistics.align import Aligned

if TYPE_CHECKING:
    from palpate.statistics.paired import Comparison, MedianRadius, PairedPoint


def name_epsilon(epsilon: float) -> str:
    """An epsilon as grey levels of 255 where it is a whole or half number of them, else as a decimal.

    >>> name_epsilon(2 / 255), name_epsilon(0.5 / 255), name_epsilon(0.00125)
    ('2/255', '0.5/255', '0.00125')
    """
    levels = epsilon * 255
    if levels > 0.4 and abs(2 * levels - round(2 * levels)) < 1e-6:
        return f"{round(2 * levels) / 2:g}/255"
    return f"{epsilon:.4g}"


def signed(points: float, plus: bool = False) -> str:
    """A difference in points with one decimal and a true minus sign; never "−0.0".

    >>> signed(-1.24), signed(3.06, plus=True), signed(-0.01, plus=True)
    ('−1.2', '+3.1', '0.0')
    """
    shown = f"{abs(points):.1f}"
    if shown == "0.0":
        return shown
    return ("−" if points < 0 else "+" if plus else "") + shown


def name_p(p: float) -> str:
    """A p-value as journals print it.

    >>> name_p(0.214), name_p(0.0004), name_p(1.0), name_p(0.049)
    ('p = .21', 'p < .001', 'p = 1', 'p = .049')
    """
    if p < 0.001:
        return "p < .001"
    if p >= 0.995:
        return "p = 1"
    return "p = " + (f"{p:.2f}" if p >= 0.0995 else f"{p:.3f}").lstrip("0")


def sentence(both: Aligned, points: "Sequence[PairedPoint]", architectures: bool, alpha: float, unit: str) -> str:
    """The comparison in one sentence, at the epsilon where the two models together have lost half of their clean accuracy.

    That epsilon says most about robustness, and choosing it by the sum of the models does not favour a difference.
    """
    means = np.array([point.accuracy_a + point.accuracy_b for point in points])
    chosen = points[1 + int(np.argmin(np.abs(means[1:] - means[0] / 2)))] if len(points) > 1 else points[0]
    where = f"at {name_epsilon(chosen.epsilon)}" if chosen.epsilon else "on clean images"
    figures = f"{signed(chosen.points, plus=True)} points {where} [{signed(chosen.low)}, {signed(chosen.high)}], {name_p(chosen.p_adjusted)}"
    number = len(np.unique(both.groups))
    images = f"{len(both.groups)} images" + (f" of {number} {unit}" if number < len(both.groups) else "")
    claim = ""
    if not architectures:
        one_each = len(both.a.runs) == len(both.b.runs) == 1
        claim = (
            " (two weight files, not two architectures)" if one_each else " (these weight files, not two architectures)"
        )
    return f"{_subject(both)}: {figures}, {_runs(both)}, {images}: {_shown(points, chosen, alpha)}{claim}"


def _subject(both: Aligned) -> str:
    a, b = both.a, both.b
    if (a.backbone, a.training) == (b.backbone, b.training) and a.attention != b.attention:
        if a.attention == "none":
            return "with attention"
        return (
            "without attention" if b.attention == "none" else f"with {b.attention} in place of {a.attention} attention"
        )
    return f"{b.name} against {a.name}"


def _runs(both: Aligned) -> str:
    a, b = len(both.a.runs), len(both.b.runs)
    if a != b:
        return f"{b} against {a} {'runs' if 1 in (a, b) else 'seeds'}"
    return "one run each" if a == 1 else f"{a} seeds"


def _shown(points: "Sequence[PairedPoint]", chosen: "PairedPoint", alpha: float) -> str:
    shown = [point for point in points if point.p_adjusted < alpha]
    others = ", ".join(
        f"{signed(point.points, plus=True)} {'at ' + name_epsilon(point.epsilon) if point.epsilon else 'on clean images'}"
        for point in shown
        if point is not chosen
    )
    if chosen in shown:
        return "a difference is shown" + (f", and {others}" if others else "")
    return "no difference shown" + (f" there, but {others}" if others else "")


def describe(found: "Comparison") -> str:
    """The sentence, a line per epsilon, and everything that was refused or left out."""
    lines = [found.sentence, ""]
    lines.append(f"{'epsilon':>10}  {'a %':>5}  {'b %':>5}  {'points':>6}  {'interval':>15}  {'p':>6}  {'b / a':>17}")
    for point in found.points:
        ratio = "refused"
        if point.ratio is not None:
            ratio = f"{point.ratio:.2f} [{point.ratio_low:.2f}, {point.ratio_high:.2f}]"
        lines.append(
            f"{name_epsilon(point.epsilon) if point.epsilon else 'clean':>10}  {100 * point.accuracy_a:5.1f}  {100 * point.accuracy_b:5.1f}  "
            f"{signed(point.points, plus=True):>6}  {f'[{signed(point.low)}, {signed(point.high)}]':>15}  "
            f"{name_p(point.p_adjusted).removeprefix('p ').removeprefix('= '):>6}  {ratio:>17}"
        )
    lines += ["", f"a: {found.a}; b: {found.b}; points are b minus a in percent; p is Holm-adjusted over the epsilons"]
    if found.area and found.median_radius_a and found.median_radius_b:
        area = found.area
        lines.append(
            f"area between the curves: {signed(area.points, plus=True)} points on average [{signed(area.low)}, {signed(area.high)}]"
        )
        largest = found.points[-1].epsilon
        a, b = _radius(found.median_radius_a, largest), _radius(found.median_radius_b, largest)
        lines.append(f"median radius (over images, for these runs): a {a}, b {b}")
    lines += [
        f"{name_epsilon(point.epsilon) if point.epsilon else 'clean'}: {point.ratio_note}"
        for point in found.points
        if point.ratio_note
    ]
    return "\n".join([*lines, *found.notes])


def _radius(radius: "MedianRadius", largest: float) -> str:
    beyond = f"above {name_epsilon(largest)}"
    value, low, high = (beyond if x is None else name_epsilon(x) for x in (radius.value, radius.low, radius.high))
    return value if value == low == high else f"{value} [{low}, {high}]"
