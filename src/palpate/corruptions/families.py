"""Families whose parameters change together: position, and exposure. A draw is a direction among them, so the worst draw is a search.

Severity is a share of the ranges stated here: at severity s each parameter lies within s times its range, and one of them at its end. The families
of ink and dust, whose place is drawn, are those corruptions themselves.
"""

import math

import torch
from torch import Tensor

from palpate.corruptions.corruption import corruption
from palpate.corruptions.handling import brightness, contrast, gamma
from palpate.corruptions.optics import placed

ANGLE, SHIFT, SCALE = 30.0, 0.15, 0.3
"""Ranges of position: ± degrees, ± share of the side each way, a factor from 1 − .3 to 1 + .3; those of Engstrom et al. 2019 but for the scale."""

BRIGHTNESS, CONTRAST, GAMMA = 0.5, 0.5, 0.7
"""Ranges of exposure: factors from .5 to 1.5, and γ from e^−.7 to e^.7, about .5 to 2."""


@corruption("position")
def position(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """Turned by up to 30 degrees, shifted by up to .15 sides each way and scaled by up to .3, in a proportion drawn."""
    angle, right, down, scale = (severity * direction(4, generator)).tolist()
    height, width = images.shape[-2:]
    return placed(images, ANGLE * angle, (SHIFT * width * right, SHIFT * height * down), 1 + SCALE * scale)


@corruption("exposure")
def exposure(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """Brightness and contrast by factors from .5 to 1.5, then gamma from .5 to 2, in a proportion drawn."""
    bright, strong, curved = (severity * direction(3, generator)).tolist()
    if not severity:
        return images
    made = contrast(brightness(images, BRIGHTNESS * bright, generator), CONTRAST * strong, generator)
    return gamma(made, math.expm1(GAMMA * curved), generator).clamp(0, 1)


def direction(count: int, generator: torch.Generator) -> Tensor:
    """A point drawn on the surface of the cube [−1, 1]^count, float64: one coordinate is −1 or 1."""
    point = 2 * torch.rand(count, generator=generator, dtype=torch.float64) - 1
    return point / point.abs().max()
