"""Figures as words: how epsilons, shares and intervals are written, and the plain sentence about where a model gives.

One place decides, so that the page, the terminal and the CSV never say the same thing in two ways. No sentence calls a
model "robust": an attack that fails shows only that this attack failed.
"""

import dataclasses

from palpate.report.load import Line, Point


def epsilon(value: float) -> str:
    """An epsilon in units of [0, 1], in at most three digits.

    >>> epsilon(0.00125), epsilon(2 / 255), epsilon(0.32), epsilon(0)
    ('0.00125', '0.00784', '0.32', '0')
    """
    return f"{value:.3g}" if value == 0 or value >= 1e-4 else f"{value:.2e}"


def levels(value: float) -> str:
    """The same epsilon in grey levels of 255.

    >>> levels(2 / 255), levels(0.01), levels(0.32)
    ('2/255', '2.55/255', '81.6/255')
    """
    return f"{255 * value:.3g}/255"


def both(value: float) -> str:
    """An epsilon in both units.

    >>> both(0.01)
    '0.01 (2.55/255)'
    """
    return f"{epsilon(value)} ({levels(value)})"


def share(value: float | None, n: int = 0) -> str:
    """A share as a percentage; with a decimal from 500 images on, where it begins to mean something.

    >>> share(0.405), share(0.405, n=600), share(None)
    ('41%', '40.5%', '–')
    """
    if value is None:
        return "–"
    return f"{100 * value + 1e-9:.{1 if n >= 500 else 0}f}%"


def interval(low: float | None, high: float | None, n: int = 0) -> str:
    """A 95% interval in percent.

    >>> interval(0.281, 0.5499)
    '[28, 55]'
    """
    if low is None or high is None:
        return ""
    digits = 1 if n >= 500 else 0
    return f"[{100 * low:.{digits}f}, {100 * high:.{digits}f}]"


def sentence(note: str) -> str:
    """A note as a sentence.

    >>> sentence("left out: 3"), sentence("HAM10000 is skin.")
    ('Left out: 3.', 'HAM10000 is skin.')
    """
    return note[:1].upper() + note[1:].rstrip(".") + "."


def measured(point: Point) -> str:
    """Accuracy with its interval and its number of images: "41% [28, 55] of 48 images"."""
    return f"{share(point.accuracy, point.n)} {interval(point.low, point.high, point.n)} of {point.n} images"


@dataclasses.dataclass(frozen=True)
class Answer:
    """The one-line answer for a model under an attack."""

    model: str
    attack: str
    state: str  # "gives" | "held" | "no signal" | "unknown"
    figure: str  # the few characters that are printed large
    sentence: str


def answer(line: Line) -> Answer:
    """Say where the model gives: the first epsilon at which accuracy under attack is below the majority rate.

    Where the clean accuracy is below that rate already, although balanced accuracy lies above chance, the rate is no
    yardstick, and the epsilon that costs half of the clean accuracy is named instead. Where balanced accuracy does not lie above chance
    there is nothing to lose and no claim is made.
    """

    def say(state: str, figure: str, sentence: str) -> Answer:
        return Answer(line.model_id, "" if line.attack_id == "none" else line.attack_id, state, figure, sentence)

    reference = line.reference
    if reference.signal is None:
        return say("unknown", "–", f"no answer: {reference.note or 'balanced accuracy does not apply'}.")
    if not reference.signal:
        found = (
            f"{share(reference.balanced_accuracy, reference.n)} "
            f"{interval(reference.balanced_low, reference.balanced_high, reference.n)}"
        )
        return say(
            "no signal",
            "no signal",
            f"balanced accuracy is {found} on {reference.n} images, and its interval does not lie above chance "
            f"({share(reference.chance, reference.n)}). A model that has learned nothing has nothing to lose, so its curve says nothing.",
        )
    tried = [point for point in line.attacked if point.accuracy is not None]
    if not tried:
        note = line.attacked[-1].note if line.attacked else "no attack has been run"
        return say("unknown", "–", f"not answered: {note}.")
    start, last = line.points[0], tried[-1]
    majority = start.majority_rate
    if start.accuracy is not None and start.accuracy <= majority:
        half = first_below(tried, start.accuracy / 2)
        known = (
            f"clean accuracy {measured(start)} is not above the majority rate of {share(majority, start.n)} "
            f"(balanced accuracy is above chance all the same)"
        )
        if half is None:
            return say(
                "held",
                f"> {epsilon(last.epsilon)}",
                f"{known}; no epsilon tried, up to {both(last.epsilon)}, halved it.",
            )
        return say(
            "gives",
            epsilon(half.epsilon),
            f"{known}; at ε = {both(half.epsilon)} less than half of it is left: {measured(half)}.",
        )
    fall = first_below(tried, majority)
    if fall is None:
        return say(
            "held",
            f"> {epsilon(last.epsilon)}",
            f"stays above the majority rate of {share(majority, last.n)} up to the largest epsilon tried, {both(last.epsilon)}, where "
            f"{measured(last)} are still classified correctly. A stronger attack may still bring it down.",
        )
    doubt = " The interval still includes that rate." if fall.high is not None and fall.high >= majority else ""
    return say(
        "gives",
        epsilon(fall.epsilon),
        f"gives at ε = {both(fall.epsilon)}: accuracy falls from {share(start.accuracy, start.n)} to {measured(fall)}, "
        f"below the majority rate of {share(majority, fall.n)}.{doubt}",
    )


def first_below(points: list[Point], threshold: float) -> Point | None:
    """The first point whose accuracy lies below the threshold."""
    return next((point for point in points if point.accuracy is not None and point.accuracy < threshold), None)
