"""What spoils a photograph of the fundus: haze of the lens or the vitreous, uneven light, eyelashes, reflections of the lens.

Its defocus is that of `optics`. The forms follow the degradation model of Shen et al. 2020, arXiv 2005.05594 (light, blur, artefacts).
"""

import math

import numpy as np
import torch
from torch import Tensor

from palpate.corruptions.corruption import corruption
from palpate.corruptions.dermatoscopy import arc, canvas, line, over, painted
from palpate.corruptions.general import disc, rows_and_columns

HAZE, LASH, REFLECTION = (0.75, 0.7, 0.6), (0.05, 0.04, 0.03), (0.95, 0.95, 1.0)
"""Colours, red, green and blue."""


@corruption("haze")
def haze(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """A light veil of this opacity at the centre, three quarters of it at the corners; grey on one channel."""
    down, across = rows_and_columns(images)
    fall = 1 - 0.5 * ((down - 0.5) ** 2 + (across - 0.5) ** 2)
    return over(images, severity * fall, HAZE)


@corruption("uneven-light")
def uneven_light(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """A dark region with a soft border, σ a quarter of the side, its place drawn, that takes this share of the light at its centre."""
    top, left = (0.2 + 0.6 * torch.rand(2, generator=generator)).tolist()
    down, across = rows_and_columns(images)
    dark = torch.exp(-((down - top) ** 2 + (across - left) ** 2) / (2 * 0.25**2))
    return images * (1 - severity * dark)


@corruption("eyelashes")
def eyelashes(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """So many blurred dark lashes from below, their places drawn one after another."""
    layer, side = canvas(images), min(images.shape[-2:])
    for left, lean, length, bend in torch.rand(round(severity), 4, generator=generator).tolist():
        angle = -math.pi / 2 + 0.8 * (lean - 0.5)
        points = arc((left, 1.0), angle, 0.2 + 0.35 * length, bend - 0.5) * np.array(images.shape[-2:])[::-1]
        line(layer, points, side / 60)
    return painted(images, layer, LASH, 0.8)


@corruption("lens-reflection")
def lens_reflection(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """A light ring and a spot of this opacity, their places drawn."""
    (top, left, low, right), side = (0.15 + 0.7 * torch.rand(4, generator=generator)).tolist(), min(images.shape[-2:])
    ring = disc(images, (top, left), side / 6, side / 30) - disc(images, (top, left), side / 8, side / 30)
    spot = disc(images, (low, right), side / 14, side / 20)
    return over(images, severity * torch.maximum(ring, spot).clamp(0, 1), REFLECTION)
