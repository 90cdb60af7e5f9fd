"""Images that a file can hold: rounding to grey levels, and the round trip through a PNG that proves it.

An image of 8 bits has 256 levels, so a perturbation below 1/510 vanishes when it is saved, and one found in floating point may no longer
fool the model once it is a file.
"""

import cv2
import numpy as np
import torch
from torch import Tensor

from palpate.attacks.norms import per_image
from palpate.core.errors import InputError

ON_GRID = 1e-3
"""How far, in levels, a clean image may be from the grid and still count as on it: far above the rounding of k / 255 in float32 (2⁻¹⁶ levels)."""


def on_grid(images: Tensor, levels: int = 256) -> Tensor:
    """The grey levels 0 … levels − 1 of images that come from a file, in float64.

    Raises:
        InputError: they hold other values.
    """
    place = images.double() * (levels - 1)
    level = place.round()
    if not bool(((level >= 0) & (level < levels) & ((place - level).abs() <= ON_GRID)).all()):
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
        reach = per_image(reach, clean.double())
    wanted = (adversarial.double() * steps).round()
    level = torch.maximum(torch.minimum(wanted, start + reach), start - reach).clamp(0, steps)
    return (level / steps).to(clean.dtype)


def through_png(images: Tensor, levels: int = 256) -> Tensor:
    """Write images as PNG files and read them back, in memory: what another program will see.

    Args:
        images: (N, C, H, W), float in [0, 1]; of channels other than 1 and 3 each is written by itself.
        levels: written as 0 … levels − 1, in 8 bits up to 256 levels and in 16 bits above.

    Returns:
        The images read back, same shape and precision, on the CPU.

    >>> through_png(torch.full((1, 3, 4, 4), 0.5)).unique() * 255
    tensor([128.])
    """
    if images.ndim != 4:
        raise InputError(f"images must be (N, C, H, W), given {tuple(images.shape)}")
    if images.shape[1] not in (1, 3):
        return through_png(images.flatten(0, 1)[:, None], levels).view_as(images)
    steps = levels - 1
    pixels = (images.detach().cpu().double() * steps).round().clamp(0, steps)
    read = []
    for picture in pixels.permute(0, 2, 3, 1).contiguous().numpy():  # (H, W, C)
        written, file = cv2.imencode(".png", picture.astype(np.uint8 if levels <= 256 else np.uint16))
        back = cv2.imdecode(np.asarray(file), cv2.IMREAD_UNCHANGED)
        assert written
        read.append(torch.from_numpy(np.asarray(back, np.float64)).view(picture.shape))
    if not read:
        return images.detach().cpu().clone()
    return (torch.stack(read).permute(0, 3, 1, 2) / steps).to(images.dtype).contiguous()
