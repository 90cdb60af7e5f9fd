"""One l∞ perturbation for all images (Moosavi-Dezfooli et al. 2017, arXiv 1610.08401), learned by signed gradient steps at each epsilon.

An image's radius is the smallest ε at which the perturbation of an epsilon, shrunk to ε, changes its class, found by bisection. The median radius
is then the ε at which one perturbation is enough for half of the images.
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor

from palpate.attacks.norms import per_image
from palpate.attacks.problem import Block
from palpate.attacks.result import Sweep
from palpate.attacks.shared import Shared, margins_of
from palpate.core.registry import ATTACKS

ROUNDS = 14
"""Bisections of the radius along the perturbation: to 1/16384 of the epsilon at which it was learned."""


@ATTACKS.register("universal")
class Universal(Shared):
    """A universal l∞ perturbation at each epsilon."""

    kind: ClassVar[str] = "universal"

    norm: Literal["linf"] = "linf"

    def begin(self, images: Tensor, epsilon: float, before: Tensor | None) -> Tensor:
        """That of the epsilon before, stretched; none at first."""
        if before is None:
            return torch.zeros_like(images[:1])
        return before * (epsilon / before.abs().max().clamp(min=1e-12))

    def put(self, images: Tensor, perturbation: Tensor, places: Tensor) -> Tensor:
        """x + δ within [0, 1]."""
        return (images + perturbation).clamp(0, 1)

    def ascent(self, gradient: Tensor, perturbation: Tensor, places: Tensor) -> Tensor:
        """The sum over the images."""
        return gradient.sum(0, keepdim=True)

    def within(self, perturbation: Tensor, epsilon: float) -> Tensor:
        """Each pixel within ± ε."""
        return perturbation.clamp(-epsilon, epsilon)

    def sizes(self, epsilon: float) -> tuple[float, float]:
        """Across the ball at first, a twentieth of it at last."""
        return 2 * epsilon, epsilon / 20

    def judge(self, block: Block, perturbations: list[Tensor]) -> Sweep:
        """At each epsilon, then by bisection along the first perturbation that changes the class."""
        clean = margins_of(block, block.clean)
        radius, failed = torch.where(clean > 0, 0.0, float("inf")).double(), clean.isnan()
        points, worst = block.clean.clone(), []
        for epsilon, perturbation in zip(block.epsilons, perturbations, strict=True):
            worst.append(self.put(block.clean, perturbation, radius))
            found = margins_of(block, worst[-1])
            failed |= found.isnan()
            hit = ((found > 0) & radius.isinf() & ~failed).nonzero()[:, 0]
            low, high = torch.zeros_like(radius[hit]), torch.ones_like(radius[hit])
            points[hit] = worst[-1][hit]
            for _ in range(ROUNDS if len(hit) else 0):
                middle = (low + high) / 2
                trial = (block.clean[hit] + per_image(middle, block.clean) * perturbation).clamp(0, 1)
                differs = margins_of(block, trial, hit) > 0
                high, low = torch.where(differs, middle, high), torch.where(differs, low, middle)
                points[hit[differs]] = trial[differs]
            radius[hit] = high * min(epsilon, float(perturbation.abs().max()))
        return self.sweep_of(block, radius, points, torch.stack(worst), failed)
