"""Checks of the gradient, which is all that PGD knows of a model, and two figures, without a threshold, of how much a step changes.

A zero gradient stops PGD at its start, and one that does not describe the model leads it in a wrong direction. Both look like robustness from
outside (Athalye, Carlini and Wagner 2018, arXiv 1802.00420: "obfuscated gradients").
"""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

from palpate.attacks.losses import cross_entropy, margin
from palpate.verdicts.check import ATHALYE, LEAST, Finding, NotRun, check, judge, out_of, said, status_of
from palpate.verdicts.context import CheckContext
from palpate.verdicts.difference import ROUNDED, differ

IMAGES, REPEATS = 24, 6
"""Images whose gradient is computed again, and how often it is computed."""

MEASURED, DIRECTIONS, STEP = 24, 16, 1 / 510
"""Images and random directions of the finite differences, and their step: half a grey level to each side."""

QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of the way from an image to a point a step away, at which the margin is compared."""

LEAP, STORED = 8.0, 0.25
"""How many times the largest of its other changes the first must be, and the share of images on which it must, to show that they are stored."""

PAIRS, PATH = 16, 16
"""Pairs of images, and points on the way between them at which the gradient is taken."""


@check("gradients", 80, 0.25, "share", "Carlini & Wagner 2017, arXiv 1608.04644, section 4")
def usable(context: CheckContext, threshold: float) -> Finding:
    """Per loss, the share of images whose input gradient is zero everywhere or not a number."""
    total = len(context.right)
    zero, broken, clamped = dict[str, int](), dict[str, int](), 0
    for name, loss in (("cross-entropy", cross_entropy), ("margin", margin)):
        slope, lost = context.gradient(context.x, loss, context.y)
        (flat,) = ((slope == 0).flatten(1).all(1) & ~lost).nonzero(as_tuple=True)
        inside, y = context.x[flat].clamp(STEP, 1 - STEP), context.y[flat]
        still = (context.gradient(inside, loss, y)[0] == 0).flatten(1).all(1) if len(flat) else flat > 0
        zero[name], broken[name] = int(still.sum()), int(lost.sum())
        clamped = max(clamped, len(flat) - zero[name])
    worst = max(zero[name] + broken[name] for name in zero)
    status = status_of(worst / total, worst, threshold)
    if not worst and clamped:
        return Finding("warn", clamped / total, *said("gradients, clamped", clamped=out_of(clamped, total)))
    if not worst:
        return Finding(status, 0.0, *said("gradients"))
    if status == "pass":
        return Finding("warn", worst / total, *said("gradients, few", worst=out_of(worst, total)))
    if max(broken.values()):
        bad = max(broken, key=lambda name: broken[name])
        words = said("gradients, broken", loss=bad, broken=out_of(broken[bad], total))
    elif zero["margin"] >= LEAST:
        words = said("gradients, zero", zero=out_of(zero["margin"], total))
    else:
        told = {"zero": out_of(zero["cross-entropy"], total), "margin": context.median_margin}
        words = said("gradients, saturated", **told)
    return Finding(status, worst / total, *words)


@check("same gradient", 90, 0.3, "1 − cosine", f"{ATHALYE} 3.2")
def repeatable(context: CheckContext, threshold: float) -> Finding:
    """Cosine between the two most different of six gradients of the same image, median over images; the figure is 1 − cosine.

    Noise inside a model may leave its classes as they are and yet send every step of an attack another way.
    """
    places = context.right[: context.some(IMAGES)]
    points, labels = context.images[places], context.labels[places]
    context.need(2 * REPEATS * len(points))
    slopes = torch.stack([context.gradient(points, margin, labels)[0].flatten(1) for _ in range(REPEATS)])
    known = (slopes != 0).any(2).all(0)
    if int(known.sum()) < LEAST:
        raise NotRun("the gradient is zero or not a number on nearly all images, so there is nothing to compare")
    slopes = slopes[:, known]
    pairs = [(a, b) for a in range(REPEATS) for b in range(a)]
    cosine = torch.stack([_cosine(slopes[a], slopes[b]) for a, b in pairs]).amin(0)
    figure = max(1 - float(cosine.median()), 0.0)
    return judge(figure, int((1 - cosine > threshold).sum()), threshold, *said("same gradient", cosine=1 - figure))


@check("finite differences", 100, 0.5, "1 − cosine", f"{ATHALYE} 3.1")
def finite_differences(context: CheckContext, threshold: float) -> Finding:
    """Median cosine between the margin's slopes that the gradient predicts along random ±1 directions and those that are measured.

    Measured a grey level apart, from points moved so far inside [0, 1]. Where torch's own noise is part of the model, it is held the same.
    The figure is 1 − cosine, so that more is worse. An image whose margin changes at once, and no further, when it is left is
    stored in the model.
    """
    places = context.right[: context.some(MEASURED)]
    points, labels = context.images[places].clamp(STEP, 1 - STEP), context.labels[places]
    context.need(len(points) * (4 + len(QUARTERS) + 2 * DIRECTIONS))

    def held(where: Tensor) -> Tensor:
        with _same_noise(context, points):
            return context.access.logits(where)

    first, again = held(points), held(points)
    if bool(differ(again, first, ROUNDED).any()):
        raise NotRun("the model draws random numbers that torch's seed does not hold, so slopes cannot be measured")
    with _same_noise(context, points):
        slope, lost = context.gradient(points, margin, labels)
    generator = context.generator(2)
    predicted, measured = [], []
    rounding = 1e-5 * first.topk(2).values.abs().amax(1)
    for _ in range(DIRECTIONS):
        direction = (torch.rand(points.shape, generator=generator) - 0.5).sign().to(points)
        predicted.append((slope * direction).flatten(1).sum(1))
        up, down = (margin(held(points + side * direction), labels) for side in (STEP, -STEP))
        measured.append((up - down) / (2 * STEP))
    way = points + STEP * direction - context.images[places]
    values = torch.stack([margin(held(context.images[places] + share * way), labels) for share in QUARTERS])  # (5, n)
    leap, *rest = values.diff(dim=0).abs()
    stored = int((leap > LEAP * torch.stack(rest).amax(0) + 10 * rounding).sum())
    if stored > max(LEAST - 1, STORED * len(points)):
        return Finding("fail", 1.0, *said("finite differences, stored", stored=out_of(stored, len(points))))
    slopes, differences = torch.stack(predicted, 1), torch.stack(measured, 1)  # (n, directions)
    if bool(lost.any()):
        raise NotRun("the gradient is not a number, so there is nothing to compare")
    moving = differences.abs().amax(1) * 2 * STEP > rounding
    if int(moving.sum()) < LEAST:
        raise NotRun("the margin does not move over half a grey level, so slopes cannot be measured")
    cosine = _cosine(slopes[moving], differences[moving])
    figure = 1 - float(cosine.median())
    words = said("finite differences", cosine=1 - figure)
    return judge(figure, int((1 - cosine > threshold).sum()), threshold, *words)


@check("gradient along a path", 110, 0.2, "share", "Sundararajan et al. 2017, arXiv 1703.01365, section 3")
def along_a_path(context: CheckContext, threshold: float) -> Finding:
    """Share of a logit difference's change, from one image to another of another class, that the gradient along the way does not account for.

    The integral of the gradient along a path is the change between its ends (completeness). What a model looks up, or decides by a threshold, changes
    without a gradient. Median over pairs of images.
    """
    right = context.right
    partner = [
        next((b for b in right.roll(-1 - a).tolist() if context.labels[b] != context.labels[right[a]]), -1)
        for a in range(len(right))
    ]
    pairs = [(a, b) for a, b in zip(right.tolist(), partner, strict=True) if b >= 0][: context.some(PAIRS)]
    if len(pairs) < LEAST:
        raise NotRun("fewer than 3 images are classified correctly in a second class")
    start, end = (torch.tensor(side, device=right.device) for side in zip(*pairs, strict=True))
    one, other = context.labels[start], context.labels[end]
    context.need(2 * PATH * len(pairs))

    def difference(logits: Tensor, one: Tensor, other: Tensor) -> Tensor:
        return (logits.gather(1, other[:, None]) - logits.gather(1, one[:, None]))[:, 0]

    x, way = context.images[start], context.images[end] - context.images[start]
    integral = torch.zeros(len(pairs), device=x.device)
    for point in range(PATH):
        slope, lost = context.gradient(x + (point + 0.5) / PATH * way, difference, one, other)
        if bool(lost.any()):
            raise NotRun("the gradient is not a number on the way between two images")
        integral += (slope * way).flatten(1).sum(1) / PATH
    change = difference(context.clean[end], one, other) - difference(context.clean[start], one, other)
    missing = (change - integral).abs() / change.abs().clamp(min=1e-12)
    figure = float(missing.median())
    return judge(figure, int((missing > threshold).sum()), threshold, *said("gradient along a path", figure=figure))


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


@contextlib.contextmanager
def _same_noise(context: CheckContext, like: Tensor) -> Iterator[None]:
    """Torch's random numbers as at every other such call; afterwards as before."""
    with torch.random.fork_rng(devices=[like.device] if like.device.type == "cuda" else []):
        torch.manual_seed(context.seed)
        yield


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    length = a.norm(dim=1) * b.norm(dim=1)
    return torch.where(length > 0, (a * b).sum(1) / length.clamp(min=1e-30), torch.zeros_like(length))
