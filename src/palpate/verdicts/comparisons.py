"""Checks by other attacks: one that needs less of the model, or nothing, must not beat the attack that is examined.

That is the sweep where one is given, else baseline PGD.
"""

from collections.abc import Callable

from torch import Tensor

from palpate.attacks.losses import margin
from palpate.verdicts import baselines
from palpate.verdicts.baselines import STEPS, pgd, price
from palpate.verdicts.check import ATHALYE, CARLINI, Finding, NotRun, check, said
from palpate.verdicts.context import CheckContext
from palpate.verdicts.minimum_norm import NORMS as FMN_NORMS
from palpate.verdicts.minimum_norm import STEPS as FMN_STEPS
from palpate.verdicts.minimum_norm import fmn

QUERIES, SEARCHED = 150, 20
"""Forwards per image of the random search, and the images that it is tried on."""

TRIED = 32
"""Images that the sibling and the reference attack are tried on."""

CONFIRMED = 3
"""Predictions, at least, of an image that the reference attack found, where the model is random."""

DRAWS = 10
"""Uniform perturbations, and as many corners of the ball."""


@check("noise", 190, 1.0, "points", f"{ATHALYE} 3.1", "either")
def noise(context: CheckContext, threshold: float) -> Finding:
    """Random points of the ball fool images that the attack does not."""

    def attack(x: Tensor, y: Tensor, epsilon: float) -> Tensor:
        return baselines.noise(context.access, x, y, epsilon, context.generator(4), context.norm, DRAWS)

    return _against(context, threshold, "random noise", len(context.labels), 2 * DRAWS, attack)


@check("square", 240, 0.2, "points", "Andriushchenko et al. 2020, arXiv 1912.00049", "either")
def square(context: CheckContext, threshold: float) -> Finding:
    """A random search without gradients fools images that the attack does not."""
    if context.norm != "linf":
        raise NotRun(f"the random search is in linf, and the epsilons in {context.norm}")

    def attack(x: Tensor, y: Tensor, epsilon: float) -> Tensor:
        return baselines.random_search(context.access, x, y, epsilon, context.generator(5), QUERIES)

    name = "a random search without gradients (Square)"
    return _against(context, threshold, name, context.some(SEARCHED), QUERIES, attack)


@check("transfer", 210, 1.0, "points", f"{CARLINI} 5.4", "either")
def transfer(context: CheckContext, threshold: float) -> Finding:
    """Images made for an independently trained sibling fool images that the attack does not."""
    sibling = context.sibling
    if sibling is None:
        raise NotRun("no sibling model was given; pass one trained from another seed")

    def attack(x: Tensor, y: Tensor, epsilon: float) -> Tensor:
        return pgd(sibling, x, y, epsilon, context.generator(6), STEPS, margin, context.norm).last

    name, price_each = "an attack on the sibling model", price(1, STEPS)
    return _against(context, threshold, name, context.some(TRIED), price_each, attack)


Made = Callable[[Tensor, Tensor, float], Tensor]
"""From images (n, C, H, W), labels (n,) and epsilon to images in the ball."""


def _against(context: CheckContext, threshold: float, name: str, most: int, price_each: int, attack: Made) -> Finding:
    """The finding about an attack that is tried on at most so many of the images that the examined attack does not fool.

    Args:
        price_each: its passes per image, at most.
        attack: gives images that are predicted again: a random model may be fooled once.
    """
    epsilon = context.informative_epsilon(examined=True)
    (left,) = context.not_fooled(epsilon).nonzero(as_tuple=True)
    tried = left[:most]
    context.need((price_each + 1) * len(tried))
    fooled = tried
    if len(tried):
        points = attack(context.x[tried], context.y[tried], epsilon)
        won = context.confirmed(points, tried, epsilon)
        fooled = tried[won]
        context.note(name, epsilon, fooled, points[won])
    told = {"what": name[0].upper() + name[1:], "where": context.written(epsilon), "examined": context.examined}
    words = said("comparison", fooled=context.of(len(fooled)), **told)
    return context.judge(len(fooled), threshold, *words, whole=len(left) / max(len(tried), 1))


@check("independent attacks", 250, 1.0, "points", f"{CARLINI} 5", "result")
def independent_attacks(context: CheckContext, threshold: float) -> Finding:
    """The strongest of these checks' own attacks against the sweep, at the epsilons where they were run."""
    if context.swept is None:
        raise NotRun("no sweep was given")
    context.baseline(context.informative_epsilon(examined=True), margin)
    _reference(context)
    largest = max(context.swept.whole.epsilons) * (1 + 1e-9)
    best, where, by = 0, context.tested[0], "baseline PGD"
    for attack, epsilon, places, points in context.attacks():
        new = context.not_fooled(epsilon)[places] if epsilon <= largest else places < 0
        if int(new.sum()) > best:
            count = int(context.confirmed(points[new], places[new], epsilon).sum())
            if count > best:
                best, where, by = count, epsilon, attack
    told = {"attack": by[0].upper() + by[1:], "fooled": context.of(best), "where": context.written(where)}
    return context.judge(best, threshold, *said("independent attacks", points=context.points(best), **told))


def _reference(context: CheckContext) -> None:
    """FMN on images that the sweep does not fool at the smallest tested epsilon, as many as the budget allows; compared at each epsilon."""
    (left,) = context.not_fooled(context.tested[0]).nonzero(as_tuple=True)
    affordable = int(min(context.some(TRIED), context.access.budget.left // (2 * FMN_STEPS + CONFIRMED)))
    tried = left[:affordable]
    if context.norm not in FMN_NORMS or not len(tried):
        return
    radius, points = fmn(context.sighted(), context.x[tried], context.y[tried], context.norm)
    fooled = radius.isfinite()
    for _ in range(CONFIRMED if context.varies else 1):  # a random model may have said so once
        fooled &= context.fooled(points, tried)
    for epsilon in context.tested:
        inside = fooled & (radius <= epsilon)
        context.note(f"FMN with {FMN_STEPS} steps", epsilon, tried[inside], points[inside])
