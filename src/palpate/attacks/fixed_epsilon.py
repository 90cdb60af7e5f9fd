"""Attacks that work at one epsilon: run at each epsilon in turn on the images that have not been fooled at a smaller one.

An attack of this kind, built in or a plug-in's, is a specification with one function, `perturb`.
"""

import dataclasses
from collections.abc import Iterator

import torch
from pydantic import Field
from torch import Tensor

from palpate.attacks.access import ModelAccess
from palpate.attacks.norms import Norm, random_start, seeded
from palpate.attacks.problem import Problem
from palpate.attacks.result import Sweep
from palpate.attacks.spec import Attack


@dataclasses.dataclass(frozen=True)
class Target:
    """What is to be attacked at one epsilon.

    Attributes:
        access: the model: `logits(points)` and `gradient(points, loss, labels)`; points are (m, C, H, W) in the order of the images.
        images: (m, C, H, W) in [0, 1], classified correctly.
        labels: (m,) the true classes.
        radius: (m,) of the balls, float64.
        norm: of the balls.
        places: m places in the whole set, which with `seed` decide each image's draws.
        seed: of the draws.
    """

    access: ModelAccess
    images: Tensor
    labels: Tensor
    radius: Tensor
    norm: Norm
    places: list[int]
    seed: int

    def generators(self, stage: int) -> list[torch.Generator]:
        """One generator per image, which depends on seed, image and stage alone."""
        return [seeded(self.seed, place, stage) for place in self.places]

    def random_start(self, stage: int = 0) -> Tensor:
        """A random point in each ball."""
        return random_start(self.images, self.radius, self.generators(stage), self.norm)


class FixedEpsilon(Attack):
    """The base of attacks that look for an adversarial image within one given epsilon."""

    seed: int = Field(0, ge=0, description="of all random draws, which depend on seed and image alone")
    draws: int = Field(1, ge=1, description="answers averaged per pass, for models that are not deterministic")

    def perturb(self, target: Target) -> Tensor:
        """Adversarial images (m, C, H, W) inside the balls and [0, 1], for images of which none has been fooled yet."""
        raise NotImplementedError(f"attack {self.kind!r} has no perturb")

    def run(self, problem: Problem) -> Iterator[Sweep]:
        """At each epsilon, perturb the images that have not been fooled at a smaller one; a block is one batch unless told otherwise."""
        access = problem.access(self.draws)
        for block in problem.blocks(access, self.norm, self.seed):
            best, labels = block.best, block.labels
            everything, nothing = torch.arange(len(block), device=labels.device), torch.zeros_like(best.limit)
            logits = access.logits(block.clean)
            best.fail(everything[~logits.isfinite().all(1)])
            best.update(everything, block.clean, nothing, logits.argmax(1) != labels)
            for epsilon in block.epsilons:
                left = (best.limit.isinf() & ~best.failed).nonzero()[:, 0]
                if not len(left):
                    break
                access.select(left)
                radius = torch.full_like(best.limit[left], epsilon)
                places = [block.place.start + place for place in left.tolist()]
                target = Target(access, block.clean[left], labels[left], radius, self.norm, places, self.seed)
                points = self.perturb(target)
                logits = access.logits(points)
                best.fail(left[~logits.isfinite().all(1)])
                best.update(left, points, radius, access.certain_margin(logits, labels[left]) > 0)
                best.tell(f"{self.kind} at {epsilon:.4g}")
            best.finish(everything, everything[:0], self.kind)
            yield block.result(self.how)
