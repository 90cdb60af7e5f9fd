"""The decision boundary on a ray from the clean image, found with forward passes alone and without belief in any slope.

A head may bend the margin (a softmax, a cube) or break it (a bonus for the predicted class) without changing a decision. So what counts is on which
side a point lies; slopes and secants only say where to look next, inside a bracket.
"""

import dataclasses

import torch
from torch import Tensor

from palpate.attacks.candidates import Candidates, Config
from palpate.attacks.losses import margin, margin_towards
from palpate.attacks.norms import per_image, project, round_bits
from palpate.attacks.problem import Block
from palpate.attacks.reach import rate

NEAR, BRACKETINGS = 1.1, 10
"""`bracket` ends when its ends differ by 10 %, from where a descent finds its way, or after so many passes: 10 reach a boundary 100 times off."""

CLOSE, SETTLED = 1.001, 1.005
"""`search` ends when the ends of its bracket differ by .1 %, or after `Config.searches` passes by .5 %."""

FURTHER = 8
"""Passes that a search may take beyond `Config.searches` where its bracket has not settled."""

HALVINGS = 9
"""Halvings after which `across` knows the boundary to a fifth of a per cent."""

NEWTON = 1.05
"""A step along the slope goes 5 % farther than the slope says, to get the boundary between the two ends."""

SHORTEST, SHARE, LONGEST = 0.002, 0.5, 0.1
"""A step along the slope changes the scale by .2 % at least, and by half of the candidate's trust, but no more than 10 %, at most."""

SECANT, EDGE = 0.05, 0.02
"""The secant aims 5 % of the bracket beyond its root, at the fooling side, and keeps 2 % of the bracket from either end."""


def _on_ray(block: Block, at: Candidates, direction: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """The points (R, C, H, W) at these scales (R,) of the rays, and the radii (R,) that hold them."""
    radius = (scale * at.radius).clamp(max=block.top)
    return project(at.clean + direction * per_image(scale, direction), at.clean, radius, block.norm), radius


def bracket(block: Block, at: Candidates, fooled: Tensor) -> Candidates:
    """Move candidates along their rays to where the boundary is within 10 %: out by doubling, in by quarters, then by geometric means.

    Args:
        block: the images; what fools is noted in `best`.
        at: the candidates; those with a target look for its boundary.
        fooled: (R,) whether their points do.

    Returns:
        The candidates at the fooling end of their bracket, or at the largest epsilon where nothing on the ray fools.
    """
    direction, one = at.point - at.clean, torch.ones_like(at.radius)
    low, high = torch.where(fooled, 0.0, one), torch.where(fooled, one, float("inf"))
    most = block.top / at.radius
    for _ in range(BRACKETINGS):
        scale = torch.where(high.isinf(), 2 * low, torch.where(low == 0, high / 4, (low * high).sqrt()))
        scale = round_bits(torch.minimum(scale, most))
        going = ((scale > low * 1.0001) & (scale < high * 0.9999) & (high > low * NEAR)).nonzero()[:, 0]
        if not len(going):
            break
        here = at.take(going)
        point, radius = _on_ray(block, here, direction[going], scale[going])
        logits = block.access.logits(point, here.image)
        hit = block.access.certain_margin(logits, here.label) > 0
        block.best.update(here.image, point, radius, hit)
        hit = torch.where(here.target < 0, hit, margin_towards(logits, here.label, here.target) > 0)
        high[going] = torch.where(hit, scale[going], high[going])
        low[going] = torch.where(hit, low[going], scale[going])
    point, radius = _on_ray(block, at, direction, torch.where(high.isinf(), most, high))
    return dataclasses.replace(at, point=point, radius=radius)


def across(block: Block, image: Tensor) -> Tensor:
    """How many times more than the gradient says the margin differs across the boundary (n,), on the ray to the best points of these images (n,).

    Not a number where one of the two sides was not met.
    """
    access, best, label = block.access, block.best, block.labels[image]
    clean, radius = block.clean[image], best.limit[image]
    direction = best.points[image] - clean
    low, high, scale = torch.zeros_like(radius), torch.ones_like(radius), torch.ones_like(radius)
    below = above = torch.full_like(radius, float("nan"))
    for _ in range(1 + HALVINGS):
        point = clean + direction * per_image(scale, direction)
        value = margin(access.logits(point, image), label).double()
        low, below = torch.where(value > 0, low, scale), torch.where(value > 0, below, value)
        high, above = torch.where(value > 0, scale, high), torch.where(value > 0, value, above)
        scale = (low + high) / 2
    point = clean + direction * per_image(high, direction)
    _, _, gradient = access.gradient(point, margin, label, image=image)
    slope = rate(clean, gradient, radius, block.norm) * radius
    return (above - below) / ((high - low) * slope).clamp(min=1e-300)


def search(block: Block, config: Config, at: Candidates) -> None:
    """Find the boundary on the ray through each candidate's point to .1 %.

    The first pass looks at the point itself; the next follow the slope of the last gradient until both sides are known, then the secant of the two
    ends, or their middle where the secant did not halve the bracket. A ray that leads beyond what is known of its image is given up.
    """
    access, best, direction = block.access, block.best, at.point - at.clean
    low = torch.zeros_like(at.radius)  # largest scale known not to fool
    high = torch.full_like(at.radius, float("inf"))  # smallest scale known to fool
    below, above = torch.full_like(low, float("nan")), torch.full_like(low, float("nan"))  # margins there
    scale, halved = torch.ones_like(low), torch.ones_like(low, dtype=torch.bool)
    for number in range(config.searches + FURTHER):
        # A fifth of `shrink`: a pass of the search costs half of one of the descent, so a smaller gain is worth it.
        known = best.limit[at.image] * (1 - config.shrink / 5)
        scale = round_bits(torch.minimum(scale, known.clamp(max=block.top) / at.radius))
        late = number >= config.searches
        fine = SETTLED if late else CLOSE
        going = (scale > low * fine) & (scale < high) & (high > low * fine)
        if late:  # only a bracket that has not settled
            going &= (low > 0) & high.isfinite()
        if not bool(going.all()):
            at, direction = at.take(going), direction[going]
            low, high, below, above, scale, halved = (each[going] for each in (low, high, below, above, scale, halved))
        if not len(at):
            return
        point, radius = _on_ray(block, at, direction, scale)
        value = access.certain_margin(access.logits(point, at.image), at.label)
        fooled, width = value > 0, high - low
        best.update(at.image, point, radius, fooled)
        high, above = torch.where(fooled, scale, high), torch.where(fooled, value, above)
        low, below = torch.where(fooled, low, scale), torch.where(fooled, below, value)
        both = (low > 0) & high.isfinite()
        halved = ~both | (high - low <= width / 2) | ~halved
        newton = scale - NEWTON * value / (at.slope * at.radius).clamp(min=1e-300)
        longest = (SHARE * at.trust).clamp(min=2 * SHORTEST, max=LONGEST)
        inwards = torch.maximum(torch.minimum(newton, (1 - SHORTEST) * scale), (1 - longest) * scale)
        outwards = torch.minimum(torch.maximum(newton, (1 + SHORTEST) * scale), (1 + longest) * scale)
        secant = low + (high - low) * (SECANT - below / (above - below))
        secant = torch.minimum(torch.maximum(secant, low + EDGE * (high - low)), high - EDGE * (high - low))
        middle = torch.where(halved & ~secant.isnan(), secant, (low + high) / 2)
        scale = torch.where(both, middle, torch.where(fooled, inwards, outwards))
