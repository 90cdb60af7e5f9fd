"""Figures without a threshold, for information: how fast the model changes around an image."""

from palpate.attacks.losses import cross_entropy, margin
from palpate.verdicts.check import Finding, NotRun, check, said
from palpate.verdicts.context import CheckContext


@check("local Lipschitz", 300, None, "logits per grey level", "Weng et al. 2018, arXiv 1801.10578")
def local_lipschitz(context: CheckContext, _: float) -> Finding:
    """How fast the margin changes around an image: median of |Δ margin| / ‖δ‖∞ over baseline PGD's images, in logits per grey level.

    A lower bound of the local Lipschitz constant with respect to l∞.
    """
    run = context.baseline(context.tested[0])
    moved = (run.last - context.x).flatten(1).abs().amax(1)
    before, after = margin(context.clean[context.right], context.y), margin(run.logits, context.y)
    slope = ((after - before).abs() / moved.clamp(min=1e-12) / 255)[moved > 0]
    slope = slope[slope.isfinite()]
    if not len(slope):
        raise NotRun("baseline PGD moved no image")
    value = float(slope.median())
    return Finding("pass", value, *said("local Lipschitz", value=value))


@check("sharpness", 310, None, "nats", "Ma et al. 2021, arXiv 1907.10456")
def sharpness(context: CheckContext, _: float) -> Finding:
    """Mean rise of the cross-entropy from an image to baseline PGD's, at the smallest tested epsilon, in nats."""
    epsilon = context.tested[0]
    run = context.baseline(epsilon)
    rise = cross_entropy(run.logits, context.y) - cross_entropy(context.clean[context.right], context.y)
    rise = rise[rise.isfinite()]
    if not len(rise):
        raise NotRun("the loss is not a number")
    value = float(rise.mean())
    return Finding("pass", value, *said("sharpness", where=epsilon, value=value))
