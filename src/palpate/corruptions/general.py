"""Noise and dirt that any camera or detector may have: Gaussian, speckle and impulse noise, a speck of dust, dead pixels.

What is drawn depends on the generator alone and grows with the severity, so that a larger severity is more of the same.
"""

import torch
from torch import Tensor

from palpate.corruptions.corruption import corruption


@corruption("gaussian-noise")
def gaussian_noise(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """x + σz with z standard normal, of each pixel and channel."""
    return (images + severity * normal(images, generator)).clamp(0, 1)


@corruption("speckle-noise")
def speckle_noise(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """x + σxz with z standard normal, of each pixel and channel."""
    return (images + severity * images * normal(images, generator)).clamp(0, 1)


@corruption("impulse-noise")
def impulse_noise(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """Salt and pepper: this share of the values becomes 0 or 1 with equal chance."""
    chance, white = torch.rand(2, *images.shape, generator=generator, dtype=images.dtype)
    return torch.where(chance < severity, (white < 0.5).to(images), images)


@corruption("dust")
def dust(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """A speck of this diameter at a place drawn, at its darkest a tenth of the light, with a border of a quarter of the radius."""
    if not severity:
        return images
    place = torch.rand(2, generator=generator).tolist()
    return images * (1 - 0.9 * disc(images, (place[0], place[1]), severity / 2, severity / 8))


@corruption("dead-pixels")
def dead_pixels(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """So many pixels, their places drawn, are black."""
    pixels = images.shape[-2] * images.shape[-1]
    order = torch.rand(pixels, generator=generator).argsort()
    dead = torch.zeros(pixels, dtype=torch.bool)
    dead[order[: round(severity)]] = True
    return images.masked_fill(dead.view(images.shape[-2:]), 0)


def normal(images: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal numbers of the images' shape and precision."""
    return torch.randn(images.shape, generator=generator, dtype=images.dtype)


def rows_and_columns(images: Tensor) -> tuple[Tensor, Tensor]:
    """The coordinates of the pixels' centres, from 0 to 1 down (H, 1) and across (1, W)."""
    height, width = images.shape[-2:]
    down = (torch.arange(height, dtype=images.dtype) + 0.5) / height
    across = (torch.arange(width, dtype=images.dtype) + 0.5) / width
    return down[:, None], across[None]


def disc(images: Tensor, place: tuple[float, float], radius: float, soft: float) -> Tensor:
    """1 inside a disc, 0 outside, falling over `soft` pixels, at least one, round its border (H, W); `place` as shares down and across."""
    down, across = rows_and_columns(images)
    height, width = images.shape[-2:]
    distance = (((down - place[0]) * height) ** 2 + ((across - place[1]) * width) ** 2).sqrt()
    return ((radius - distance) / max(soft, 1) + 0.5).clamp(0, 1)
