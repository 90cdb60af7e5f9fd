"""The result of comparing two models on the same images: its numbers, as text, as a table and as JSON."""

import dataclasses
from typing import Any

import polars as pl

from palpate.core import formatting
from palpate.statistics.radius import MedianRadius


@dataclasses.dataclass(frozen=True)
class PairedPoint:
    """Two models at one epsilon.

    Attributes:
        epsilon_index: 0 is the clean prediction.   epsilon: the attack's radius, images in [0, 1].
        accuracy_a, accuracy_b: robust accuracy, mean over runs, in [0, 1].
        points: b minus a, in percentage points.   low, high: its limits.
        p: two-sided, of this epsilon alone.   p_adjusted: Holm's, over all epsilons of the comparison.
        ratio: accuracy_b / accuracy_a, or None where it is refused.   ratio_low, ratio_high: its limits.
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
class Comparison:
    """What `compare` found; `str()` prints it, `to_frame()` gives a line per epsilon, `to_dict()` what JSON can hold.

    Attributes:
        a, b: name of the baseline, and of the model compared with it.   runs_a, runs_b: number of runs of each.
        architectures: True where both sides have two runs or more, so that the result is about trainings like these; else it
            is about these weight files.
        task, finding: of the rows.   attack_id: of the rows; "none" where only clean predictions were given.
        norm: of its epsilons and radii.
        images: number compared.   groups: number of patients or lesions they belong to.
        points: one per epsilon.   area: between the curves; None without an attack.
        median_radius_a, median_radius_b: None without an attack, or where no image is classified correctly.
        sentence: the result in plain words.   notes: what was left out, what does not apply, and why.
    """

    a: str
    b: str
    runs_a: int
    runs_b: int
    architectures: bool
    task: str
    finding: str | None
    attack_id: str
    norm: str
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
        """The sentence, a line per epsilon, and everything that was refused or left out."""
        head = f"{'epsilon':>20}  {'a %':>5}  {'b %':>5}  {'points':>6}  {'interval':>15}  {'p':>6}  {'b / a':>17}"
        lines = [self.sentence, "", head]
        for point in self.points:
            ratio = "refused"
            if point.ratio is not None:
                ratio = f"{point.ratio:.2f} [{point.ratio_low:.2f}, {point.ratio_high:.2f}]"
            limits = f"[{formatting.points(point.low)}, {formatting.points(point.high)}]"
            p = formatting.p_value(point.p_adjusted).removeprefix("p ").removeprefix("= ")
            line = f"{_epsilon(point, self.norm):>20}  {100 * point.accuracy_a:5.1f}  {100 * point.accuracy_b:5.1f}  "
            lines.append(f"{line}{formatting.points(point.points, plus=True):>6}  {limits:>15}  {p:>6}  {ratio:>17}")
        meaning = "points are b minus a in percent; p is Holm-adjusted over the epsilons"
        lines += ["", f"a: {self.a}; b: {self.b}; {meaning}"]
        if self.area:
            area = formatting.points_interval(self.area.points, self.area.low, self.area.high)
            lines.append(f"area between the curves: {area} points on average")
            a, b = map(self._radius, (self.median_radius_a, self.median_radius_b))
            lines.append(f"median radius of the images classified correctly: a {a}, b {b}")
        lines += [f"{_epsilon(point, self.norm)}: {point.ratio_note}" for point in self.points if point.ratio_note]
        return "\n".join([*lines, *self.notes])

    def _radius(self, found: MedianRadius | None) -> str:
        if found is None:
            return formatting.NO_VALUE
        return formatting.epsilon_interval(found.value, found.low, found.high, self.points[-1].epsilon, self.norm)


def _epsilon(point: PairedPoint, norm: str) -> str:
    return formatting.epsilon(point.epsilon, norm) if point.epsilon else "clean"
