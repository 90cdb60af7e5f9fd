"""The paper against the measured: every number of arXiv 2210.14405 that palpate knows, with this run's beside it.

A number that the run does not hold is "not measured", and where the paper leaves open what it means both meanings are printed. The paper does not
say in which unit its epsilons are. There are three readings: A, images in [0, 1]; B, images in [−1, 1], so half; C, grey levels, so a 255th.
A study states epsilons in [0, 1]; its reading is the one under which the paper's epsilons are the study's.
"""

import dataclasses
from collections.abc import Callable
from functools import partial

from palpate.core import formatting
from palpate.report.contrasts import Contrast
from palpate.report.results import Curve, Point
from palpate.report.run_data import RunData
from palpate.statistics.comparison import PairedPoint

NOT_MEASURED = "not measured"

READINGS: dict[str, float] = {"A": 1.0, "B": 0.5, "C": 1 / 255}
"""What an epsilon of the paper is multiplied by to lie in [0, 1]."""

FINDINGS = {"skin lesion": "skin", "diabetic retinopathy": "fundus", "pneumothorax": "chest"}

_FUNDUS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
EPSILONS = {"skin": (0.00125, 0.0025, 0.005, 0.0075, 0.01), "fundus": _FUNDUS, "chest": (*_FUNDUS, 0.64)}
"""As the paper prints them, in its order of tasks."""

FAMILIES = tuple(EPSILONS)

NAMES = {"skin": "Skin lesions", "fundus": "Diabetic retinopathy", "chest": "Pneumothorax"}
RESNET, INCEPTION = "ResNet-50", "Inception-ResNet-v2"


@dataclasses.dataclass(frozen=True)
class Claim:
    """One number of the paper."""

    where: str
    what: str
    paper: str
    measured: str
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Side:
    """The run's curves for one task of the paper and one backbone, under the study's first attack."""

    task: str
    plain: tuple[Curve, ...]  # one per seed
    attentive: tuple[Curve, ...]
    contrast: Contrast | None
    scale: float  # epsilon of the paper times this is epsilon in [0, 1]


def family(data: RunData, task: str) -> str:
    """Which of the paper's tasks this one is: "skin", "fundus", "chest", or "" for another."""
    finding = data.study.tasks[task].finding
    if finding in FINDINGS:
        return FINDINGS[finding]
    return next((name for name in FAMILIES if task.startswith(f"phantom-{name}")), "")


def reading(data: RunData, task: str) -> str:
    """The reading of the paper's epsilons under which most of them are epsilons of the task; A where none is."""
    stated, printed = data.study.tasks[task].epsilons, EPSILONS.get(family(data, task), ())

    def matches(name: str) -> int:
        return sum(any(abs(READINGS[name] * e - epsilon) <= 1e-6 * epsilon for epsilon in stated) for e in printed)

    return max(READINGS, key=matches)


def claims(data: RunData) -> list[Claim]:
    """All numbers, in the paper's order."""
    sides = {(kind, net): _side(data, kind, net) for kind in FAMILIES for net in (RESNET, INCEPTION)}
    skin, fundus, chest = (sides[kind, RESNET] for kind in FAMILIES)
    points = "Whether the paper means points or a share of the clean accuracy is unsaid; both are given."
    of_skin, of_fundus, of_chest = (partial(Claim, NAMES[kind]) for kind in FAMILIES)
    found = [
        *_clean("skin", skin, ".905", ".88", "67 % are nv"),
        of_skin("lost at ε .00125, without attention", "24 %", _loss(skin.plain, skin, 0.00125), points),
        of_skin("at ε .005, without attention", "worse than chance", _at(skin.plain, skin, 0.005)),
        of_skin("at ε .01, without attention", "useless", _at(skin.plain, skin, 0.01)),
        of_skin("at ε .01, with attention", "above chance", _at(skin.attentive, skin, 0.01)),
        *_clean("fundus", fundus, ".832", ".818", ".8043"),
        of_fundus("smallest ε tried that costs 3 %, without", "at least .01", _costs(fundus.plain, 0.03), points),
        of_fundus("with over without attention at ε .32", "over 20 ×", _pair(fundus, 0.32, _ratio)),
        *_clean("chest", chest, "not given", "not given", ".9527"),
        of_chest("clean, with less without attention", "−1 to −2 points", _pair(chest, 0.0, _points)),
        of_chest("at ε .32, without attention", ".805", _at(chest.plain, chest, 0.32)),
        of_chest("at ε .32, with attention", ".805", _at(chest.attentive, chest, 0.32)),
        of_chest("lines cross", "beyond .32", _crossing(chest)),
    ]
    all_sides = [skin, fundus, chest]
    found += [
        Claim("All", "gain of attention over all ε, points", "up to 16 %, typically", _largest(all_sides), points),
        Claim("All", "gain of attention, extreme ratio", "2700 %", _largest_ratio(all_sides)),
        Claim("All", "more parameters with attention", "under 1.3 %", _parameters(data, all_sides)),
        Claim("All", "epochs trained", "most stop after 60–90", _epochs(data)),
    ]
    lost = "The paper's text holds no results of this backbone."
    for kind in FAMILIES:
        side = sides[kind, INCEPTION]
        unknown = partial(Claim, NAMES[kind], paper="not known", note=lost)
        for name, lines in (("without", side.plain), ("with", side.attentive)):
            found.append(unknown(what=f"{INCEPTION} clean, {name} attention", measured=_reference(lines)))
        compared = side.contrast.sentence if side.contrast else NOT_MEASURED
        found.append(unknown(what=f"{INCEPTION}, with vs. without", measured=compared))
    return found


def _side(data: RunData, kind: str, net: str) -> Side:
    name = "resnet50" if net == RESNET else "inception_resnet_v2"
    task = next((task for task in data.study.tasks if family(data, task) == kind), None)
    if task is None:
        return Side("", (), (), None, 1.0)
    found = data.results.tasks[task]
    curves = [curve for curve in found.curves if name in curve.backbone]
    first = [curve for curve in curves if curve.attack_id == curves[0].attack_id]
    contrast = next((one for one in found.contrasts if name in one.backbone), None)
    lines = [tuple(curve for curve in first if (curve.attention != "none") == with_it) for with_it in (False, True)]
    return Side(task, lines[0], lines[1], contrast, READINGS[reading(data, task)])


def _clean(kind: str, side: Side, plain: str, attentive: str, majority: str) -> list[Claim]:
    one = next(iter(side.plain + side.attentive), None)
    rate = formatting.percent(_clean_point(one).majority_rate, formatting.DECIMAL_FROM) if one else NOT_MEASURED
    claim = partial(Claim, NAMES[kind])
    clean = claim("clean accuracy, without attention", plain, _reference(side.plain))
    with_it = claim("clean accuracy, with attention", attentive, _reference(side.attentive))
    return [clean, with_it, claim("majority rate of the data", majority, rate, "An accuracy near it is no result.")]


def _under_attack(lines: tuple[Curve, ...], say: Callable[[Curve], str | None]) -> str:
    """As `_each`, without a claim for a model that has no signal."""
    return _each(lines, lambda line: "no signal" if line.signal is False else say(line))


def _each(lines: tuple[Curve, ...], say: Callable[[Curve], str | None]) -> str:
    """One text per seed; "not measured" where no line has any."""
    said = [(line, text) for line in lines if (text := say(line))]
    if len(said) == 1:
        return said[0][1]
    return "; ".join(f"{line.model_id}: {text}" for line, text in said) or NOT_MEASURED


def _find(line: Curve, epsilon: float) -> Point | None:
    near = [point for point in line.attacked if abs(point.epsilon - epsilon) <= 1e-6 * epsilon]
    return near[0] if near and near[0].accuracy is not None else None


def measured(point: Point) -> str:
    """Accuracy with its interval and its number of images: "41% [28, 55] of 48 images"."""
    return f"{formatting.percent_interval(point.accuracy, point.low, point.high, point.n)} of {point.n} images"


def _clean_point(line: Curve) -> Point:
    """The clean prediction of the whole test split, where there is one."""
    return line.clean or line.points[0]


def _reference(lines: tuple[Curve, ...]) -> str:
    return _each(lines, lambda line: measured(_clean_point(line)))


def _at(lines: tuple[Curve, ...], side: Side, epsilon: float) -> str:
    def say(line: Curve) -> str | None:
        point = _find(line, epsilon * side.scale)
        rate = _clean_point(line).chance
        chance = f", chance {formatting.percent(rate)}" if rate else ""
        return f"{measured(point)}{chance}, majority {formatting.percent(point.majority_rate)}" if point else None

    return _under_attack(lines, say)


def _loss(lines: tuple[Curve, ...], side: Side, epsilon: float) -> str:
    def say(line: Curve) -> str | None:
        point, start = _find(line, epsilon * side.scale), line.points[0].accuracy if line.points else None
        if point is None or not start or point.accuracy is None:
            return None
        lost = start - point.accuracy
        return f"{100 * lost:.1f} points, {100 * lost / start:.0f}% of the clean accuracy ({measured(point)} left)"

    return _under_attack(lines, say)


def _costs(lines: tuple[Curve, ...], share: float) -> str:
    def say(line: Curve) -> str | None:
        start = line.points[0].accuracy if line.points else None
        if start is None or not line.attacked:
            return None
        known = [point for point in line.attacked if point.accuracy is not None]
        texts = []
        for name, threshold in (("in points", start - share), ("as a share", start * (1 - share))):
            fallen = [point.epsilon for point in known if (point.accuracy or 0.0) < threshold + 1e-12]
            texts.append(f"{name} {formatting.epsilon(fallen[0]) if fallen else 'none'}")
        return ", ".join(texts)

    return _under_attack(lines, say)


def _pair(side: Side, epsilon: float, say: Callable[[PairedPoint], str]) -> str:
    at = epsilon * side.scale
    point = next((point for point in _compared(side) if abs(point.epsilon - at) <= 1e-6 * at), None)
    return say(point) if point else _refused(side)


def _points(point: PairedPoint) -> str:
    return f"{formatting.points_interval(point.points, point.low, point.high)} points"


def _ratio(point: PairedPoint) -> str:
    return f"{point.ratio_note}; {_points(point)}" if point.ratio is None else _times(point)


def _times(point: PairedPoint) -> str:
    return f"{point.ratio:.2f} × [{point.ratio_low:.2f}, {point.ratio_high:.2f}]"


def _refused(side: Side) -> str:
    return side.contrast.sentence if side.contrast and side.contrast.comparison is None else NOT_MEASURED


def _crossing(side: Side) -> str:
    if not (points := _compared(side)):
        return _refused(side)
    ahead = [point for point in points if point.points > 0 and point.epsilon > 0]
    if not ahead:
        return f"not up to {formatting.epsilon(points[-1].epsilon)}"
    return f"attention ahead from {formatting.epsilon(ahead[0].epsilon)} on, by {_points(ahead[0])}"


def _compared(side: Side) -> tuple[PairedPoint, ...]:
    """The two sides at each epsilon, where they could be compared."""
    return side.contrast.comparison.points if side.contrast and side.contrast.comparison else ()


def _largest(sides: list[Side]) -> str:
    compared = [(side.task, point) for side in sides for point in _compared(side)]
    if not compared:
        return NOT_MEASURED
    task, point = max(compared, key=lambda one: one[1].points)
    return f"{_points(point)} on {task} at {formatting.epsilon(point.epsilon)}"


def _largest_ratio(sides: list[Side]) -> str:
    compared = [(side.task, point) for side in sides for point in _compared(side)]
    allowed = [(task, point) for task, point in compared if point.ratio is not None]
    if not allowed:
        return "no ratio: every denominator is too small" if compared else NOT_MEASURED
    task, point = max(allowed, key=lambda one: one[1].ratio or 0)
    return f"{_times(point)} on {task} at {formatting.epsilon(point.epsilon)}"


def _parameters(data: RunData, sides: list[Side]) -> str:
    """Trained and frozen parameters that the train stages counted, with vs. without attention."""

    def count(side: Side, lines: tuple[Curve, ...]) -> int | None:
        stages = [stage for line in lines for stage in data.complete("train", side.task, line.model_id)]
        return next((n for stage in stages if (n := stage.facts.get("parameters"))), None)

    for side in sides:
        plain, attentive = count(side, side.plain), count(side, side.attentive)
        if plain and attentive:
            return f"{100 * (attentive / plain - 1):.3f}% ({attentive - plain:,} more than {plain:,})"
    return NOT_MEASURED


def _epochs(data: RunData) -> str:
    found = [n for stage in data.complete("train") if (n := stage.facts.get("epochs"))]
    return f"{min(found)} to {max(found)} in {len(found)} trainings" if found else NOT_MEASURED
