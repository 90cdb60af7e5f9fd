"""What changes a radiograph when it is taken: fewer photons, the detector's own noise, scattered radiation, lines of the grid."""

import math

import torch
from torch import Tensor

from palpate.corruptions.corruption import corruption
from palpate.corruptions.general import normal, rows_and_columns
from palpate.corruptions.optics import blurred

PERIOD = 6
"""Pixels from one line of a grid to the next, as where its lines and the detector's pixels interfere."""


@corruption("quantum-noise")
def quantum_noise(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """Photons counted at λ = 1 / severity² per pixel at white; the dose is proportional to λ.

    The count is ((√(λx + 3/8) + z/2)² − 3/8 with z standard normal, which has the mean and variance of the Poisson count within a few percent
    from four photons on, and, unlike a drawn count, changes continuously with λ.
    """
    if not severity:
        return images
    photons = severity**-2
    root = (photons * images + 0.375).sqrt() + normal(images, generator) / 2
    noise = (root.clamp(min=0) ** 2 - 0.375 - 0.25) / photons
    return noise.clamp(0, 1)


@corruption("electronic-noise")
def electronic_noise(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """x + σ (z + r) / √2 with z standard normal for each pixel and r for each row."""
    rows = torch.randn(*images.shape[:-1], 1, generator=generator, dtype=images.dtype)
    return (images + severity * (normal(images, generator) + rows) / math.sqrt(2)).clamp(0, 1)


@corruption("scatter")
def scatter(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """(1 − f) x + f · blur(x): the fraction f of the radiation comes from all around."""
    if not severity:
        return images
    return ((1 - severity) * images + severity * blurred(images, min(images.shape[-2:]) / 8)).clamp(0, 1)


@corruption("grid-lines")
def grid_lines(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """x (1 + a sin(2π column / 6))."""
    _, across = rows_and_columns(images)
    wave = torch.sin(2 * math.pi * across * images.shape[-1] / PERIOD)
    return (images * (1 + severity * wave)).clamp(0, 1)
