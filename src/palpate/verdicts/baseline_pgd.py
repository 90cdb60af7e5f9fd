"""Checks of baseline PGD on this model: would it overestimate the model's robustness?

Each check repeats the attack in a way that cannot help against a model that is merely hard to fool: one step, another loss, more steps, a larger
ball (Athalye et al. 2018, arXiv 1802.00420, section 3.1; Carlini et al. 2019, arXiv 1902.06705, section 5).
"""

import torch

from palpate.attacks.losses import cross_entropy, margin
from palpate.attacks.norms import distance, project, steepest
from palpate.verdicts.baselines import STEPS, price
from palpate.verdicts.check import ATHALYE, CARLINI, Finding, NotRun, check, judge, said
from palpate.verdicts.context import CheckContext

RESTARTED = 16
"""Images on which steps are doubled and starts repeated, since five restarts cost as much as five attacks."""

TRIED = 32
"""Images on which any change is allowed."""

UNBOUNDED = (1.0, 0.3)
"""Radii, as shares of the box [0, 1], of balls that hold any image, or nearly: in the second the steps are smaller."""

NOTABLE = 5.0
"""Points from which a difference is a warning where a wider ball does let it catch up."""

SATURATION = 17.0
"""Margin from which a float32 softmax is exactly 1, so that the true logit's gradient of cross-entropy is 0."""


@check("one step", 130, 1.0, "points", f"{ATHALYE} 3.1")
def one_step(context: CheckContext, threshold: float) -> Finding:
    """FGSM fools images that PGD at the same epsilon does not."""
    x, y = context.x, context.y
    context.need(len(x) * (2 + len(context.tested)))
    _, _, slope = context.access.gradient(x, cross_entropy, y)
    direction = steepest(slope.nan_to_num(0.0, 0.0, 0.0), context.norm)
    worst, where = 0, context.tested[-1]
    for epsilon in context.tested:
        radius = torch.full((len(x),), epsilon, dtype=torch.float64, device=x.device)
        points = project(x + epsilon * direction, x, radius, context.norm)
        fooled = context.fooled(points, torch.arange(len(x)))
        context.note("a single gradient step", epsilon, fooled.nonzero()[:, 0], points[fooled])
        count = int((fooled & ~context.baseline(epsilon).fooled).sum())
        if count > worst:
            worst, where = count, epsilon
    words = said("one step", fooled=context.of(worst), where=context.written(where))
    return context.judge(worst, threshold, *words)


@check("margin loss", 170, 1.0, "points", "Croce & Hein 2020, arXiv 2003.01690, section 4")
def margin_loss(context: CheckContext, threshold: float) -> Finding:
    """PGD on the margin fools images that PGD on the cross-entropy, from the same start, does not: saturation."""
    epsilon = context.informative_epsilon()
    runs = context.baseline(epsilon), context.baseline(epsilon, margin)
    if context.varies:  # one attempt may be lucky: both are predicted again
        everything = torch.arange(len(context.y))
        context.need(2 * len(everything))
        plain, other = (context.fooled(run.last, everything) for run in runs)
    else:
        plain, other = (run.fooled for run in runs)
    figure = max(context.points(int(other.sum()) - int(plain.sum())), 0.0)
    one, two = (context.points(int((~fooled).sum())) for fooled in (plain, other))
    (why,) = said("margin loss, misled")
    if context.median_margin > SATURATION:
        (why,) = said("margin loss, saturated", margin=context.median_margin)
    words = said("margin loss", where=context.written(epsilon), one=one, two=two, figure=figure, why=why)
    misled = context.out_of_reach((other & ~plain).nonzero()[:, 0], epsilon)
    return _judge(figure, misled, threshold, *words)


def _judge(figure: float, misled: int, threshold: float, good: str, notable: str, bad: str) -> Finding:
    """The finding about a stronger attack: a failure where it wins on images that mislead PGD, a warning where it wins on many others."""
    if misled:
        return judge(figure, misled, threshold, good, bad)
    return Finding("warn", figure, notable) if figure > NOTABLE else Finding("pass", figure, good)


@check("loss at the end", 160, 0.25, "share", f"{CARLINI} 5.2")
def loss_at_end(context: CheckContext, threshold: float) -> Finding:
    """Share of the margin's whole rise that came in the last quarter of the steps: a converged attack has hardly any left."""
    epsilon = context.informative_epsilon()
    trace = context.baseline(epsilon).margins  # (T + 1, r)
    whole = trace[-1] - trace[0]
    late = trace[-1] - trace[3 * STEPS // 4]
    known = whole.isfinite() & late.isfinite()
    if not int(known.sum()) or float(whole[known].sum()) <= 0:
        raise NotRun("baseline PGD did not raise the loss at all, so its end says nothing")
    share = float(late[known].sum() / whole[known].sum())
    rising = int((late > threshold * whole.clamp(min=0))[known & (late > 0)].sum())
    words = said("loss at the end", settled=max(share, 0), share=share)
    return judge(max(share, 0.0), rising, threshold, *words)


@check("unbounded", 180, 5.0, "points", f"{ATHALYE} 3.1")
def unbounded(context: CheckContext, threshold: float) -> Finding:
    """Points of accuracy that baseline PGD leaves when it may change every pixel to anything."""
    answers = context.predicted.argmax(1)
    if bool((answers == answers[0]).all()) and bool((context.labels != context.labels[0]).any()):
        raise NotRun("the model answers all images alike, so it may have no other answer")
    fooled = torch.stack([context.baseline(epsilon).ever for epsilon in context.tested]).any(0)
    diameter = float(distance(torch.ones_like(context.x[:1]), torch.zeros_like(context.x[:1]), context.norm))
    (left,) = (~fooled).nonzero(as_tuple=True)
    tried = left[: context.some(TRIED)]
    for share in UNBOUNDED:
        still = tried[~fooled[tried]]
        if len(still):
            context.need(price(len(still), STEPS))
            fooled[still] = context.pgd(still, share * diameter, 3).ever
    count = int((~fooled[tried]).sum())
    words, whole = said("unbounded", left=context.of(count)), len(left) / max(len(tried), 1)
    finding = context.judge(count, threshold, *words, whole=whole)
    if finding.status == "pass" and count:
        return Finding("warn", finding.figure, *said("unbounded, few", left=context.of(count)))
    return finding


@check("rising accuracy", 140, 1.0, "points", f"{ATHALYE} 3.1")
def rising_accuracy(context: CheckContext, threshold: float) -> Finding:
    """Robust accuracy of independent attacks must not rise with epsilon, since a larger ball holds the smaller."""
    if len(context.tested) < 2:
        raise NotRun("it needs at least two epsilons")
    counts = [int((~context.baseline(epsilon).fooled).sum()) for epsilon in context.tested]
    rises = [after - min(counts[: place + 1]) for place, after in enumerate(counts[1:])]
    worst = max(0, *rises)
    return context.judge(worst, threshold, *said("rising accuracy", points=context.points(worst)))


@check("best iterate", 150, 1.0, "points", "Croce & Hein 2020, arXiv 2003.01690, section 3")
def best_iterate(context: CheckContext, threshold: float) -> Finding:
    """Images that some iterate of baseline PGD fools and the last one, which is what it reports, does not."""
    worst, where = 0, context.tested[-1]
    for epsilon in context.tested:
        run = context.baseline(epsilon)
        (lost,) = (run.ever & ~run.fooled).nonzero(as_tuple=True)
        if len(lost) > worst:
            confirmed = int(context.fooled(run.best[lost], lost).sum())  # predicted again: the model may be random
            if confirmed > worst:
                worst, where = confirmed, epsilon
    told = {"where": context.written(where), "fooled": context.of(worst), "points": context.points(worst)}
    return context.judge(worst, threshold, *said("best iterate", **told))


@check("steps and restarts", 230, 1.0, "points", f"{CARLINI} 5.2")
def steps_and_restarts(context: CheckContext, threshold: float) -> Finding:
    """Twice the steps, then five restarts: how many points of robust accuracy they take away.

    On at most 16 of the images that baseline PGD does not fool; the figure is scaled to all of them. What is fooled is predicted again, and so is
    baseline PGD's image: where the model itself is random, six attempts would otherwise win against one by luck.
    """
    epsilon = context.informative_epsilon()
    (left,) = (~context.baseline(epsilon).fooled).nonzero(as_tuple=True)
    chosen = left[: context.some(RESTARTED)]
    if not len(chosen):
        return Finding("pass", 0.0, "Baseline PGD fools every image.")
    context.need(price(len(chosen), 2 * STEPS) + 6 * price(len(chosen), STEPS) + 2 * len(chosen))
    run = context.pgd(chosen, epsilon, 1, 2 * STEPS)
    fooled, points = run.fooled, run.last
    for restart in range(5):
        (still,) = (~fooled).nonzero(as_tuple=True)
        if len(still):
            run = context.pgd(chosen[still], epsilon, 10 + restart)
            fooled[still], points[still] = run.fooled, run.last
    fooled &= context.fooled(points, chosen)
    context.note("PGD with twice the steps and five restarts", epsilon, chosen[fooled], points[fooled])
    again = context.fooled(context.baseline(epsilon).last[chosen], chosen)
    figure = max(context.points(int(fooled.sum()) - int(again.sum())), 0.0) * len(left) / len(chosen)
    good, bad = said("steps and restarts", figure=figure, where=context.written(epsilon))
    return _judge(figure, context.out_of_reach(chosen[fooled & ~again], epsilon), threshold, good, bad, bad)
