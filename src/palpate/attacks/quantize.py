"""Images that a file can hold: attacks held to the grid of grey levels, and the round trip through a PNG that proves it.

An image of 8 bits has 256 levels, so a perturbation below 1/510 vanishes when it is saved, and one found in floating point may no longer
fool anyone once it is a file. On the grid a radius is a whole number of levels, the smallest that holds what was found in floating point, or
the next above it where no image of the grid fools inside that one.
"""

import cv2
import numpy as np
import torch
from torch import Tensor

from palpate.attacks.access import Oracle
from palpate.attacks.best import Found
from palpate.attacks.losses import margin
from palpate.attacks.norms import per_image
from palpate.core.errors import InputError

STEPS = (1.0, 0.5, 0.25, 0.5, 0.25)
"""Steps in a ball of grey levels where the scaled perturbation does not fool, as shares of the radius, never less than a level."""

ON_GRID = 1e-3
"""How far, in levels, a clean image may be from the grid and still count as on it."""


def on_grid(images: Tensor, levels: int = 256) -> Tensor:
    """The grey levels 0 … levels − 1 of images that come from a file, in float64.

    Raises:
        InputError: they hold other values.
    """
    place = images.double() * (levels - 1)
    level = place.round()
    if images.numel() and (
        not bool(((level >= 0) & (level < levels)).all()) or (place - level).abs().max().item() > ON_GRID
    ):
        raise InputError(
            f"images must hold values k / {levels - 1}, as a file of {levels} levels does; round them before the attack"
        )
    return level


def to_levels(adversarial: Tensor, clean: Tensor, epsilon: float | Tensor, levels: int = 256) -> Tensor:
    """The nearest images to `adversarial` that a file with `levels` grey levels can hold, within the ball around `clean` and [0, 1].

    Pixel by pixel, k = round(x · (levels − 1)), held to at most ⌊ε · (levels − 1)⌋ levels from the clean one. An ε of less than one level leaves
    the clean image, because no file can hold anything else inside that ball.

    Args:
        adversarial: images (N, …) in any range, e.g. an attack's iterate.
        clean: the originals (N, …) in [0, 1], on the grid, as images decoded from a file are.
        epsilon: l∞ radius in [0, 1], one for all or one per image (N,).
        levels: grey levels of the file, at least 2; 65536 for 16 bits.

    Returns:
        Images of `clean`'s shape and precision, each pixel k / (levels − 1); ‖result − clean‖∞ ≤ ε up to the rounding of k / (levels − 1).

    Raises:
        InputError: `clean` is not on the grid, or an argument is out of range.

    >>> clean = torch.tensor([[100.0, 0.0, 255.0]]) / 255
    >>> (to_levels(clean + torch.tensor([[0.02, -0.5, 0.001]]), clean, 3 / 255) * 255).round()
    tensor([[103.,   0., 255.]])
    """
    if levels < 2:
        raise InputError(f"levels must be at least 2, given {levels}; an 8-bit file has 256")
    radius = torch.as_tensor(epsilon, dtype=torch.float64, device=clean.device)
    if not bool(((radius >= 0) & (radius <= 1)).all()):
        raise InputError(f"epsilon must lie in [0, 1], given {epsilon}; write grey levels as k / {levels - 1}")
    steps = levels - 1
    start = on_grid(clean, levels)
    # 2/255 · 255 may be 1.9999…: a millionth of a level is rounding, not a smaller ball.
    reach = (radius * steps + 1e-6).floor()
    if reach.ndim:
        reach = reach.view(-1, *[1] * (clean.ndim - 1))
    wanted = (adversarial.double() * steps).round()
    level = torch.maximum(torch.minimum(wanted, start + reach), start - reach).clamp(0, steps)
    return (level / steps).to(clean.dtype)


def onto_levels(oracle: Oracle, label: Tensor, found: Found, top: float, levels: int) -> None:
    """Replace what was found in floating point by images that a file with `levels` grey levels can hold.

    First the perturbation is stretched to fill the smallest ball of whole levels around it and rounded: one forward pass, and mostly enough. Where
    that does not fool, steps along the gradient's sign follow, rounded each time, and then the ball of one level more. An
    image that no ball up to `top` yields is not fooled: its radius is infinite.

    Args:
        oracle: the model, whose passes are counted.
        label: (N,) of the chunk.
        found: its images and radii are replaced.
        top: the largest epsilon; smaller than one level, it holds the clean image alone.
        levels: grey levels of the file.

    Raises:
        InputError: a clean image is not on the grid.
    """
    steps = levels - 1
    most = int(top * steps + 1e-6)
    rows = (found.limit.isfinite() & (found.limit > 0) & ~found.failed).nonzero()[:, 0]
    count = (found.limit[rows] * steps - 1e-6).ceil().clamp(min=1)  # levels of the ball, one per row
    direction = (found.points[rows] - found.clean[rows]) * per_image(1 / found.limit[rows], found.clean)
    found.limit[rows], found.points[rows] = float("inf"), found.clean[rows]
    while len(rows):
        inside = count <= most
        rows, count, direction = rows[inside], count[inside], direction[inside]
        radius = count / steps
        clean, truth = found.clean[rows], label[rows]
        point = to_levels(clean + direction * per_image(radius, clean), clean, radius, levels)
        fooled = _try(oracle, found, rows, point, radius, truth)
        for share in STEPS:
            (left,) = (~fooled).nonzero(as_tuple=True)
            if not len(left):
                break
            _, _, gradient = oracle.gradient(point[left], rows[left], margin, truth[left])
            size = (share * count[left]).round().clamp(min=1) / steps
            moved = point[left] + gradient.sign() * per_image(size, point)
            point[left] = to_levels(moved, clean[left], radius[left], levels)
            fooled[left] = _try(oracle, found, rows[left], point[left], radius[left], truth[left])
        rows, count, direction = rows[~fooled], count[~fooled] + 1, direction[~fooled]
        found.tell("grey levels")


def _try(oracle: Oracle, found: Found, rows: Tensor, point: Tensor, radius: Tensor, label: Tensor) -> Tensor:
    if not len(rows):
        return rows > 0
    fooled = oracle.sure(oracle.logits(point, rows), label) > 0
    found.offer(rows, point, radius, fooled)
    return fooled


def through_png(images: Tensor) -> Tensor:
    """Write images as 8-bit PNG files and read them back, in memory: what another program will see.

    Args:
        images: (N, 3, H, W) or (N, 1, H, W), float in [0, 1].

    Returns:
        The images read back, same shape and precision, on the CPU.

    >>> through_png(torch.full((1, 3, 4, 4), 0.5)).unique() * 255
    tensor([128.])
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise InputError(f"images must be (N, 3, H, W) or (N, 1, H, W), given {tuple(images.shape)}")
    pixels = (images.detach().cpu().double() * 255).round().clamp(0, 255).to(torch.uint8)
    read = []
    for picture in pixels.permute(0, 2, 3, 1).contiguous().numpy():  # (H, W, C)
        written, file = cv2.imencode(".png", picture)
        back = cv2.imdecode(np.asarray(file), cv2.IMREAD_UNCHANGED)
        assert written
        read.append(torch.from_numpy(back).view(picture.shape))
    if not read:
        return images.detach().cpu().clone()
    return (torch.stack(read).permute(0, 3, 1, 2).to(torch.float64) / 255).to(images.dtype).contiguous()
