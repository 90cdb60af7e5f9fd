"""Checks of what goes in: range and units.

They cost a few passes and find the mistakes that make everything after them meaningless, so they come first.
"""

from collections.abc import Callable

from scipy.stats import binomtest
from torch import Tensor

from palpate.verdicts.check import CARLINI, LEAST, Finding, check, out_of, said, status_of
from palpate.verdicts.context import CheckContext

INPUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "from 0 to 255": lambda x: 255 * x,
    "from −1 to 1": lambda x: 2 * x - 1,
    "less their mean, over their standard deviation": lambda x: (
        (x - x.mean((0, 2, 3), keepdim=True)) / x.std((0, 2, 3), keepdim=True).clamp(min=1e-6)
    ),
    "with the channels in reverse order": lambda x: x.flip(1),
    "with black and white exchanged": lambda x: 1 - x,
}
"""Other inputs that a model may have been trained on."""

BLIND = 10.0
"""Points above always answering one class, up to which a model may be blind to images in [0, 1]."""

CLEAR, GOOD = 20.0, 0.75
"""Points gained, or accuracy reached, with another input from which a model is said to expect it: a hardly trained one may gain a little anywhere."""

CHANCE = 0.01
"""Largest p (exact McNemar, times the inputs tried) at which another input is not called better by luck."""


@check("input range", 10, 10.0, "points", f"{CARLINI} 5.7")
def input_range(context: CheckContext, threshold: float) -> Finding:
    """Images in [0, 1], spread over it, and no better classified in another range.

    A network that expects bytes sees [0, 1] as black: it answers one class, and no small perturbation changes that. Other ranges are tried only
    on a model that does little better than one answer for all.
    """
    total = len(context.images)
    low, high = float(context.images.amin()), float(context.images.amax())
    if context.outside:
        words = said("input range, outside", outside=out_of(context.outside, total), low=low, high=high)
        return Finding("fail" if context.outside >= LEAST else "warn", 100 * context.outside / total, *words)
    if high <= 2 / 255:
        return Finding("fail" if total >= LEAST else "warn", 100.0, *said("input range, dark", high=high))
    right = context.clean.argmax(1) == context.labels
    always = context.labels == context.labels.bincount().argmax()  # answering the commonest class
    best, name, p = 0, "", 1.0
    if context.points(int(right.sum()) - int(always.sum())) <= BLIND:
        name, best, p = better_input(context, right if int(right.sum()) >= int(always.sum()) else always)
    gain = context.points(best)
    status = status_of(gain, best, threshold)
    if status == "pass":
        return Finding(status, gain, *said("input range"))
    told = {"name": name, "more": out_of(best, total), "p": p}
    if p > CHANCE or (gain < CLEAR and int(right.sum()) + best < GOOD * total):
        return Finding("warn", gain, *said("input range, perhaps", **told))
    return Finding(status, gain, *said("input range, other", **told))


def better_input(context: CheckContext, before: Tensor) -> tuple[str, int, float]:
    """The input of `INPUTS` with which the model is right most often: its name, how many more images than `before` (m,), and p.

    The name is "" where none is better; p is McNemar's, exact, times the inputs tried.
    """
    name, best, p = "", 0, 1.0
    for each, change in INPUTS.items():
        after = context.access.logits(change(context.images)).argmax(1) == context.labels
        gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
        if gained - lost > best:
            name, best = each, gained - lost
            p = min(1.0, len(INPUTS) * float(binomtest(gained, gained + lost).pvalue))
    return name, best, p
