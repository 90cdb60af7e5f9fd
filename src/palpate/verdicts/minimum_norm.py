"""The reference attack: FMN, a minimum-norm attack of another family than the sweep's (Pintor et al. 2021, arXiv 2102.12827, algorithm 1).

It shares no code with the sweep beyond model access, so that a mistake of one is not a mistake of the other.
"""

import math

import torch
from torch import Tensor

from palpate.attacks.access import ModelAccess

STEPS = 100
"""Steps, a forward and a backward pass each."""

NORMS = {"linf": 10.0, "l2": 1.0}
"""The norms it is made for, with the first length of a step in l2 (α₀); the last is a hundredth of it."""

SHRINK, LAST = 0.05, 0.01
"""By what share the ball shrinks or grows at first (γ₀), and the last step and share as parts of the first."""


BEYOND = 1.001
"""By how much the estimated distance to the decision boundary is exceeded: on a linear model it would end there exactly, and never cross it."""


def fmn(access: ModelAccess, images: Tensor, labels: Tensor, norm: str = "linf") -> tuple[Tensor, Tensor]:
    """Descend on the margin inside a ball that shrinks while the point is adversarial and grows while it is not.

    Args:
        access: the attacked model.
        images: (n, C, H, W) in [0, 1], classified correctly.
        labels: (n,).
        norm: "linf" or "l2".

    Returns:
        The norm of the smallest adversarial perturbation (n,), float64, infinite where none was found, and the image with it (n, C, H, W).
    """
    count = len(images)
    best, found = images.clone(), torch.full((count,), math.inf, dtype=torch.float64, device=images.device)
    radius = torch.full_like(found, math.inf)
    delta = torch.zeros_like(images)
    for step in range(STEPS):
        logits, distance_to_boundary, slope = access.gradient(images + delta, _lead, labels)
        lead, size = distance_to_boundary.double(), _norm(delta, norm)
        fooled = (lead < 0) & ~logits.isnan().any(1)
        better = fooled & (size < found)
        found, best = torch.where(better, size, found), torch.where(_wide(better, images), images + delta, best)
        cosine = 0.5 * (1 + math.cos(math.pi * step / STEPS))
        change = SHRINK * (LAST + (1 - LAST) * cosine)
        slope = slope.nan_to_num(0.0, 0.0, 0.0)
        dual = _norm(slope, "l1" if norm == "linf" else "l2").clamp(min=1e-12)
        towards = torch.where(found.isfinite(), radius * (1 + change), BEYOND * (size + lead / dual))
        radius = torch.where(fooled, torch.minimum(radius * (1 - change), found), towards)
        length = NORMS[norm] * (LAST + (1 - LAST) * cosine)
        delta = delta - length * slope / _wide(_norm(slope, "l2").clamp(min=1e-12), images)
        delta = (images + _into_ball(delta, radius, norm)).clamp(0, 1) - images
    return found, best


def _lead(logits: Tensor, labels: Tensor) -> Tensor:
    """True logit minus the largest other (n,): below 0 where the image is adversarial."""
    true = logits.gather(1, labels[:, None])[:, 0]
    rest = logits.masked_fill(torch.nn.functional.one_hot(labels, logits.shape[1]).bool(), -math.inf)
    return true - rest.max(1).values


def _norm(values: Tensor, norm: str) -> Tensor:
    order = {"linf": math.inf, "l2": 2, "l1": 1}[norm]
    return values.flatten(1).double().norm(order, dim=1)


def _wide(values: Tensor, images: Tensor) -> Tensor:
    return (values if values.dtype == torch.bool else values.to(images.dtype)).view(-1, 1, 1, 1)


def _into_ball(delta: Tensor, radius: Tensor, norm: str) -> Tensor:
    wide = _wide(radius, delta)
    if norm == "linf":
        return torch.minimum(torch.maximum(delta, -wide), wide)
    return delta * (wide / _wide(_norm(delta, "l2").clamp(min=1e-12), delta)).clamp(max=1)
