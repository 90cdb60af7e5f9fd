"""Attacks that make one perturbation for all images, learned from images of their own: the base of the universal perturbation and of the patch.

At each epsilon the perturbation is learned from training images (`training` of `palpate.sweep`; the attacked ones themselves where none are
given), and then put on each attacked image. What an image's radius is, `place` says.
"""

import math
from collections.abc import Iterator
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from palpate.attacks.access import ModelAccess
from palpate.attacks.losses import margin, unusable
from palpate.attacks.norms import seeded
from palpate.attacks.problem import Block, Problem
from palpate.attacks.result import Sweep
from palpate.attacks.spec import Attack
from palpate.models.predict import as_tensor

LEARN_STAGE, PLACE_STAGE = 301, 302
"""Numbers of the generators of the draws while learning and while attacking."""


class Shared(Attack):
    """The base of attacks whose perturbation is the same for all images."""

    every_epsilon: ClassVar[bool] = True
    learns: ClassVar[bool] = True

    steps: int = Field(60, ge=1, description="gradient steps of learning, at each epsilon")
    batch: int = Field(32, ge=1, description="training images per step")
    training_images: int = Field(512, ge=1, description="training images, at most")
    seed: int = Field(0, ge=0, description="of all draws")

    def begin(self, images: Tensor, epsilon: float, before: Tensor | None) -> Tensor:
        """The perturbation that learning starts from, given that of the epsilon before."""
        raise NotImplementedError

    def put(self, images: Tensor, perturbation: Tensor, places: Tensor) -> Tensor:
        """Images (n, C, H, W) with the perturbation; `places` (n, 2) in [0, 1] are drawn."""
        raise NotImplementedError

    def ascent(self, gradient: Tensor, perturbation: Tensor, places: Tensor) -> Tensor:
        """The direction in which the perturbation is to move, from the gradients at the images (n, C, H, W)."""
        raise NotImplementedError

    def within(self, perturbation: Tensor, epsilon: float) -> Tensor:
        """The nearest perturbation that is allowed."""
        raise NotImplementedError

    def sizes(self, epsilon: float) -> tuple[float, float]:
        """The first and the last step of learning."""
        raise NotImplementedError

    def judge(self, block: Block, perturbations: list[Tensor]) -> Sweep:
        """The sweep of a block, given the perturbation of each epsilon."""
        raise NotImplementedError

    def run(self, problem: Problem) -> Iterator[Sweep]:
        """Learn at each epsilon, then attack block after block; a block is one batch unless told otherwise."""
        access = problem.access()
        if "learned" not in problem.carry:
            problem.carry["learned"] = self._learned(access, problem)
        for block in problem.blocks(access, "linf", self.seed, channels="free"):
            yield self.judge(block, [each.to(access.device) for each in problem.carry["learned"]])

    def _learned(self, access: ModelAccess, problem: Problem) -> list[Tensor]:
        """The perturbation of each epsilon, on the CPU."""
        learned: list[Tensor] = []
        given, truth = problem.training or (problem.images, problem.labels)
        images = as_tensor(given[: self.training_images]).to(access.device)
        labels = truth[: len(images)].to(access.device)
        for epsilon in problem.epsilons:
            start = self.begin(images, epsilon, learned[-1].to(images) if learned else None)
            learned.append(self._learn(access, images, labels, epsilon, start).cpu())
            if problem.progress:
                problem.progress(0, len(problem.images), f"{self.kind}: learned at {epsilon:g}")
        return learned

    def _learn(self, access: ModelAccess, images: Tensor, labels: Tensor, epsilon: float, start: Tensor) -> Tensor:
        """Ascend the margins of images that are not misclassified yet; the perturbation that misclassified most of a batch is kept."""
        generator, perturbation = seeded(self.seed, round(epsilon * 1e6), LEARN_STAGE), start
        first, last = self.sizes(epsilon)
        best, most = start, -1.0
        for step in range(self.steps + 1):
            chosen = torch.randperm(len(images), generator=generator)[: self.batch].to(images.device)
            places = torch.rand(len(chosen), 2, generator=generator).to(images.device)
            access.begin(len(chosen))
            drawn = images[chosen]
            access.tied = (drawn == drawn[:, :1]).flatten(1).all(1).cpu() & (self.channels == "tied")
            points = self.put(drawn, perturbation, places)
            _, loss, gradient = access.gradient(points, margin, labels[chosen])
            share = float((loss > 0).double().mean())
            if share >= most:
                best, most = perturbation, share
            gradient = gradient * (loss <= 0).view(-1, 1, 1, 1)
            size = last + (first - last) * (1 + math.cos(math.pi * step / self.steps)) / 2
            moved = perturbation + size * self.ascent(gradient, perturbation, places).sign()
            perturbation = self.within(moved, epsilon)
        return best

    def sweep_of(self, block: Block, radius: Tensor, points: Tensor, worst: Tensor, failed: Tensor) -> Sweep:
        """The result of a block.

        Args:
            radius: (n,) float64; 0 where the clean image is misclassified.
            points: (n, C, H, W) the image at its radius.
            worst: (E, n, C, H, W) the image at each epsilon.
            failed: (n,) the model gave no number.
        """
        block.best.pending[:] = False
        block.best.tell(self.kind)
        keep = block.keep == "all"
        return Sweep(
            radius=radius.masked_fill(failed, float("nan")).cpu(),
            labels=block.labels.cpu(),
            epsilons=block.epsilons,
            passes=block.access.passes,
            status=tuple("failed" if bad else "ok" for bad in failed.tolist()),
            images=block.images,
            adversarials=points.cpu() if keep else None,
            worst=worst.cpu() if keep else None,
            norm=self.norm,
            how=self.how,
            classes=block.classes,
        )


def margins_of(block: Block, points: Tensor, image: Tensor | None = None) -> Tensor:
    """Margins (n,) of points, NaN where the model gives no number; above 0 where misclassified."""
    labels = block.labels if image is None else block.labels[image]
    logits = block.access.judge(points, image)
    return block.access.certain_margin(logits, labels).masked_fill(unusable(logits), float("nan"))
