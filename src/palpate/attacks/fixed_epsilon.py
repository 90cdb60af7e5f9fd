"""Attacks that work at one epsilon: run at each epsilon in turn on the images that have not been fooled at a smaller one.

An attack of this kind, built in or a plug-in's, is a specification with one function, `perturb`.
"""

from collections.abc import Iterator
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from palpate.attacks.losses import unusable
from palpate.attacks.problem import Block, Problem
from palpate.attacks.result import Sweep
from palpate.attacks.spec import Attack
from palpate.core import formatting


class FixedEpsilon(Attack):
    """The base of attacks that look for an adversarial image within one given epsilon."""

    splits: ClassVar[bool] = True

    seed: int = Field(0, ge=0, description="of all random draws, which depend on seed and image alone")
    draws: int = Field(1, ge=1, description="answers averaged per pass, for models that are not deterministic")

    def perturb(self, block: Block, image: Tensor, radius: Tensor) -> Tensor:
        """Adversarial images (m, C, H, W) inside the balls of `norm` and [0, 1].

        Args:
            block: `clean` images and `labels` on the device; `access`, whose points are those of `image`, in this order; `random_start`.
            image: places in the block (m,) of images that are classified correctly and not fooled at a smaller epsilon.
            radius: (m,) of the balls, float64, all the same epsilon.
        """
        raise NotImplementedError(f"attack {self.kind!r} has no perturb")

    def run(self, problem: Problem) -> Iterator[Sweep]:
        """At each epsilon, perturb the images that have not been fooled at a smaller one; a block is one batch unless told otherwise."""
        access = problem.access(self.draws)
        for block in problem.blocks(access, self.norm, self.seed, channels=self.channels):
            best, labels = block.best, block.labels
            every, none = torch.arange(len(block), device=labels.device), torch.zeros_like(best.limit)
            logits = access.logits(block.clean)
            best.fail(every[unusable(logits)])
            best.update(every, block.clean, none, logits.argmax(1) != labels)
            for epsilon in block.epsilons:
                left = (best.limit.isinf() & ~best.failed).nonzero()[:, 0]
                if not len(left):
                    break
                access.select(left)
                radius = none[left] + epsilon
                points = self.perturb(block, left, radius)
                logits = access.logits(points)
                best.fail(left[unusable(logits)])
                best.update(left, points, radius, access.certain_margin(logits, labels[left]) > 0)
                best.tell(f"{self.kind} at {formatting.epsilon(epsilon, self.norm)}")
            best.finish(every, every[:0], self.kind)
            yield block.result(self.how)
