"""An attack: MI-FGSM, l∞ steps along a sum of past gradients (Dong et al. 2018, arXiv 1710.06081, algorithm 1), here from a random start."""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from palpate.attacks.fixed_epsilon import FixedEpsilon
from palpate.attacks.losses import cross_entropy
from palpate.attacks.norms import per_image, project
from palpate.attacks.problem import Block


class Momentum(FixedEpsilon):
    """At each epsilon, `steps` steps of ε / steps along the sign of the momentum."""

    kind: ClassVar[str] = "example-momentum"

    norm: Literal["linf"] = "linf"
    steps: int = Field(10, ge=1, description="gradients per image and epsilon")
    decay: float = Field(1.0, ge=0, description="weight of the momentum of the step before")

    def perturb(self, block: Block, image: Tensor, radius: Tensor) -> Tensor:
        """The last iterate."""
        clean, labels, size = block.clean[image], block.labels[image], per_image(radius / self.steps, block.clean)
        points, momentum = block.random_start(image, radius, 0), torch.zeros_like(clean)
        for _ in range(self.steps):
            _, _, gradient = block.access.gradient(points, cross_entropy, labels)
            length = per_image(gradient.flatten(1).abs().mean(1), gradient).clamp(min=torch.finfo(gradient.dtype).tiny)
            momentum = self.decay * momentum + gradient / length
            points = project(points + size * momentum.sign(), clean, radius)
        return points
