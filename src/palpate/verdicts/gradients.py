"""Checks of the gradient, which is all that PGD knows of a model.

A zero gradient stops PGD at its start, and one that does not describe the model leads it in a wrong direction. Both look like robustness from
outside (Athalye, Carlini and Wagner 2018, arXiv 1802.00420: "obfuscated gradients").
"""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

from palpate.attacks.losses import cross_entropy, margin
from palpate.verdicts.check import ATHALYE, LEAST, Finding, NotRun, check, out_of, status_of
from palpate.verdicts.context import CheckContext

IMAGES, DIRECTIONS, STEP = 32, 16, 1 / 510
"""Images and random directions of the finite differences, and their step: half a grey level to each side."""


@check("gradients", 40, 0.25, "share", "Carlini & Wagner 2017, arXiv 1608.04644, section 4")
def usable(context: CheckContext, threshold: float) -> Finding:
    """Per loss, the share of images whose input gradient is zero everywhere or not a number."""
    total = len(context.right)
    zero: dict[str, int] = {}
    broken: dict[str, int] = {}
    for name, loss in (("cross-entropy", cross_entropy), ("margin", margin)):
        _, _, slope = context.access.gradient(context.x, loss, context.y)
        flat = slope.flatten(1)
        zero[name] = int((flat == 0).all(1).sum())
        broken[name] = int((~flat.isfinite()).any(1).sum())
    worst = max(zero[name] + broken[name] for name in zero)
    status = status_of(worst / total, worst, threshold)
    if not worst:
        return Finding(status, 0.0, "Gradients of cross-entropy and margin are present and finite.")
    if status == "pass":
        return Finding(
            "warn",
            worst / total,
            f"The gradient is zero or not a number on {out_of(worst, total)}, where units may be off: an attack that starts there does not move, so "
            "look whether the checks below find that attacks without gradients do better.",
        )
    if max(broken.values()):
        bad = max(broken, key=lambda name: broken[name])
        advice = (
            f"The gradient of the {bad} is not a number on {out_of(broken[bad], total)}, which stops an attack as surely as strength would: "
            "find the operation (often a root, a logarithm or a division at 0) and make it finite."
        )
    elif zero["margin"] >= LEAST:
        advice = (
            f"The gradient is exactly zero on {out_of(zero['margin'], total)}, whatever the loss: a step inside the model (rounding, a threshold, "
            "a cut in the graph) cannot be differentiated, so attack a smooth replacement of it, or without gradients."
        )
    else:
        advice = (
            f"The cross-entropy gradient is exactly zero on {out_of(zero['cross-entropy'], total)} because the logits are so large that the loss "
            f"saturates (median clean margin {context.median_margin:.4g} logits): attack the margin instead, or divide the logits."
        )
    return Finding(status, worst / total, advice)


@check("finite differences", 60, 0.5, "1 − cosine", f"{ATHALYE} 3.1")
def finite_differences(context: CheckContext, threshold: float) -> Finding:
    """Median cosine between the margin's slopes that the gradient predicts along random ±1 directions and those that are measured.

    Measured a grey level apart, from points moved so far inside [0, 1]. Where torch's own noise is part of the model, it is held the same.
    The figure is 1 − cosine, so that more is worse.
    """
    places = context.right[:IMAGES]
    points, labels = context.images[places].clamp(STEP, 1 - STEP), context.labels[places]
    context.need(len(points) * (4 + 2 * DIRECTIONS))

    def held(where: Tensor) -> Tensor:
        with _same_noise(context, points):
            return context.access.logits(where)

    first, again = held(points), held(points)
    if not torch.allclose(first, again, rtol=1e-3, atol=1e-4):
        raise NotRun("the model draws random numbers that torch's seed does not hold, so slopes cannot be measured")
    with _same_noise(context, points):
        _, _, slope = context.access.gradient(points, margin, labels)
    generator = context.generator(2)
    predicted, measured = [], []
    rounding = 1e-5 * first.abs().amax(1)
    for _ in range(DIRECTIONS):
        direction = (torch.rand(points.shape, generator=generator) - 0.5).sign().to(points)
        predicted.append((slope * direction).flatten(1).sum(1))
        up, down = held(points + STEP * direction), held(points - STEP * direction)
        measured.append((margin(up, labels) - margin(down, labels)) / (2 * STEP))
    slopes, differences = torch.stack(predicted, 1), torch.stack(measured, 1)  # (n, directions)
    if not bool(slopes.isfinite().all()):
        raise NotRun("the gradient is not a number, so there is nothing to compare")
    moving = differences.abs().amax(1) * 2 * STEP > rounding
    if int(moving.sum()) < LEAST:
        raise NotRun("the margin does not move over half a grey level, so slopes cannot be measured")
    cosine = _cosine(slopes[moving], differences[moving])
    figure = 1 - float(cosine.median())
    bad = int((1 - cosine > threshold).sum())
    status = status_of(figure, bad, threshold)
    if status != "pass":
        advice = (
            f"The gradient does not describe the model: over one grey level its prediction and the measured change agree with a cosine of only "
            f"{1 - figure:.2f} (1 is perfect); some step is hidden from the gradient or jumps, so use attacks without gradients."
        )
    else:
        advice = f"The gradient describes the model (cosine {1 - figure:.2f} with measured differences)."
    return Finding(status, figure, advice)


@check("same gradient", 50, 0.5, "1 − cosine", f"{ATHALYE} 3.2")
def repeatable(context: CheckContext, threshold: float) -> Finding:
    """Median cosine between two gradients of the same image, asked one after the other; the figure is 1 − cosine.

    Noise inside a model may leave its classes as they are and yet send every step of an attack another way.
    """
    places = context.right[:IMAGES]
    points, labels = context.images[places], context.labels[places]
    context.need(4 * len(points))
    first, second = (context.access.gradient(points, margin, labels)[2].flatten(1) for _ in range(2))
    known = first.isfinite().all(1) & second.isfinite().all(1) & (first != 0).any(1) & (second != 0).any(1)
    if int(known.sum()) < LEAST:
        raise NotRun("the gradient is zero or not a number on nearly all images, so there is nothing to compare")
    cosine = _cosine(first[known], second[known])
    figure = max(1 - float(cosine.median()), 0.0)
    status = status_of(figure, int((1 - cosine > threshold).sum()), threshold)
    if status == "pass":
        return Finding(status, figure, f"Asked again, the model gives the same gradient (cosine {1 - figure:.2f}).")
    return Finding(
        status,
        figure,
        f"The model gives another gradient when asked again (cosine {1 - figure:.2f}; 1 is the same), so noise in the model and not its "
        "strength may stop the attack: switch the randomness off, or average over many draws (palpate.sweep(..., draws=20)).",
    )


@contextlib.contextmanager
def _same_noise(context: CheckContext, like: Tensor) -> Iterator[None]:
    """Torch's random numbers as at every other such call; afterwards as before."""
    with torch.random.fork_rng(devices=[like.device] if like.device.type == "cuda" else []):
        torch.manual_seed(context.seed)
        yield


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    length = a.norm(dim=1) * b.norm(dim=1)
    return torch.where(length > 0, (a * b).sum(1) / length.clamp(min=1e-30), torch.zeros_like(length))


@check("local Lipschitz", 200, None, "logits per grey level", "Weng et al. 2018, arXiv 1801.10578")
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
    return Finding(
        "pass", value, f"Near a typical image the margin changes by {value:.3g} logits per grey level: for information."
    )


@check("sharpness", 210, None, "nats", "Ma et al. 2021, arXiv 1907.10456")
def sharpness(context: CheckContext, _: float) -> Finding:
    """Mean rise of the cross-entropy from an image to baseline PGD's, at the smallest tested epsilon, in nats."""
    epsilon = context.tested[0]
    run = context.baseline(epsilon)
    rise = cross_entropy(run.logits, context.y) - cross_entropy(context.clean[context.right], context.y)
    rise = rise[rise.isfinite()]
    if not len(rise):
        raise NotRun("the loss is not a number")
    value = float(rise.mean())
    return Finding(
        "pass", value, f"At epsilon {epsilon:.3g} an attack raises the loss by {value:.3g} nats: for information."
    )
