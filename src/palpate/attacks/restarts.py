"""Descents from elsewhere than the nearest classes: from random points of the ball, and from the clean image towards one class after another."""

import torch
from torch import Tensor

from palpate.attacks.candidates import Candidates, Config, candidates_at
from palpate.attacks.descent import descend
from palpate.attacks.losses import wrong_by_logit
from palpate.attacks.norms import round_bits
from palpate.attacks.problem import Block

WIDER = 2.0
"""A restart begins in a ball of so many times the best radius and goes by what it finds itself. One that must stay below the best radius from its
first step moves where the margin rises there, and ends where earlier descents ended: two such on a CNN with attention for seven classes left radii
2.1 % above the smallest known in the mean, six independent ones in the wider ball .3 %."""


def below_best(block: Block, config: Config, image: Tensor) -> Tensor:
    """Radii (n,) at which these images are attacked again: just below the best one known, or the largest epsilon where none is."""
    return round_bits((block.best.limit[image] * (1 - config.shrink)).clamp(max=block.top))


def restart(block: Block, config: Config, image: Tensor, stage: int) -> None:
    """Descend from a random point of a ball around each of these images (n,), drawn by the generators of this stage."""
    wide = round_bits((WIDER * block.best.limit).clamp(max=block.top))

    def anew(some: Tensor) -> Candidates:
        radius = wide[some]
        return candidates_at(block, config, some, block.random_start(some, radius, stage), radius, -1, 1)

    with block.best.independent(image):
        descend(block, config, image, anew, "restarts")


def each_class(block: Block, config: Config, image: Tensor, most: int) -> None:
    """Descend from these clean images (n,) towards one wrong class after another, at most so many, in the order of their logits.

    Where there is one class to aim at, it is what every descent aims at, so nothing is done.
    """
    if block.head.wrong == 1:
        return
    most = min(most, block.head.wrong)
    order = torch.full((len(block), most), -1, device=image.device)
    logits = block.access.logits(block.clean[image], image)
    order[image] = wrong_by_logit(logits, block.labels[image], most, block.access.still)
    for rank in range(most):

        def towards(some: Tensor, rank: int = rank) -> Candidates:
            radius = below_best(block, config, some)
            return candidates_at(block, config, some, block.clean[some], radius, order[some, rank], 0)

        descend(block, config, image, towards, "targets")
