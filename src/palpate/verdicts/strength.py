"""Checks of the usual attack on this model: would cross-entropy PGD be misled by it?

Each repeats it in a way that cannot help against a model that merely is hard to fool: one step, another loss, more steps, a larger ball
(Athalye et al. 2018, arXiv 1802.00420, section 3.1; Carlini et al. 2019, arXiv 1902.06705, section 5).
"""

import torch

from palpate.attacks.losses import cross_entropy
from palpate.attacks.norms import project
from palpate.verdicts.baselines import STEPS, climb, price
from palpate.verdicts.context import Case
from palpate.verdicts.door import NotRun
from palpate.verdicts.rules import Finding, grey, of, rule

RESTARTED = 24
"""Standing images on which steps are doubled and starts repeated, since five restarts cost as much as five attacks."""

UNBOUNDED = (1.0, 0.3)
"""Balls that hold any image, or nearly: the second is for steps that jump over everything in the first."""

SATURATION = 17.0
"""Margin from which a float32 softmax is exactly 1, so that the true logit's gradient of cross-entropy is 0."""


def one_step(case: Case, threshold: float) -> Finding:
    """FGSM fools images that PGD at the same epsilon does not."""
    x, y = case.x, case.y
    case.ledger.need(len(x) * (2 + len(case.tested)))
    _, slope = case.door.gradient(x, y, cross_entropy)
    direction = slope.nan_to_num(0.0, 0.0, 0.0).sign()
    worst, where = 0, case.tested[-1]
    for epsilon in case.tested:
        radius = torch.full((len(x),), epsilon, dtype=torch.float64, device=x.device)
        fooled = case.fooled(project(x + epsilon * direction, x, radius), torch.arange(len(x)))
        case.note("a single gradient step", epsilon, fooled)
        count = int((fooled & ~case.usual(epsilon).fooled).sum())
        if count > worst:
            worst, where = count, epsilon
    status = rule(case.points(worst), worst, threshold)
    if status == "pass":
        advice = "A single gradient step fools hardly an image that PGD does not, as it should be."
    else:
        advice = (
            f"A single gradient step fools {of(worst, len(case.labels))} that twenty steps at epsilon {grey(where)} do not, so PGD is led astray "
            "by this model: do not report its robust accuracy; use the margin, restarts and attacks without gradients."
        )
    return Finding(status, case.points(worst), advice)


def margin_loss(case: Case, threshold: float) -> Finding:
    """PGD on the margin fools images that PGD on the cross-entropy, from the same start, does not: saturation."""
    epsilon = case.arena()
    usual, other = case.usual(epsilon), case.by_margin(epsilon)
    count = int((other.fooled & ~usual.fooled).sum()) - int((usual.fooled & ~other.fooled).sum())
    figure = case.points(count)
    status = rule(figure, count, threshold)
    left = [case.points(int((~run.fooled).sum())) for run in (usual, other)]
    if status == "pass":
        advice = f"At epsilon {grey(epsilon)} cross-entropy and margin leave {left[0]:.1f} and {left[1]:.1f} % of the images right."
    else:
        why = "cross-entropy misleads the attack"
        if case.median_margin > SATURATION:
            why = f"the head is saturated (median clean margin {case.median_margin:.4g} logits)"
        advice = (
            f"At epsilon {grey(epsilon)} cross-entropy PGD reports {left[0]:.1f} % robust accuracy where the margin leaves "
            f"{left[1]:.1f} %, {figure:.1f} points too many: {why}, so report the margin's figure."
        )
    return Finding(status, max(figure, 0.0), advice)


def loss_at_end(case: Case, threshold: float) -> Finding:
    """Share of the margin's whole rise that came in the last quarter of the steps: a converged attack has hardly any left."""
    epsilon = case.arena()
    trace = case.usual(epsilon).margins  # (T + 1, r)
    whole = trace[-1] - trace[0]
    late = trace[-1] - trace[3 * STEPS // 4]
    known = whole.isfinite() & late.isfinite()
    if not int(known.sum()) or float(whole[known].sum()) <= 0:
        raise NotRun("the usual attack did not raise the loss at all, so its end says nothing")
    share = float(late[known].sum() / whole[known].sum())
    rising = int((late > threshold * whole.clamp(min=0))[known & (late > 0)].sum())
    status = rule(share, rising, threshold)
    if status == "pass":
        advice = f"The loss has settled: the last quarter of the steps brought {max(share, 0):.0%} of its rise."
    else:
        advice = (
            f"The loss was still rising when the attack ended: the last quarter of its steps brought {share:.0%} of the rise, so "
            "more steps, or larger ones, will fool more images."
        )
    return Finding(status, max(share, 0.0), advice)


def unbounded(case: Case, threshold: float) -> Finding:
    """Points of accuracy that the usual attack leaves when it may change every pixel to anything."""
    fallen = torch.stack([case.usual(epsilon).ever for epsilon in case.tested]).any(0)
    for epsilon in UNBOUNDED:
        (still,) = (~fallen).nonzero(as_tuple=True)
        if not len(still):
            break
        case.ledger.need(price(len(still), STEPS))
        run = climb(case.door, case.x[still], case.y[still], epsilon, case.generator(3), STEPS)
        fallen[still] = run.ever
    count = int((~fallen).sum())
    figure = case.points(count)
    status = rule(figure, count, threshold)
    if not count:
        advice = "With any change allowed, the usual attack fools every image, as it must."
    elif status == "pass":
        advice = f"With any change allowed, the usual attack fools all but {of(count, len(case.labels))}."
    else:
        advice = (
            f"With any change allowed, {of(count, len(case.labels))} still stand, which no model can earn: the attack finds no direction "
            "(zero, saturated or false gradients), so its robust accuracy means nothing at any epsilon."
        )
    return Finding("warn" if status == "pass" and count else status, figure, advice)


def rising_accuracy(case: Case, threshold: float) -> Finding:
    """Robust accuracy of independent attacks must not rise with epsilon, since a larger ball holds the smaller."""
    if len(case.tested) < 2:
        raise NotRun("it needs at least two epsilons")
    counts = [int((~case.usual(epsilon).fooled).sum()) for epsilon in case.tested]
    rises = [after - min(counts[: place + 1]) for place, after in enumerate(counts[1:])]
    worst = max(0, *rises)
    figure = case.points(worst)
    status = rule(figure, worst, threshold)
    if status == "pass":
        advice = "Robust accuracy of independent attacks falls as epsilon grows, as it must."
    else:
        advice = (
            f"Robust accuracy rises by {figure:.1f} points when epsilon grows, which is impossible for a working attack: "
            "it gets stuck in this model, so use restarts, the margin and attacks without gradients."
        )
    return Finding(status, figure, advice)


def best_iterate(case: Case, threshold: float) -> Finding:
    """Images that some iterate of the usual attack fools and the last one, which is what it reports, does not."""
    worst, where = 0, case.tested[-1]
    for epsilon in case.tested:
        run = case.usual(epsilon)
        (lost,) = (run.ever & ~run.fooled).nonzero(as_tuple=True)
        if len(lost) > worst:
            count = int(
                case.fooled(run.best[lost], lost).sum()
            )  # asked again: noise in the model may have said so once
            if count > worst:
                worst, where = count, epsilon
    figure = case.points(worst)
    status = rule(figure, worst, threshold)
    if status == "pass":
        advice = "The last iterate is as good as the best one."
    else:
        advice = (
            f"At epsilon {grey(where)} an earlier iterate fools {of(worst, len(case.labels))} that the last one does not: keep the best iterate, "
            f"or the attack overstates robust accuracy by {figure:.1f} points."
        )
    return Finding(status, figure, advice)


def steps_and_restarts(case: Case, threshold: float) -> Finding:
    """Twice the steps, then five restarts: how many points of robust accuracy they take away.

    On at most 24 of the images that stand; the figure is scaled to all of them. What fell is asked again beside the usual attack's image:
    where the model itself is noisy, six attempts would else win against one by luck.
    """
    epsilon = case.arena()
    (standing,) = (~case.usual(epsilon).fooled).nonzero(as_tuple=True)
    chosen = standing[:RESTARTED]
    if not len(chosen):
        return Finding("pass", 0.0, "Nothing stands that more steps could fool.")
    x, y = case.x[chosen], case.y[chosen]
    case.ledger.need(price(len(chosen), 2 * STEPS) + 5 * price(len(chosen), STEPS) + 2 * len(chosen))
    run = climb(case.door, x, y, epsilon, case.generator(1), 2 * STEPS)
    fallen, points = run.fooled, run.last
    for restart in range(5):
        (still,) = (~fallen).nonzero(as_tuple=True)
        if len(still):
            run = climb(case.door, x[still], y[still], epsilon, case.generator(10 + restart), STEPS)
            fallen[still], points[still] = run.fooled, run.last
    fallen &= case.fooled(points, chosen)
    usual = case.fooled(case.usual(epsilon).last[chosen], chosen)
    noted = torch.zeros(len(case.y), dtype=torch.bool, device=fallen.device)
    noted[chosen] = fallen
    case.note("an attack with twice the steps and five restarts", epsilon, noted)
    count = max(int(fallen.sum()) - int(usual.sum()), 0)
    figure = case.points(count) * len(standing) / len(chosen)
    status = rule(figure, count, threshold)
    if status == "pass":
        advice = f"Twice the steps and five restarts take away {figure:.1f} points at epsilon {grey(epsilon)}: little."
    else:
        advice = (
            f"Twice the steps and five restarts take away {figure:.1f} points of robust accuracy at epsilon {grey(epsilon)}: a single run "
            "of PGD does not find what is there, so report the stronger attack."
        )
    return Finding(status, figure, advice)
