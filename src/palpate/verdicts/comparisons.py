"""Checks by other attacks: one that needs less of the model, or nothing, must not beat the attack that is examined.

That is the sweep where one is given, else baseline PGD.
"""

from torch import Tensor

from palpate.attacks.losses import margin
from palpate.verdicts import baselines
from palpate.verdicts.baselines import STEPS, pgd, price
from palpate.verdicts.check import ATHALYE, CARLINI, Finding, NotRun, check, judge
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
    epsilon = context.informative_epsilon(examined=True)
    (left,) = context.not_fooled(epsilon).nonzero(as_tuple=True)
    context.need(2 * DRAWS * len(left))
    fooled = baselines.noise(
        context.access, context.x[left], context.y[left], epsilon, context.generator(4), context.norm, DRAWS
    )
    return _beaten(context, threshold, "random noise", epsilon, left[fooled])


@check("square", 240, 0.2, "points", "Andriushchenko et al. 2020, arXiv 1912.00049", "either")
def square(context: CheckContext, threshold: float) -> Finding:
    """A random search without gradients fools images that the attack does not."""
    if context.norm != "linf":
        raise NotRun(f"the random search is in linf, and the epsilons in {context.norm}")
    epsilon = context.informative_epsilon(examined=True)
    (left,) = context.not_fooled(epsilon).nonzero(as_tuple=True)
    tried = left[: context.some(SEARCHED)]
    context.need(QUERIES * len(tried))
    fooled = baselines.random_search(
        context.access, context.x[tried], context.y[tried], epsilon, context.generator(5), QUERIES
    )
    share = len(left) / max(len(tried), 1)
    return _beaten(context, threshold, "a random search without gradients (Square)", epsilon, tried[fooled], share)


@check("transfer", 210, 1.0, "points", f"{CARLINI} 5.4", "either")
def transfer(context: CheckContext, threshold: float) -> Finding:
    """Images made for an independently trained sibling fool images that the attack does not."""
    if context.sibling is None:
        raise NotRun("no sibling model was given; pass one trained from another seed")
    epsilon = context.informative_epsilon(examined=True)
    (left,) = context.not_fooled(epsilon).nonzero(as_tuple=True)
    tried = left[: context.some(TRIED)]
    context.need(price(len(tried), STEPS) + len(tried))
    fooled = tried
    if len(tried):
        x, y = context.x[tried], context.y[tried]
        run = pgd(context.sibling, x, y, epsilon, context.generator(6), STEPS, margin, context.norm)
        fooled = tried[context.fooled(run.last, tried)]
    share = len(left) / max(len(tried), 1)
    return _beaten(context, threshold, "images made for the sibling model", epsilon, fooled, share)


def _beaten(
    context: CheckContext, threshold: float, attack: str, epsilon: float, fooled: Tensor, share: float = 1.0
) -> Finding:
    """The finding about an attack that fools images at the places `fooled` that the examined attack does not fool.

    `share` is how many times more images it could have been tried on.
    """
    context.note(attack, epsilon, fooled)
    figure = share * context.points(len(fooled))
    what = f"{attack[0].upper()}{attack[1:]} at epsilon {context.written(epsilon)}"
    return judge(
        figure,
        len(fooled),
        threshold,
        f"{what} fools no more than {context.examined} does.",
        f"{what} fools {context.of(len(fooled))} that {context.examined} does not: gradients of this model mislead, or that "
        "attack is broken (steps, sign or unit of epsilon), so its robust accuracy is too high.",
    )


@check("independent attacks", 250, 1.0, "points", f"{CARLINI} 5", "result")
def independent_attacks(context: CheckContext, threshold: float) -> Finding:
    """The strongest of these checks' own attacks against the sweep, at the epsilons where they were run."""
    if context.swept is None:
        raise NotRun("no sweep was given")
    context.baseline(context.informative_epsilon(examined=True), margin)
    _reference(context)
    largest = max(context.swept.whole.epsilons) * (1 + 1e-9)
    best, where, by = 0, context.tested[0], "baseline PGD"
    for attack, epsilon, fooled in context.attacks():
        count = int(context.not_fooled(epsilon)[fooled].sum()) if epsilon <= largest else 0
        if count > best:
            best, where, by = count, epsilon, attack
    figure = context.points(best)
    return judge(
        figure,
        best,
        threshold,
        "None of the independent attacks fools noticeably more than the sweep.",
        f"{by[0].upper()}{by[1:]} fools {context.of(best)} that the sweep does not at epsilon {context.written(where)}, so its robust "
        f"accuracy is at least {figure:.1f} points too high: look at its number of steps, its step size, the sign of its loss and the unit of its "
        "epsilon.",
    )


def _reference(context: CheckContext) -> None:
    """FMN on images that the sweep does not fool at the smallest tested epsilon, as many as the budget allows; compared at each epsilon."""
    (left,) = context.not_fooled(context.tested[0]).nonzero(as_tuple=True)
    affordable = int(min(context.some(TRIED), context.access.budget.left // (2 * FMN_STEPS + CONFIRMED)))
    tried = left[:affordable]
    if context.norm not in FMN_NORMS or not len(tried):
        return
    radius, points = fmn(context.access, context.x[tried], context.y[tried], context.norm)
    fooled = radius.isfinite()
    for _ in range(CONFIRMED if context.varies else 1):  # a random model may have said so once
        fooled &= context.fooled(points, tried)
    for epsilon in context.tested:
        context.note(f"FMN with {FMN_STEPS} steps", epsilon, tried[fooled & (radius <= epsilon)])
