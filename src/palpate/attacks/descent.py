"""The descent of the minimum-norm attack: candidates (image, wrong class) walk along the decision boundary towards the smallest radius.

Each candidate holds a point and a radius. One pass gives the margin and its gradient there, and the gradient says how much radius is
missing or to spare (margin / dual norm), so the radius follows the boundary while the direction improves: a step of up to twice the
radius along the momentum's sign, which first jumps between corners of the ball and then, with a cosine decay, grows small. No epsilon
is tried; the radius that comes out answers for all of them. For more than two classes the nearest class is seldom the runner-up, so the
clean image's gradients towards several classes are taken, the nearest few by margin / dual norm become candidates, and at fixed
steps those that lag behind their own image's best are pruned. Last come forward passes only, which find the boundary on the ray.
`docs/algorithm.md` gives the formulas.
"""

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from palpate.attacks.losses import margin_towards, rounding_tolerance
from palpate.attacks.norms import dual_norm, per_image, power_of_two, project, round_bits, steepest
from palpate.attacks.problem import Block

OVERSHOOT = 1.05
"""The first radius over the linear estimate of the distance: margins curve, and a point beyond the boundary says more than one before it."""

SMALLER, LARGER = 0.7, 1.4
"""How far a radius may move in one step: the linear estimate holds only near the point where the gradient was taken; √2 either way."""

BEYOND = 1 + 2.0**-12
"""A radius estimate is raised by the largest error of `round_bits`, so that rounding cannot put it just short of the boundary."""

FARTHEST = 1e6
"""Distances above this mean that there is no gradient; they stay finite so that they can be ordered."""

CLOSE = 1.001
"""The search on a ray ends when its two ends differ by .1 %."""

NEWTON = 1.05
"""A step of the search along the slope goes 5 % farther than the slope says, to get the boundary between its two ends."""

STEP_IN, STEP_OUT = (0.9, 0.998), (1.002, 1.1)
"""A step of the search along the slope changes the scale by .2 to 10 %: less gains nothing, farther away the slope no longer holds."""

SECANT, EDGE = 0.05, 0.02
"""The secant aims 5 % of the bracket beyond its root, at the fooling side, and keeps 2 % of the bracket from either end."""


@dataclasses.dataclass(frozen=True)
class Config:
    """How hard to try; the defaults are strength "standard"."""

    steps: int = 12  # gradients per candidate, the clean image's included
    classes: int = 5  # classes whose gradient is taken at the clean image, by descending logit
    candidates: int = 3  # classes that start as candidates, by ascending distance
    reach: float = 1.5  # of the nearest distance; farther classes do not start
    prune: tuple[tuple[int, int], ...] = ((1, 2), (3, 1))  # after that step, keep that many candidates per image
    prune_beyond: tuple[tuple[int, float], ...] = ()  # after that step, drop those beyond that multiple of the best
    searches: int = 4  # forward passes on the ray at the end
    first: float = 2.0  # first step as a share of the radius: from one corner of the ball to the opposite one
    last: float = 0.02  # last step likewise
    momentum: float = 0.25  # share of the last direction that is kept
    shrink: float = 0.005  # how far below the best radius of its image a candidate aims, at least


@dataclasses.dataclass
class Candidates:
    """State of the candidates at work, one entry each; all tensors on the device of the attack, radii in float64."""

    image: Tensor  # (R,) place in the block
    label: Tensor  # (R,)
    target: Tensor  # (R,) the class to be mistaken for, −1 for whichever is nearest
    clean: Tensor  # (R, C, H, W)
    point: Tensor  # (R, C, H, W)
    momentum: Tensor  # (R, C, H, W)
    radius: Tensor  # (R,) of the ball that holds `point`
    slope: Tensor  # (R,) dual norm of the last gradient: margin gained per radius
    step: Tensor  # (R,) gradients spent; 0 only where `point` is the clean image itself

    def __len__(self) -> int:
        return len(self.image)

    def take(self, where: Tensor) -> "Candidates":
        """The candidates at `where` (a mask or indices)."""
        return Candidates(*(getattr(self, field.name)[where] for field in dataclasses.fields(self)))


def join(parts: list[Candidates]) -> Candidates:
    """All of these, one part after another; parts without candidates are left out."""
    full = [part for part in parts if len(part)] or parts[:1]
    if len(full) == 1:
        return full[0]
    return Candidates(*(torch.cat([getattr(p, field.name) for p in full]) for field in dataclasses.fields(Candidates)))


def candidates_at(
    block: Block, image: Tensor, point: Tensor, radius: Tensor, target: Tensor | int, step: int
) -> Candidates:
    """Candidates for these images (R,) at points (R, C, H, W) in balls of radius (R,), as if `step` gradients had been spent."""
    aim = target if isinstance(target, Tensor) else torch.full_like(image, target)
    return Candidates(
        image, block.labels[image], aim, block.clean[image], point, torch.zeros_like(point), radius,
        torch.ones_like(radius), torch.full_like(image, step),
    )  # fmt: skip


def no_candidates(block: Block) -> Candidates:
    """None at all."""
    image = torch.zeros(0, dtype=torch.long, device=block.clean.device)
    return candidates_at(block, image, block.clean[:0], block.best.limit[:0], image, 0)


def descend(block: Block, config: Config, image: Tensor, start: Callable[[Tensor], Candidates], words: str) -> None:
    """Let candidates walk to their end, `access.batch` of them at a time; places that fall free are filled with new ones.

    Args:
        block: the images, and `best`, where successes go and which knows what is pending.
        config: how hard to try.
        image: places (n,) of the images to work on.
        start: makes the candidates of some of these images.
        words: for the progress report.
    """
    access, best = block.access, block.best
    active = waiting = no_candidates(block)
    begun, count = 0, len(image)
    while begun < count or len(active):
        if begun < count and len(active) <= access.batch // 2:
            stop = min(begun + max(access.batch - len(active), 1), count)
            active = join([active, start(image[begun:stop])])
            begun = stop
        if len(active):
            active, ended = step(block, config, active)
            waiting = join([waiting, ended])
        if len(waiting) >= access.batch or (begun == count and not len(active) and len(waiting)):
            search(block, config, waiting)
            waiting = no_candidates(block)
            best.finish(image[:begun], active.image, words)
    best.finish(image, active.image, words)


def init(block: Block, config: Config, image: Tensor) -> Candidates:
    """Look at clean images (n,) and start a candidate for each of their nearest classes; images already wrong are noted as fooled."""
    access, best, label, clean = block.access, block.best, block.labels[image], block.clean[image]
    logits, targets, gradients = access.class_gradients(clean, label, config.classes, image)  # (n, k), (k, n, C, H, W)
    slopes = torch.stack([dual_norm(gradient, block.norm) for gradient in gradients], 1)  # (n, k)
    sound = logits.isfinite().all(1) & slopes.isfinite().all(1)
    best.fail(image[~sound])
    wrong = sound & (logits.argmax(1) != label)
    best.update(image, clean, torch.zeros(len(image), dtype=torch.float64, device=image.device), wrong)
    missing = logits.gather(1, label[:, None]) - logits.gather(1, targets)
    missing = missing + rounding_tolerance(logits, access.scale)[:, None]
    distances = round_bits((missing.double() / slopes.clamp(min=1e-300)).clamp(max=FARTHEST))
    order = distances.argsort(dim=1, stable=True)
    nearest = distances.gather(1, order[:, :1])[:, 0]
    started = []
    for rank in range(min(config.candidates, targets.shape[1])):
        pick = order[:, rank]
        near = distances.gather(1, pick[:, None])[:, 0] <= config.reach * nearest
        chosen = (sound & ~wrong & near).nonzero()[:, 0]
        started.append(_first_step(block, image[chosen], gradients[pick[chosen], chosen], OVERSHOOT * nearest[chosen]))
    return join(started)


def _first_step(block: Block, image: Tensor, gradient: Tensor, radius: Tensor) -> Candidates:
    """Candidates one step away from their clean images, along a gradient taken there, or at random where that is zero."""
    clean, radius, slope = block.clean[image], round_bits(radius).clamp(max=block.top), dual_norm(gradient, block.norm)
    momentum = gradient * per_image(1 / power_of_two(slope), gradient)
    flat = (slope == 0).nonzero()[:, 0]
    if len(flat):
        momentum[flat] = block.random_start(image[flat], radius[flat], 0) - clean[flat]
    moved = clean + per_image(radius, clean) * steepest(momentum, block.norm)
    made = candidates_at(block, image, project(moved, clean, radius, block.norm), radius, -1, 1)
    return dataclasses.replace(made, momentum=momentum, slope=slope)


def step(block: Block, config: Config, at: Candidates) -> tuple[Candidates, Candidates]:
    """One pass for every candidate: note what fools, move, prune what lags behind.

    Returns:
        The candidates that go on, and those that have had their steps and await the search on the ray.
    """
    access, best, norm = block.access, block.best, block.norm
    logits, toward, gradient = access.gradient(at.point, margin_towards, at.label, at.target, image=at.image)
    value, fooled = access.certain_margin(logits, at.label), access.fooled(at.point, logits, at.label, at.image)
    aim = torch.where(fooled, value, toward - rounding_tolerance(logits, access.scale)).double()
    slope = dual_norm(gradient, norm)
    sound = logits.isfinite().all(1) & slope.isfinite()
    best.fail(at.image[~sound])
    best.update(at.image, at.point, at.radius, fooled)
    # Radius at which the linear model of the margin is zero, kept near the present one and below what is known.
    linear = round_bits((at.radius - aim / slope.clamp(min=1e-300)) * BEYOND)
    estimate = torch.where(at.step > 0, linear, at.radius)
    radius = torch.minimum(torch.maximum(estimate, SMALLER * at.radius), LARGER * at.radius)
    limit = best.limit[at.image] * (1 - config.shrink)
    radius = round_bits(torch.minimum(radius, limit)).clamp(max=block.top)
    scaled = gradient * per_image(1 / power_of_two(slope), gradient)
    momentum = scaled.add_(at.momentum, alpha=config.momentum)
    progress = (at.step - 1).clamp(min=0).double() / max(config.steps - 2, 1)
    share = config.last + (config.first - config.last) * (1 + torch.cos(torch.pi * progress)) / 2
    moved = torch.addcmul(at.clean, at.point - at.clean, per_image(radius / at.radius, gradient))
    moved.addcmul_(steepest(momentum, norm), per_image(round_bits(share) * radius, gradient))
    point = project(moved, at.clean, radius, norm)
    after = dataclasses.replace(at, point=point, momentum=momentum, radius=radius, slope=slope, step=at.step + 1)
    keep = sound & _leading(at, estimate, config)
    for number, factor in config.prune_beyond:
        keep &= (at.step != number) | (estimate <= factor * best.limit[at.image])
    over = after.step >= config.steps
    if bool((keep & ~over).all()):
        return after, no_candidates(block)
    return after.take(keep & ~over), after.take(keep & over)


def _leading(at: Candidates, estimate: Tensor, config: Config) -> Tensor:
    """Which candidates are among the best of their image, at the steps where candidates are pruned (R,)."""
    keep = torch.ones_like(at.image, dtype=torch.bool)
    for number, count in config.prune:
        here = (at.step == number).nonzero()[:, 0]
        if not len(here):
            continue
        order = here[estimate[here].argsort(stable=True)]
        order = order[at.image[order].argsort(stable=True)]
        image = at.image[order]
        rank = torch.arange(len(order), device=order.device) - torch.searchsorted(image, image)
        keep[order[rank >= count]] = False
    return keep


def search(block: Block, config: Config, at: Candidates) -> None:
    """Find the boundary on the ray from each clean image through the candidate's point, with forward passes only.

    The first pass looks at the point itself; the next follow the slope of the last gradient, then the secant of the two
    scales that bracket the boundary. Candidates stop when the bracket is within .1 % or the ray leads beyond what is known.
    """
    access, best = block.access, block.best
    direction = at.point - at.clean
    low = torch.zeros_like(at.radius)  # largest scale known not to fool
    high = torch.full_like(at.radius, float("inf"))  # smallest scale known to fool
    below, above = torch.full_like(low, float("nan")), torch.full_like(low, float("nan"))  # margins there
    scale = torch.ones_like(low)
    for _ in range(config.searches):
        # A fifth of `shrink`: a pass of the search costs half of one of the descent, so a smaller gain is worth it.
        known = best.limit[at.image] * (1 - config.shrink / 5)
        scale = round_bits(torch.minimum(scale, known.clamp(max=block.top) / at.radius))
        going = (scale > low * CLOSE) & (scale < high) & (high > low * CLOSE)
        if not bool(going.all()):
            at, direction = at.take(going), direction[going]
            low, high, below, above, scale = (each[going] for each in (low, high, below, above, scale))
        if not len(at):
            return
        radius = (scale * at.radius).clamp(max=block.top)
        point = project(at.clean + direction * per_image(scale, direction), at.clean, radius, block.norm)
        value = access.certain_margin(access.logits(point, at.image), at.label).double()
        fooled = value > 0
        best.update(at.image, point, radius, fooled)
        high, above = torch.where(fooled, scale, high), torch.where(fooled, value, above)
        low, below = torch.where(fooled, low, scale), torch.where(fooled, below, value)
        newton = scale - NEWTON * value / (at.slope * at.radius).clamp(min=1e-300)
        inwards = torch.maximum(torch.minimum(newton, STEP_IN[1] * scale), STEP_IN[0] * scale)
        outwards = torch.minimum(torch.maximum(newton, STEP_OUT[0] * scale), STEP_OUT[1] * scale)
        secant = low + (high - low) * (SECANT - below / (above - below))
        secant = torch.minimum(torch.maximum(secant, low + EDGE * (high - low)), high - EDGE * (high - low))
        scale = torch.where(secant.isnan(), torch.where(fooled, inwards, outwards), secant)
