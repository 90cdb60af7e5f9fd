"""With against without attention, per task, backbone and attack: the study's headline, paired on the same images.

`palpate.statistics.paired.compare` decides what may be said; this only finds the pairs that a study holds and refuses those in which
neither side has learned anything.
"""

import dataclasses

import polars as pl

from palpate.core.errors import InputError
from palpate.report import wording as words
from palpate.report.load import Material
from palpate.statistics.paired import Comparison, compare
from palpate.statistics.wording import signed


@dataclasses.dataclass(frozen=True)
class Contrast:
    """A model with attention against the same without."""

    task: str
    backbone: str
    attention: str
    attack_id: str
    sentence: str
    found: Comparison | None  # None where there was nothing to compare; the sentence says why


def contrasts(material: Material) -> list[Contrast]:
    """Every pair in the study's order of tasks; nothing where no backbone stands with and without attention."""
    rows = material.attack_rows()
    kinds = rows.filter(pl.col("attack_id") != "none").select(
        "task", "finding", "backbone", "training", "attack_id", "attention"
    )
    found = []
    for key in kinds.unique(maintain_order=True).iter_rows(named=True):
        if key["attention"] == "none":
            continue
        side = {name: key[name] for name in ("task", "finding", "backbone", "training")}
        plain = rows.filter(**side, attention="none")
        if len(plain.filter(attack_id=key["attack_id"])):
            found.append(_contrast(material, key, plain, rows.filter(**side, attention=key["attention"])))
    order = list(material.tasks)
    return sorted(found, key=lambda one: order.index(one.task) if one.task in order else len(order))


def _contrast(material: Material, key: dict[str, str], plain: pl.DataFrame, attentive: pl.DataFrame) -> Contrast:
    def say(sentence: str, found: Comparison | None = None) -> Contrast:
        return Contrast(key["task"], key["backbone"], key["attention"], key["attack_id"], sentence, found)

    models = {*plain["model_id"], *attentive["model_id"]}
    signals = {
        line.model_id: line.reference.signal
        for line in material.lines
        if (line.task, line.finding) == (key["task"], key["finding"]) and line.model_id in models
    }
    silent = sorted(name for name, signal in signals.items() if signal is False)
    if silent:
        return say(
            f"not compared: no signal in {', '.join(silent)}, and what was never learned cannot be lost or kept."
        )
    try:
        found = compare(plain, attentive, attack_id=key["attack_id"])
    except InputError as error:
        return say(f"not compared: {error}.")
    return say(f"{found.sentence}.", found)


def points(found: Comparison) -> list[tuple[str, str, str, str, str]]:
    """Per epsilon: its name, accuracy without, accuracy with, the difference with its interval, and the adjusted p."""
    return [
        (
            words.both(point.epsilon) if point.epsilon else "clean",
            words.share(point.accuracy_a, found.images),
            words.share(point.accuracy_b, found.images),
            f"{signed(point.points, plus=True)} [{signed(point.low)}, {signed(point.high)}]",
            "< .001" if point.p_adjusted < 0.001 else f"{point.p_adjusted:.3f}".lstrip("0"),
        )
        for point in found.points
    ]
