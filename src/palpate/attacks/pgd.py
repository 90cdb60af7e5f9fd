"""PGD, projected gradient ascent at a given radius (Madry et al. 2018, arXiv 1706.06083), as a function and as an attack."""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from palpate.attacks.access import Model, ModelAccess
from palpate.attacks.fixed_epsilon import FixedEpsilon
from palpate.attacks.losses import LOSSES, Loss, cross_entropy
from palpate.attacks.norms import Norm, project
from palpate.attacks.problem import Block
from palpate.attacks.reach import stepped
from palpate.core.registry import ATTACKS


def pgd(
    model: Model | ModelAccess,
    images: Tensor,
    labels: Tensor,
    epsilon: float | Tensor,
    *,
    steps: int = 40,
    start: Tensor | None = None,
    loss: Loss = cross_entropy,
    norm: Norm = "linf",
) -> Tensor:
    """Projected gradient ascent: the last iterate, inside the ball and [0, 1].

    Args:
        model: images (N, C, H, W) in [0, 1] to logits (N, K), in whatever mode it stands, for adversarial training in training mode.
        images: float images in [0, 1].
        labels: true classes (N,).
        epsilon: radius, one for all or one per image (N,).
        steps: gradients per image, each followed by a step of 2.5 ε / steps (section 5 of the article).
        start: (N, C, H, W), inside the balls, such as `norms.random_start` gives; the images themselves when absent.
        loss: what to raise.
        norm: of the ball.

    Returns:
        Adversarial images (N, C, H, W), detached.

    >>> from torch import nn
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    >>> x = torch.full((1, 1, 2, 2), 0.5)
    >>> round((pgd(net, x, torch.tensor([0]), 0.25, steps=1) - x).abs().max().item(), 5)
    0.25
    """
    access = ModelAccess.of(model)
    radius = torch.as_tensor(epsilon, dtype=torch.float64, device=images.device).expand(len(images))
    size = radius * (2.5 / steps)
    points = images if start is None else start
    for _ in range(steps):
        _, _, gradient = access.gradient(points, loss, labels)
        points = project(stepped(points, gradient, size, norm), images, radius, norm)
    return points


@ATTACKS.register("pgd")
class PGD(FixedEpsilon):
    """PGD from a random start at each epsilon, step 2.5 ε / steps, last iterate. With steps = 1 it is FGSM (arXiv 1412.6572) from a random start."""

    kind: ClassVar[str] = "pgd"

    steps: int = Field(40, ge=1, description="gradients per image and epsilon")
    loss: Literal["cross-entropy", "log-odds", "margin"] = Field("cross-entropy", description="what is raised")

    def perturb(self, block: Block, image: Tensor, radius: Tensor) -> Tensor:
        """The last iterate."""
        clean, start, loss = block.clean[image], block.random_start(image, radius, 0), LOSSES[self.loss]
        labels = block.labels[image]
        return pgd(block.access, clean, labels, radius, steps=self.steps, start=start, loss=loss, norm=self.norm)
