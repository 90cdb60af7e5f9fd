"""Optics, motion and position: blur by defocus, by movement and by a Gaussian, and a picture that is turned, shifted, scaled or cropped.

What lies outside the picture is its mirror image, so that no black corner gives a turn away.
"""

import math

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample
from torchvision.transforms.v2 import functional as F

from palpate.corruptions.corruption import corruption
from palpate.corruptions.handling import each_picture

SUBPIXELS = 5
"""Samples per pixel and direction from which the kernels of defocus and motion are averaged, so that they change continuously."""


@corruption("defocus")
def defocus(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """The mean over a disc of this radius."""
    reach = math.ceil(severity)
    fine = (np.arange((2 * reach + 1) * SUBPIXELS) + 0.5) / SUBPIXELS - reach - 0.5
    inside = (fine[:, None] ** 2 + fine**2 <= severity**2).astype(np.float64)
    return _filtered(images, inside) if severity else images


@corruption("motion-blur")
def motion_blur(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """A trail with weights exp(−t² / 2σ²) for t from 0 to 3σ in a direction drawn from −45 to 45 degrees."""
    angle = math.radians(float(torch.rand((), generator=generator)) * 90 - 45)
    reach = math.ceil(3 * severity)
    side = (2 * reach + 1) * SUBPIXELS
    along = np.arange(0, 3 * severity, 0.5 / SUBPIXELS)
    places = [((reach + 0.5 + along * trig) * SUBPIXELS).astype(int) for trig in (math.sin(angle), math.cos(angle))]
    trail = np.zeros((side, side))
    np.add.at(trail, tuple(places), np.exp(-(along**2) / (2 * severity**2)) if severity else along)
    return _filtered(images, trail) if severity else images


@corruption("gaussian-blur")
def gaussian_blur(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """A Gaussian of this σ, cut at 3σ."""
    return blurred(images, severity) if severity else images


@corruption("rotation-clockwise")
@corruption("rotation")
def rotation(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """A turn round the centre, counter-clockwise (`rotation`) or clockwise (`rotation-clockwise`)."""
    return placed(images, angle=severity)


@corruption("translation")
def translation(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """A shift by this length in a direction drawn."""
    angle = 2 * math.pi * float(torch.rand((), generator=generator))
    return placed(images, shift=(severity * math.cos(angle), severity * math.sin(angle)))


@corruption("zoom-out")
@corruption("zoom-in")
def zoom(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """Enlarged from the centre, what is cut off being lost (`zoom-in`), or made smaller (`zoom-out`), as from another distance."""
    return placed(images, scale=1 + severity)


@corruption("crop")
def crop(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """A part of the picture, its place drawn, enlarged to the whole."""
    height, width = images.shape[-2:]
    tall, wide = round(height * (1 - severity)), round(width * (1 - severity))
    if (tall, wide) == (height, width):
        return images
    down, across = torch.rand(2, generator=generator).tolist()
    top, left = round(down * (height - tall)), round(across * (width - wide))
    return F.resized_crop(images, top, left, tall, wide, [height, width], antialias=True).clamp(0, 1)


def placed(images: Tensor, angle: float = 0.0, shift: tuple[float, float] = (0.0, 0.0), scale: float = 1.0) -> Tensor:
    """Images (N, C, H, W) turned counter-clockwise by degrees, scaled and shifted right and down by pixels, bilinear, mirrored at the border."""
    if angle == 0 and shift == (0.0, 0.0) and scale == 1:
        return images
    height, width = images.shape[-2:]
    # To the centre of the last pixel, which the grid calls 1.
    tall, wide = max(height - 1, 1) / 2, max(width - 1, 1) / 2
    (right, down), turn = shift, math.radians(angle)
    cos, sin = math.cos(turn) / scale, math.sin(turn) / scale
    # From a place to the point of the image that is seen there.
    across = [cos, -sin * tall / wide, -(cos * right - sin * down) / wide]
    along = [sin * wide / tall, cos, -(sin * right + cos * down) / tall]
    rows = torch.tensor([across, along], dtype=images.dtype).expand(len(images), -1, -1)
    grid = affine_grid(rows, list(images.shape), align_corners=True)
    return grid_sample(images, grid, padding_mode="reflection", align_corners=True).clamp(0, 1)


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Images (N, C, H, W) under a Gaussian of σ pixels, cut at 3σ, mirrored at the border."""
    size = 2 * math.ceil(3 * sigma) + 1
    return each_picture(images, lambda picture: cv2.GaussianBlur(picture, (size, size), sigma))


def _filtered(images: Tensor, fine: np.ndarray) -> Tensor:
    """Images under a kernel, given as SUBPIXELS² samples per pixel, of sum 1."""
    side = len(fine) // SUBPIXELS
    kernel = fine.reshape(side, SUBPIXELS, side, SUBPIXELS).sum((1, 3))
    return each_picture(images, lambda picture: cv2.filter2D(picture, -1, kernel / kernel.sum()))
