"""Candidates of the minimum-norm attack: points on their way along the decision boundary, several of one image side by side."""

import dataclasses

import torch
from torch import Tensor

from palpate.attacks.problem import Block

TRUST = 0.4
"""By what share a radius may grow in one step (it may shrink by three quarters of that): a gradient says little farther away."""

LEAST_TRUST = 0.004
"""What is left of it where the linear model of the margin failed again and again: about what the search on the ray resolves."""


@dataclasses.dataclass(frozen=True)
class Config:
    """How hard to try; the defaults are strength "standard"."""

    steps: int = 12  # gradients per candidate, the clean image's included, before it is asked whether more would pay
    look: int = 4  # the step at which the first round is given
    longer: int = 22  # so many at least where the prediction of the margin misses
    curved: float = 0.05  # by more than this share of what the ball gains
    classes: int = 5  # classes whose gradient is taken at the clean image, by descending logit
    further: int = 15  # classes after these, whose gradient is taken where the model is as good as linear
    candidates: int = 5  # classes that start as candidates, by ascending distance
    reach: float = 1.7  # of the nearest distance; farther classes do not start
    prune: tuple[tuple[int, int], ...] = ((1, 3), (2, 2), (4, 1))  # after that step, keep so many of an image
    prune_beyond: tuple[tuple[int, float], ...] = ()  # after that step, drop those beyond that multiple of the best
    searches: int = 4  # forward passes on the ray at the end, more only where they have not settled
    first: float = 2.0  # first step as a share of the radius: from one corner of the ball to the opposite one
    again: float = 0.5  # first step of a further round likewise
    last: float = 0.02  # last step likewise
    momentum: float = 0.25  # share of the last direction that is kept in the first round
    steadier: float = 0.5  # likewise in further rounds, unless that of the first is larger
    shrink: float = 0.002  # how far below the best radius of its image a candidate aims, at least
    window: int = 4  # an image goes on whose best radius fell in so many last steps of a round
    falling: float = 0.0135  # by this share
    still: float = 0.004  # and one ends early whose best radius fell by less in the window before
    round: int = 12  # steps of a further round
    limit: int = 60  # steps in all
    attempt: int = 2  # steps at the largest epsilon on images that nothing has fooled
    near: float = 1.06  # which get further descents where the boundary seemed no farther than this multiple of it


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
    slope: Tensor  # (R,) margin gained per radius, by the last gradient
    step: Tensor  # (R,) gradients spent; 0 only where `point` is the clean image itself
    begin: Tensor  # (R,) step at which this round began
    end: Tensor  # (R,) step at which it ends
    mark: Tensor  # (R,) the image's best radius `Config.window` steps before the end of the round
    aim_then: Tensor  # (R,) the margin at that step; NaN before
    trust: Tensor  # (R,) largest relative change of the radius in one step
    before: Tensor  # (R,) margin at the last point; NaN where there was none
    expected: Tensor  # (R,) margin that the last gradient predicts at `point`; NaN where there was none

    def __len__(self) -> int:
        return len(self.image)

    def take(self, where: Tensor | slice) -> "Candidates":
        """The candidates at `where` (a mask, indices or a slice)."""
        if isinstance(where, Tensor) and where.dtype == torch.bool:
            where = where.nonzero()[:, 0]
        return Candidates(*(getattr(self, field.name)[where] for field in dataclasses.fields(self)))


def join(parts: list[Candidates]) -> Candidates:
    """All of these, one part after another; parts without candidates are left out."""
    full = [part for part in parts if len(part)] or parts[:1]
    if len(full) == 1:
        return full[0]
    return Candidates(*(torch.cat([getattr(p, field.name) for p in full]) for field in dataclasses.fields(Candidates)))


def candidates_at(
    block: Block, config: Config, image: Tensor, point: Tensor, radius: Tensor, target: Tensor | int, step: int
) -> Candidates:
    """Candidates for these images (R,) at points (R, C, H, W) in balls of radius (R,), as if `step` gradients had been spent."""
    aim = target if isinstance(target, Tensor) else torch.full_like(image, target)
    nothing, steps = torch.full_like(radius, float("nan")), torch.full_like(image, step)
    return Candidates(
        image, block.labels[image], aim, block.clean[image], point, torch.zeros_like(point), radius, torch.ones_like(radius),
        steps, torch.zeros_like(steps), torch.full_like(steps, config.steps), torch.full_like(radius, float("inf")),
        nothing, torch.full_like(radius, TRUST), nothing.clone(), nothing.clone(),
    )  # fmt: skip


def no_candidates(block: Block) -> Candidates:
    """None at all."""
    image = torch.zeros(0, dtype=torch.long, device=block.clean.device)
    return candidates_at(block, Config(), image, block.clean[:0], block.best.limit[:0], image, 0)


def leading(at: Candidates, estimate: Tensor, prune: tuple[tuple[int, int], ...]) -> Tensor:
    """Which candidates are among the best of their image by `estimate` (R,), at the steps where candidates are pruned (R,)."""
    keep = torch.ones_like(at.image, dtype=torch.bool)
    for number, count in prune:
        here = (at.step == number).nonzero()[:, 0]
        if len(here):
            keep[here[rank_within(at.image[here], estimate[here]) >= count]] = False
    return keep


def rank_within(image: Tensor, value: Tensor) -> Tensor:
    """The rank of each value (R,) among those of the same image (R,), from 0; equal ones in their order.

    >>> rank_within(torch.tensor([0, 1, 0]), torch.tensor([5.0, 1.0, 2.0]))
    tensor([1, 0, 0])
    """
    order = value.argsort(stable=True)
    order = order[image[order].argsort(stable=True)]
    place = image[order]
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device) - torch.searchsorted(place, place)
    return rank
