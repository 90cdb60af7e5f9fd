"""What dermatoscopic pictures of skin carry besides the lesion: uneven light, a colour cast, hair, ruler marks, ink, bubbles, black corners.

On images of one channel ink and hair are grey, as dark as their colour.
"""

import math

import cv2
import numpy as np
import torch
from torch import Tensor

from palpate.corruptions.corruption import corruption
from palpate.corruptions.general import disc, rows_and_columns

HAIR, INK, RULER, BUBBLE = (0.14, 0.09, 0.06), (0.25, 0.15, 0.45), (0.1, 0.1, 0.1), (1.0, 1.0, 1.0)
"""Colours, red, green and blue: of dark hair, of a surgical marker, of a printed ruler, of light on a bubble."""

FINE = 3
"""Binary places of the coordinates at which OpenCV draws: an eighth of a pixel."""


@corruption("light-gradient")
def light_gradient(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """x (1 − severity · t), t from 0 to 1 across the picture in a direction drawn."""
    angle = 2 * math.pi * float(torch.rand((), generator=generator))
    down, across = rows_and_columns(images)
    along = (down - 0.5) * math.sin(angle) + (across - 0.5) * math.cos(angle)
    reach = (abs(math.sin(angle)) + abs(math.cos(angle))) / 2
    return images * (1 - severity * (along / (2 * reach) + 0.5).clamp(0, 1))


@corruption("colour-cool")
@corruption("colour-warm")
def colour_cast(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """Red times 1 ± severity and blue times 1 ∓ severity: as under a lower (`colour-warm`) or a higher colour temperature (`colour-cool`)."""
    gains = torch.tensor([1 + severity, 1.0, 1 - severity], dtype=images.dtype).view(3, 1, 1)
    return (images * gains).clamp(0, 1)


@corruption("hair")
def hair(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """So many dark hairs, bent arcs from one border region to another, their places drawn one after another."""
    side = min(images.shape[-2:])
    drawn = torch.rand(round(severity), 6, generator=generator).tolist()
    layer = canvas(images)
    for top, left, angle, length, bend, width in drawn:
        points = arc((left, top), 2 * math.pi * angle, 0.3 + 0.6 * length, bend - 0.5) * images.shape[-1]
        line(layer, points, (0.6 + 0.8 * width) * side / 150)
    return painted(images, layer, HAIR)


@corruption("ruler-marks")
def ruler_marks(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """Dark marks from the lower border up, 20 over the width, every fifth twice as long as the others; the length is that of the long ones."""
    height, width = images.shape[-2:]
    layer = canvas(images)
    for mark in range(20) if severity else ():
        x, length = (mark + 0.5) * width / 20, severity * (1 if mark % 5 == 2 else 0.5)
        line(layer, np.array([[x, height], [x, height - length]]), height / 150)
    return painted(images, layer, RULER)


@corruption("pen-ink")
def pen_ink(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """A violet arc of this width beside the middle of the picture, its side drawn; on one channel it is dark grey."""
    angle, bend = torch.rand(2, generator=generator).tolist()
    return ink_at(images, severity, 2 * math.pi * angle, bend)


def ink_at(images: Tensor, width: float, angle: float, bend: float = 0.5) -> Tensor:
    """The stroke of `pen_ink` at an angle in radians, its bend from 0 to 1."""
    centre = 0.5 + 0.33 * np.array([math.cos(angle), math.sin(angle)])
    start = centre - 0.3 * np.array([-math.sin(angle), math.cos(angle)])
    layer = canvas(images)
    if width:
        line(layer, arc((start[0], start[1]), angle + math.pi / 2, 0.6, 0.4 * bend) * images.shape[-1], width)
    return painted(images, layer, INK, 0.85)


@corruption("gel-bubbles")
def gel_bubbles(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """So many light discs with a lighter border, radius 3 to 17 of 224 pixels, their places drawn one after another."""
    layer, scale = torch.zeros(images.shape[-2:], dtype=images.dtype), min(images.shape[-2:]) / 224
    for top, left, size in torch.rand(round(severity), 3, generator=generator).tolist():
        radius = (3 + 14 * size) * scale
        inner, outer = (disc(images, (top, left), radius + border, 1) for border in (0.0, 2 * scale))
        layer = torch.maximum(layer, torch.maximum(100 / 255 * inner, 130 / 255 * (outer - inner)))
    return over(images, layer, BUBBLE)


@corruption("black-corners")
def black_corners(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """Black outside a circle round the centre of radius √2 − severity half sides; its border is one pixel wide."""
    radius = (2**0.5 - severity) * min(images.shape[-2:]) / 2
    return images * disc(images, (0.5, 0.5), radius + 0.5, 1) if severity else images


def canvas(images: Tensor) -> np.ndarray:
    return np.zeros(images.shape[-2:], np.uint8)


def arc(start: tuple[float, float], angle: float, length: float, bend: float) -> np.ndarray:
    """Points (P, 2) of an arc, across and down in sides of the picture: a start, a direction, a length and a bend in radians per length."""
    turn = angle + 2 * bend * np.linspace(-0.5, 0.5, 24)
    steps = length / 24 * np.stack([np.cos(turn), np.sin(turn)], 1)
    return np.array(start) + np.cumsum(steps, 0)


def line(layer: np.ndarray, points: np.ndarray, width: float) -> None:
    """Draw a line of any width on the layer, 255 where it is; one thinner than a pixel is fainter."""
    mark = np.zeros_like(layer)
    places = [np.round(points * 2**FINE).astype(np.int32)]
    whole = max(math.ceil(width), 1)
    cv2.polylines(mark, places, False, 255, whole, cv2.LINE_AA, FINE)
    if width < whole:  # between two widths
        thin = np.zeros_like(layer)
        if whole > 1:
            cv2.polylines(thin, places, False, 255, whole - 1, cv2.LINE_AA, FINE)
        share = width - (whole - 1)
        mark = np.round(share * mark + (1 - share) * thin.astype(np.float64)).astype(np.uint8)
    np.maximum(layer, mark, out=layer)


def painted(images: Tensor, layer: np.ndarray, colour: tuple[float, float, float], strength: float = 1.0) -> Tensor:
    """Images under what was drawn on a layer (H, W), 255 where it is opaque, in one colour and at this share of its opacity."""
    return over(images, strength / 255 * torch.from_numpy(layer).to(images.dtype), colour)


def over(images: Tensor, opacity: Tensor, colour: tuple[float, float, float]) -> Tensor:
    """Images (N, C, H, W) under a layer of one colour with this opacity (H, W) in [0, 1]; fewer or more than three channels get its luminance."""
    red, green, blue = colour
    channels = colour if images.shape[1] == 3 else (0.299 * red + 0.587 * green + 0.114 * blue,)
    paint = torch.tensor(channels, dtype=images.dtype).view(-1, 1, 1)
    return images + opacity * (paint - images)
