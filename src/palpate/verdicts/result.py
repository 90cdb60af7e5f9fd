"""Checks of the result: attacks that ask the model for less, or nothing, must not beat the attack that produced it.

Where a sweep is given it is what they are held against; without one, the usual attack. The last checks audit the stored images themselves.
"""

import torch

from palpate.attacks.losses import margin
from palpate.verdicts.baselines import STEPS, climb, price, squares
from palpate.verdicts.baselines import noise as draw_noise
from palpate.verdicts.context import Case
from palpate.verdicts.door import NotRun
from palpate.verdicts.rules import Finding, grey, of, rule

QUERIES, SEARCHED = 150, 32
"""Square's forwards per image, and the standing images it is tried on."""

DRAWS = 10
"""Uniform perturbations, and as many corners of the ball."""


def noise(case: Case, threshold: float) -> Finding:
    """Random points of the ball fool images that the attack does not."""
    epsilon = case.arena(examined=True)
    (standing,) = case.standing(epsilon).nonzero(as_tuple=True)
    case.ledger.need(2 * DRAWS * len(standing))
    fallen = draw_noise(case.door, case.x[standing], case.y[standing], epsilon, case.generator(4), DRAWS)
    return _beaten(case, threshold, "random noise", epsilon, standing, fallen, len(standing))


def square(case: Case, threshold: float) -> Finding:
    """A random search without gradients fools images that the attack does not."""
    epsilon = case.arena(examined=True)
    (standing,) = case.standing(epsilon).nonzero(as_tuple=True)
    chosen = standing[:SEARCHED]
    case.ledger.need(QUERIES * len(chosen))
    fallen = squares(case.door, case.x[chosen], case.y[chosen], epsilon, case.generator(5), QUERIES)
    return _beaten(
        case, threshold, "a random search without gradients (Square)", epsilon, chosen, fallen, len(standing)
    )


def transfer(case: Case, threshold: float) -> Finding:
    """Images made for an independently trained sibling fool images that the attack does not."""
    if case.sibling is None:
        raise NotRun("no sibling model was given; pass one trained from another seed")
    epsilon = case.arena(examined=True)
    (standing,) = case.standing(epsilon).nonzero(as_tuple=True)
    x, y = case.x[standing], case.y[standing]
    case.ledger.need(price(len(standing), STEPS) + len(standing))
    if not len(standing):
        return _beaten(case, threshold, "the sibling", epsilon, standing, torch.zeros(0, dtype=torch.bool), 0)
    run = climb(case.sibling, x, y, epsilon, case.generator(6), STEPS, margin)
    fallen = case.fooled(run.last, standing)
    return _beaten(case, threshold, "images made for the sibling model", epsilon, standing, fallen, len(standing))


def _beaten(
    case: Case,
    threshold: float,
    attacker: str,
    epsilon: float,
    places: torch.Tensor,
    fallen: torch.Tensor,
    standing: int,
) -> Finding:
    """The finding about an attack that fools `fallen` of the `places`, which are some of the standing images."""
    noted = torch.zeros(len(case.y), dtype=torch.bool, device=case.y.device)
    noted[places[fallen]] = True
    case.note(attacker, epsilon, noted)
    count = int(fallen.sum())
    figure = case.points(count) * standing / max(len(places), 1)
    status = rule(figure, count, threshold)
    if status == "pass":
        return Finding(
            status,
            figure,
            f"{attacker.capitalize()} at epsilon {grey(epsilon)} fools no more than {case.subject} does.",
        )
    return Finding(
        status,
        figure,
        f"{attacker.capitalize()} at epsilon {grey(epsilon)} fools {of(count, len(case.labels))} that {case.subject} leaves standing: gradients of "
        "this model mislead, or that attack is broken (steps, sign or unit of epsilon), so its robust accuracy is too high.",
    )


def independent_attacks(case: Case, threshold: float) -> Finding:
    """All of these checks' own attacks together against the sweep, at the epsilons where they were run."""
    if case.found is None:
        raise NotRun("no sweep was given")
    case.by_margin(case.arena(examined=True))
    best, where, by = 0, case.tested[0], "the usual attack"
    for attacker, epsilon, fooled in case.noted():
        if epsilon > case.found.largest * (1 + 1e-9):
            continue
        count = int((fooled & case.standing(epsilon)).sum())
        if count > best:
            best, where, by = count, epsilon, attacker
    figure = case.points(best)
    status = rule(figure, best, threshold)
    if status == "pass":
        return Finding(status, figure, "None of the independent attacks fools noticeably more than the sweep.")
    return Finding(
        status,
        figure,
        f"{by.capitalize()} fools {of(best, len(case.labels))} that the sweep leaves standing at epsilon {grey(where)}, so its robust accuracy is at "
        f"least {figure:.1f} points too high: look at its number of steps, its step size, the sign of its loss and the unit of its epsilon.",
    )
