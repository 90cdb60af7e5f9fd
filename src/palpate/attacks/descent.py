"""The descent of the minimum-norm attack: candidates move along the decision boundary, and the smallest radius of each image is kept.

Each candidate holds a point and the radius of the ball around the clean image that holds it. One pass gives the margin at the point and its
gradient, which says what radius would just do: margin / rate, where the rate counts only pixels that the box leaves free. So the radius
follows the boundary while the direction improves: a step along the momentum's steepest direction, at first long enough to reach any corner
of the ball, then shorter along a cosine. No epsilon is tried; the radius that comes out answers for all of them.

For more than two classes the nearest class is seldom the runner-up, so the clean image's gradients towards several classes are taken and the
nearest few start as candidates; those that lag behind their own image's best are dropped.

The linear model counts only as far as it predicted the margin at the last point: where it missed, the radius may change less, and where the very
first prediction missed, the boundary is bracketed on the ray before the descent goes on. Images whose radius still falls at the end get
further rounds of steps, and those whose radius has settled end early. `docs/algorithm.md` has the formulas.
"""

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from palpate.attacks.boundary import bracket, search
from palpate.attacks.candidates import (
    LEAST_TRUST,
    TRUST,
    Candidates,
    Config,
    candidates_at,
    join,
    leading,
    no_candidates,
    rank_within,
)
from palpate.attacks.losses import margin, margin_towards, rounding_tolerance, unusable, wrong_by_logit
from palpate.attacks.norms import per_image, project, round_bits, slack, total
from palpate.attacks.problem import Block
from palpate.attacks.reach import Reach, rate

OVERSHOOT = 1.05
"""The first point lies 5 % beyond the boundary of the linear model, since most margins flatten on their way there."""

BEYOND = 1 + 2.0**-12
"""A radius aims a last place of `round_bits` beyond the linear model's root, so that rounding does not leave it on the near side."""

MISSED, FORETOLD = 0.7, 0.5
"""A margin that misses its prediction by more than the first share of what was to change halves the trust; by less than the second, it doubles."""

LOST = 0.5
"""Where the first prediction misses by more, the linear model is no guide to the boundary, which is bracketed instead."""

OUT_OF_REACH = 1.03
"""A candidate whose linear model puts the boundary that far beyond the largest epsilon is given up, unless its margin rises fast enough."""

ROUNDS = 1
"""Fast enough: at the pace of the last steps the margin is zero within so many further rounds."""

EXACT = 0.005
"""In l2 and l1 a point scaled to another radius is not the best one in the box. Where the first prediction misses by less than this share, the
next point is the best one of the linear model."""

SMALLEST = 1e-12
"""No ball is smaller, so that no division by a radius overflows."""


def descend(block: Block, config: Config, image: Tensor, start: Callable[[Tensor], Candidates], words: str) -> None:
    """Let candidates move to their end, `access.batch` of them at a time; places that fall free are filled with new ones.

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
    best, label = block.best, block.labels[image]
    logits, row, gradient, missing, distance = _towards(block, image, range(config.classes))
    block.head.wrong = wrong_by_logit(logits[:1], label[:1], logits.shape[1], block.access.still).shape[1]
    sound = ~unusable(logits)
    best.fail(image[~sound])
    lead = -margin(logits, label).double()
    best.lead[image] = torch.where((lead > 0) & lead.isfinite(), lead, 1.0)
    wrong = sound & (logits.argmax(1) != label)
    best.update(image, block.clean[image], torch.zeros(len(image), dtype=torch.float64, device=image.device), wrong)
    return _start(block, config, image, row, gradient, missing, distance, (sound & ~wrong)[row])


def further_classes(block: Block, config: Config) -> None:
    """Where the model is as good as linear, look at more classes than the first few and descend towards those nearer than what was found."""
    ranks = range(config.classes, config.classes + config.further)
    if not block.head.straight or block.head.wrong <= config.classes or not config.further:
        return

    def start(image: Tensor) -> Candidates:
        _, row, gradient, missing, distance = _towards(block, image, ranks)
        return _start(block, config, image, row, gradient, missing, distance, distance < block.best.limit[image[row]])

    descend(block, config, block.best.alive(), start, "further classes")


def _towards(block: Block, image: Tensor, ranks: range) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """What the linear model at the clean images (n,) says of the wrong classes of these ranks by logit (k of them).

    Returns:
        Logits (n, K), and for each image and class (k · n,): the image's row, the gradient (k · n, C, H, W), the margin to be made up for,
        infinite for a class at −∞, and the radius that does.
    """
    clean, label = block.clean[image], block.labels[image]
    logits, gaps, gradients = block.access.class_gradients(clean, label, ranks, image)
    missing = (-gaps).clamp(min=0)
    missing = (missing + rounding_tolerance(logits, label)[:, None]).T
    radii = [Reach(clean, each, block.norm).radius(gap) for each, gap in zip(gradients, missing, strict=True)]
    row = torch.arange(len(image), device=image.device).repeat(len(missing))
    return logits, row, gradients.flatten(0, 1), missing.flatten(), round_bits(torch.cat(radii))


def _start(
    block: Block,
    config: Config,
    image: Tensor,
    row: Tensor,
    gradient: Tensor,
    missing: Tensor,
    distance: Tensor,
    possible: Tensor,
) -> Candidates:
    """Candidates towards the nearest classes of each image, of those that are possible (k · n,), all with the radius of the nearest."""
    distance = torch.where(possible & missing.isfinite(), distance, float("nan"))
    nearest = torch.full_like(block.best.limit[image], float("inf"))
    nearest.scatter_reduce_(0, row, distance.nan_to_num(float("inf"), float("inf")), "amin")
    near = (distance <= config.reach * nearest[row]).nonzero()[:, 0]
    rank = rank_within(row[near], distance[near])
    chosen = near[rank.argsort(stable=True)][: int((rank < config.candidates).sum())]
    place = row[chosen]
    return _first_step(block, config, image[place], gradient[chosen], OVERSHOOT * nearest[place], missing[chosen])


def _first_step(
    block: Block, config: Config, image: Tensor, gradient: Tensor, radius: Tensor, missing: Tensor
) -> Candidates:
    """Candidates where a gradient taken at the clean image gains the most within the radius, or at random where it gains nothing."""
    clean, radius = block.clean[image], round_bits(radius).clamp(min=SMALLEST, max=block.top)
    reach = Reach(clean, gradient, block.norm)
    gain = reach.gain(radius)
    point, momentum = project(clean + reach.delta(radius), clean, radius, block.norm), _scaled(gradient)
    flat = (gain <= 0).nonzero()[:, 0]
    if len(flat):
        point[flat] = block.random_corner(image[flat], radius[flat], 0)
        momentum[flat] = 0
    made = candidates_at(block, config, image, point, radius, -1, 1)
    return dataclasses.replace(made, momentum=momentum, slope=gain / radius, before=-missing, expected=gain - missing)


def _scaled(gradient: Tensor) -> Tensor:
    """Gradients at unit l1 norm, so that a momentum weighs steps alike whatever the scale of the logits."""
    return gradient / per_image(total(gradient.abs()), gradient).clamp(min=torch.finfo(gradient.dtype).tiny)


def step(block: Block, config: Config, at: Candidates) -> tuple[Candidates, Candidates]:
    """One pass for every candidate: note what fools, move, prune what lags behind.

    Returns:
        The candidates that go on, and those that have had their steps and await the search on the ray.
    """
    access, best = block.access, block.best
    logits, toward, gradient = access.gradient(at.point, margin_towards, at.label, at.target, image=at.image)
    tolerance = rounding_tolerance(logits, at.label)
    value = margin(logits.double(), at.label) - tolerance
    fooled = access.fooled(at.point, value, at.label, at.image)
    own = ~access.flat[at.image.cpu()].to(fooled.device)  # else the loss is a surrogate's
    aim = torch.where(fooled & own, value, toward.double() - tolerance)
    sound = ~unusable(logits)
    best.fail(at.image[~sound])
    best.update(at.image, at.point, at.radius, fooled)
    slope = rate(at.clean, gradient, at.radius, block.norm)
    miss = (aim - at.expected).abs() / (at.before.abs() + (at.expected - at.before).abs()).clamp(min=1e-300)
    trust = torch.where(miss > MISSED, at.trust / 2, torch.where(miss < FORETOLD, at.trust * 2, at.trust))
    trust = trust.clamp(min=LEAST_TRUST, max=TRUST)
    # Radius at which the linear model of the margin is zero, kept near the present one and below what is known.
    linear = round_bits((at.radius - aim / slope.clamp(min=1e-300)).clamp(min=0) * BEYOND)
    estimate = torch.where(at.step > 0, linear, at.radius)
    radius = torch.minimum(torch.maximum(estimate, (1 - 0.75 * trust) * at.radius), (1 + trust) * at.radius)
    known = best.limit[at.image]
    radius = round_bits(torch.minimum(radius, known * (1 - config.shrink))).clamp(min=SMALLEST, max=block.top)
    kept = torch.where(at.step < config.steps, config.momentum, max(config.momentum, config.steadier))
    momentum = _scaled(gradient).addcmul_(at.momentum, per_image(kept, gradient))
    point = _moved(block, config, at, momentum, radius)
    first = at.step == 1
    if block.norm != "linf":
        _to_optimum(block, at, (first & (miss < EXACT)).nonzero()[:, 0], gradient, aim, point, radius)
    expected = aim + total((point - at.point).mul_(gradient))
    off = (torch.where(own, aim, value) - at.expected).abs() / (slope * at.radius).clamp(min=1e-300)
    end = torch.where((at.step == config.look) & (off > config.curved), at.end.clamp(min=config.longer), at.end)
    late = ((at.begin == 0) & (3 * at.step >= 2 * end) & (at.step < end) & at.expected.isfinite()).nonzero()[:, 0]
    best.late.scatter_reduce_(0, at.image[late], off[late], "amax")
    halfway = at.step == end - config.window
    marked = halfway | (at.step == end - 2 * config.window)
    after = dataclasses.replace(
        at, point=point, momentum=momentum, radius=radius, slope=slope, step=at.step + 1, mark=torch.where(marked, known, at.mark),
        aim_then=torch.where(marked, aim, at.aim_then), trust=trust, before=aim, expected=expected, end=end,
    )  # fmt: skip
    keep = sound & leading(at, estimate, config.prune)
    for number, factor in config.prune_beyond:
        keep &= (at.step != number) | (estimate <= factor * known)
    if bool(first.any()):
        block.head.note(block.place.start + at.image[first], miss[first], (slope / at.slope)[first])
        lost = first & keep & (miss > LOST)
        best.lost[at.image[lost]] = True  # unless the prediction held for another candidate of the image
        best.lost[at.image[first & ~(miss > LOST)]] = False
        _find_again(block, at, after, lost.nonzero()[:, 0], fooled)
    over = after.step >= end
    if bool((halfway | over).any()):
        pace = (aim - at.aim_then) / config.window
        close = (estimate <= OUT_OF_REACH * block.top) | (aim + pace * ROUNDS * config.round >= 0)
        # Ends early: the radius hardly falls any more, or nothing has fooled and the boundary is out of reach.
        early = halfway & torch.where(known.isfinite(), known >= at.mark * (1 - config.still), ~close)
        over = early | over & ~_further_round(block, config, after, close)
    best.estimate.scatter_reduce_(0, at.image, torch.where(keep & over, estimate, float("inf")), "amin")
    if bool((keep & ~over).all()):
        return after, after.take(slice(0, 0))
    return after.take(keep & ~over), after.take(keep & over)


def _moved(block: Block, config: Config, at: Candidates, momentum: Tensor, radius: Tensor) -> Tensor:
    """The next points: the present ones drawn in or out to the new radius, and a step whose length falls along a cosine over the round."""
    begin = at.begin.clamp(min=1)
    progress = (at.step - begin).clamp(min=0).double() / (at.end - begin - 1).clamp(min=1)
    high = torch.where(at.begin > 0, config.again, config.first)
    share = round_bits(config.last + (high - config.last) * (1 + torch.cos(torch.pi * progress)) / 2)
    moved = at.point - at.clean
    torch.addcmul(at.clean, moved, per_image(radius / at.radius, momentum), out=moved)
    if block.norm == "linf":  # the box cuts the step off pixel by pixel
        moved.addcmul_(momentum.sign(), per_image(share * radius, momentum))
    else:
        moved = moved.clamp(0, 1)
        moved = moved + Reach(moved, momentum, block.norm).delta(share * radius)
    return project(moved, at.clean, radius, block.norm)


def _to_optimum(
    block: Block, at: Candidates, where: Tensor, gradient: Tensor, aim: Tensor, point: Tensor, radius: Tensor
) -> None:
    """Move the next points and radii of candidates (by place) to where the linear model is zero at the smallest norm, if not far off."""
    if not len(where):
        return
    clean, slope, held = at.clean[where], gradient[where], at.radius[where]
    reach = Reach(clean, slope, block.norm)
    least = reach.radius(total(slope * (at.point[where] - clean)) - aim[where])
    least = round_bits(torch.minimum(least * BEYOND + slack(clean, block.norm), (1 + TRUST) * held))
    least = least.clamp(min=SMALLEST, max=block.top)
    point[where] = project(clean + reach.delta(least), clean, least, block.norm)
    radius[where] = least


def _find_again(block: Block, at: Candidates, after: Candidates, lost: Tensor, fooled: Tensor) -> None:
    """Bracket the boundary for candidates (by place) whose first prediction failed, and let them take their step again from there."""
    if not len(lost):
        return
    near = bracket(block, at.take(lost), fooled[lost])
    for name in ("point", "radius", "step", "momentum"):
        getattr(after, name)[lost] = getattr(near, name)
    after.trust[lost], after.expected[lost] = TRUST / 4, float("nan")


def _further_round(block: Block, config: Config, after: Candidates, close: Tensor) -> Tensor:
    """Which candidates (R,) get another round at the end of one, and their state is set for it: their image's best radius still falls, or
    nothing has fooled it yet and the boundary is close to the largest epsilon (R,)."""
    best = block.best.limit[after.image]
    pays = torch.where(best.isfinite(), best < after.mark * (1 - config.falling), close)
    pays &= (after.step >= after.end) & (after.step + config.round <= config.limit)
    after.begin = torch.where(pays, after.step, after.begin)
    after.end = torch.where(pays, after.step + config.round, after.end)
    return pays
