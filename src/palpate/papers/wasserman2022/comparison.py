"""The paper against the measured: every number of arXiv 2210.14405 that palpate knows, with this run's beside it.

A number that the run does not hold is "not measured", and where the paper leaves open what it means both readings are printed. Epsilons of
the paper are put into [0, 1] by the reading that the study names for the task: A the paper's ε is in [0, 1], B it spans
[−1, 1] and is halved, C it is in grey levels and divided by 255.
"""

import dataclasses
from collections.abc import Callable

from palpate.core.epsilon import READINGS
from palpate.papers.wasserman2022.print_figures import FAMILIES, family
from palpate.report import wording as words
from palpate.report.comparisons import Contrast, contrasts
from palpate.report.load import Line, Material, Point
from palpate.statistics.paired import PairedPoint
from palpate.statistics.wording import signed

NOT_MEASURED = "not measured"
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
    """The run's lines for one task of the paper and one backbone, under the study's first attack."""

    plain: tuple[Line, ...]  # one per seed
    attentive: tuple[Line, ...]
    contrast: Contrast | None
    scale: float  # epsilon of the paper times this is epsilon in [0, 1]


def reading(material: Material, task: str) -> str:
    """The study's reading of the paper's epsilon for a task: "A", "B" or "C"; A where none is named."""
    named = material.tasks[task].get("epsilon_reading") or material.study.get("spec", {}).get("epsilon_reading")
    return named if named in READINGS else "A"


def claims(material: Material) -> list[Claim]:
    """All numbers, in the paper's order."""
    pairs = contrasts(material)
    sides = {(kind, net): _side(material, kind, net, pairs) for kind in FAMILIES for net in (RESNET, INCEPTION)}
    skin, fundus, chest = (sides[kind, RESNET] for kind in FAMILIES)
    points = "Whether the paper means points or a share of the clean accuracy is unsaid; both are given."
    found = [
        *_clean("skin", skin, ".905", ".88", "67 % are nv"),
        Claim(
            NAMES["skin"],
            "lost at ε .00125, without attention",
            "24 %",
            _loss(skin.plain, 0.00125 * skin.scale),
            points,
        ),
        Claim(NAMES["skin"], "at ε .005, without attention", "worse than chance", _at(skin.plain, 0.005 * skin.scale)),
        Claim(NAMES["skin"], "at ε .01, without attention", "useless", _at(skin.plain, 0.01 * skin.scale)),
        Claim(NAMES["skin"], "at ε .01, with attention", "above chance", _at(skin.attentive, 0.01 * skin.scale)),
        *_clean("fundus", fundus, ".832", ".818", ".8043"),
        Claim(
            NAMES["fundus"],
            "smallest ε tried that costs 3 %, without",
            "at least .01",
            _costs(fundus.plain, 0.03),
            points,
        ),
        Claim(NAMES["fundus"], "with over without attention at ε .32", "over 20 ×", _ratio(fundus, 0.32)),
        *_clean("chest", chest, "not given", "not given", ".9527"),
        Claim(NAMES["chest"], "clean, with less without attention", "−1 to −2 points", _difference(chest, 0.0)),
        Claim(NAMES["chest"], "at ε .32, without attention", ".805", _at(chest.plain, 0.32 * chest.scale)),
        Claim(NAMES["chest"], "at ε .32, with attention", ".805", _at(chest.attentive, 0.32 * chest.scale)),
        Claim(NAMES["chest"], "lines cross", "beyond .32", _crossing(chest)),
    ]
    all_sides = [side for (_, net), side in sides.items() if net == RESNET]
    found += [
        Claim("All", "gain of attention over all ε, points", "up to 16 %, typically", _largest(all_sides), points),
        Claim("All", "gain of attention, extreme ratio", "2700 %", _largest_ratio(all_sides)),
        Claim("All", "more parameters with attention", "under 1.3 %", _parameters(material, all_sides)),
        Claim("All", "epochs trained", "most stop after 60–90", _epochs(material)),
    ]
    for kind in FAMILIES:
        side = sides[kind, INCEPTION]
        lost = "The paper's text holds no results of this backbone."
        for name, lines in (("without", side.plain), ("with", side.attentive)):
            found.append(
                Claim(NAMES[kind], f"{INCEPTION} clean, {name} attention", "not known", _reference(lines), lost)
            )
        found.append(Claim(NAMES[kind], f"{INCEPTION}, with against without", "not known", _sentence(side), lost))
    return found


def _side(material: Material, kind: str, net: str, pairs: list[Contrast]) -> Side:
    names = ("resnet50",) if net == RESNET else ("inception_resnet_v2", "inceptionresnetv2")
    task = next((task for task in material.tasks if family(material, task) == kind), None)
    if task is None:
        return Side((), (), None, 1.0)
    lines = [line for line in material.lines if line.task == task and any(name in line.backbone for name in names)]
    first = [line for line in lines if line.attack_id == lines[0].attack_id]
    contrast = next((one for one in pairs if one.task == task and any(name in one.backbone for name in names)), None)
    return Side(
        tuple(line for line in first if line.attention == "none"),
        tuple(line for line in first if line.attention != "none"),
        contrast,
        READINGS[reading(material, task)],
    )


def _clean(kind: str, side: Side, plain: str, attentive: str, majority: str) -> list[Claim]:
    one = next(iter(side.plain + side.attentive), None)
    rate = words.share(one.reference.majority_rate, 500) if one else NOT_MEASURED
    return [
        Claim(NAMES[kind], "clean accuracy, without attention", plain, _reference(side.plain)),
        Claim(NAMES[kind], "clean accuracy, with attention", attentive, _reference(side.attentive)),
        Claim(NAMES[kind], "majority rate of the data", majority, rate, "An accuracy near it is no result."),
    ]


def _under_attack(lines: tuple[Line, ...], say: Callable[[Line], str | None]) -> str:
    """As `_each`, without a claim for a model that has no signal."""
    return _each(lines, lambda line: "no signal" if line.reference.signal is False else say(line))


def _each(lines: tuple[Line, ...], say: Callable[[Line], str | None]) -> str:
    """One text per seed; "not measured" where no line has any."""
    said = [(line, text) for line in lines if (text := say(line))]
    if len(said) == 1:
        return said[0][1]
    return "; ".join(f"{line.model_id}: {text}" for line, text in said) or NOT_MEASURED


def _find(line: Line, epsilon: float) -> Point | None:
    near = [point for point in line.attacked if abs(point.epsilon - epsilon) <= 1e-6 * epsilon]
    return near[0] if near and near[0].accuracy is not None else None


def _reference(lines: tuple[Line, ...]) -> str:
    return _each(lines, lambda line: words.measured(line.reference))


def _at(lines: tuple[Line, ...], epsilon: float) -> str:
    def say(line: Line) -> str | None:
        point = _find(line, epsilon)
        chance = f", chance {words.share(line.reference.chance)}" if line.reference.chance else ""
        return f"{words.measured(point)}{chance}, majority {words.share(point.majority_rate)}" if point else None

    return _under_attack(lines, say)


def _loss(lines: tuple[Line, ...], epsilon: float) -> str:
    def say(line: Line) -> str | None:
        point, start = _find(line, epsilon), line.points[0].accuracy if line.points else None
        if point is None or not start or point.accuracy is None:
            return None
        lost = start - point.accuracy
        return (
            f"{100 * lost:.1f} points, {100 * lost / start:.0f}% of the clean accuracy ({words.measured(point)} left)"
        )

    return _under_attack(lines, say)


def _costs(lines: tuple[Line, ...], share: float) -> str:
    def say(line: Line) -> str | None:
        start = line.points[0].accuracy if line.points else None
        if start is None or not line.attacked:
            return None
        texts = []
        for name, threshold in (("in points", start - share), ("as a share", start * (1 - share))):
            fallen = words.first_below(list(line.attacked), threshold + 1e-12)
            texts.append(f"{name} {words.both(fallen.epsilon) if fallen else 'none'}")
        return ", ".join(texts)

    return _under_attack(lines, say)


def _paired(side: Side, epsilon: float) -> PairedPoint | None:
    found = side.contrast.found.points if side.contrast and side.contrast.found else ()
    return next((point for point in found if abs(point.epsilon - epsilon) <= 1e-6 * epsilon), None)


def _difference(side: Side, epsilon: float) -> str:
    point = _paired(side, epsilon * side.scale)
    return _points(point) if point else _refused(side)


def _points(point: PairedPoint) -> str:
    return f"{signed(point.points, plus=True)} points [{signed(point.low)}, {signed(point.high)}]"


def _ratio(side: Side, epsilon: float) -> str:
    point = _paired(side, epsilon * side.scale)
    if point is None:
        return _refused(side)
    if point.ratio is None:
        return f"{point.ratio_note}; {_points(point)}"
    return f"{point.ratio:.2f} × [{point.ratio_low:.2f}, {point.ratio_high:.2f}]"


def _refused(side: Side) -> str:
    return side.contrast.sentence if side.contrast and side.contrast.found is None else NOT_MEASURED


def _sentence(side: Side) -> str:
    return side.contrast.sentence if side.contrast else NOT_MEASURED


def _crossing(side: Side) -> str:
    if not side.contrast or not side.contrast.found:
        return _refused(side)
    ahead = [point for point in side.contrast.found.points if point.points > 0 and point.epsilon > 0]
    largest = side.contrast.found.points[-1].epsilon
    if not ahead:
        return f"not up to {words.both(largest)}"
    return f"attention ahead from {words.both(ahead[0].epsilon)} on, by {_points(ahead[0])}"


def _compared(sides: list[Side]) -> list[tuple[str, PairedPoint]]:
    return [
        (side.contrast.task, point)
        for side in sides
        if side.contrast and side.contrast.found
        for point in side.contrast.found.points
    ]


def _largest(sides: list[Side]) -> str:
    found = max(_compared(sides), key=lambda one: one[1].points, default=None)
    return f"{_points(found[1])} on {found[0]} at {words.both(found[1].epsilon)}" if found else NOT_MEASURED


def _largest_ratio(sides: list[Side]) -> str:
    compared = _compared(sides)
    allowed = [(task, point) for task, point in compared if point.ratio is not None]
    if not allowed:
        return "no ratio: every denominator is too small" if compared else NOT_MEASURED
    task, point = max(allowed, key=lambda one: one[1].ratio or 0)
    return (
        f"{point.ratio:.2f} × [{point.ratio_low:.2f}, {point.ratio_high:.2f}] on {task} at {words.both(point.epsilon)}"
    )


def _parameters(material: Material, sides: list[Side]) -> str:
    """Trained and frozen parameters that the train cells counted, with against without."""

    def count(lines: tuple[Line, ...]) -> int | None:
        cells = [cell for line in lines for cell in material.complete("train", line.task, line.model_id)]
        return next((n for cell in cells if (n := cell.record.get("facts", {}).get("parameters"))), None)

    for side in sides:
        plain, attentive = count(side.plain), count(side.attentive)
        if plain and attentive:
            return f"{100 * (attentive / plain - 1):.3f}% ({attentive - plain:,} more than {plain:,})"
    return NOT_MEASURED


def _epochs(material: Material) -> str:
    found = [n for cell in material.complete("train") if (n := cell.record.get("facts", {}).get("epochs"))]
    return f"{min(found)} to {max(found)} in {len(found)} trainings" if found else NOT_MEASURED
