"""What happens to an image file on its way: compression, resampling, fewer bits, and another setting of brightness, contrast, gamma or window.

The factors of brightness, contrast and gamma are torchvision's, which are those of Pillow and MedMNIST-C.
"""

import io
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from palpate.core.errors import InputError
from palpate.corruptions.corruption import Function, corruption
from palpate.corruptions.published import levels

MEDMNIST = "MedMNIST-C, arXiv 2406.17536"
WINDOW = "window centre, DICOM PS3.3 C.11.2.1.2"


@corruption(
    "jpeg",
    unit="steps of quality below 100",
    largest=99,
    identity=100,
    direction=-1,
    parameter="quality",
    step=1,
    eight_bit=True,
    source=f"ITU-T T.81; {MEDMNIST}",
    levels=levels("jpeg", 100, -1),
)
def jpeg(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """Compress as JPEG and decompress; severity 0 is no compression."""
    if not severity:
        return images

    def through(picture: np.ndarray) -> np.ndarray:
        file = io.BytesIO()
        Image.fromarray((picture * 255).round().astype(np.uint8)).save(file, "JPEG", quality=round(100 - severity))
        return np.array(Image.open(file)) / 255

    return each_picture(images, through)


@corruption(
    "jpeg2000",
    unit="ratio above 1",
    largest=255,
    identity=1,
    parameter="compression ratio",
    source="ISO/IEC 15444-1, as DICOM allows it (PS3.5, A.4.4)",
)
def jpeg2000(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """Compress as JPEG 2000 to a share of the raw size and decompress; 16 bits where the image has more than 256 grey levels."""
    if not severity:
        return images
    if not cv2.haveImageWriter(".jp2"):
        raise InputError(
            "jpeg2000: this OpenCV has no JPEG 2000 codec; install opencv-python-headless, or leave it out"
        )
    steps = 255 if _depth(images) == 8 else 65535
    rate = [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, max(round(1000 / (1 + severity)), 1)]

    def through(picture: np.ndarray) -> np.ndarray:
        file = (picture.astype(np.float64) * steps).round().astype(np.uint8 if steps == 255 else np.uint16)
        turned = file[..., ::-1] if file.ndim == 3 else file  # OpenCV's order of channels is blue, green, red
        written, data = cv2.imencode(".jp2", turned, rate)
        if not written:
            raise InputError(
                f"jpeg2000: its codec does not take images {picture.shape}; give larger ones, of one or three channels, or leave it out"
            )
        read = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
        assert read is not None
        read = read / steps
        return read[..., ::-1] if file.ndim == 3 else read

    return each_picture(images, through)


@corruption(
    "pixelate",
    unit="share of the side lost",
    largest=0.95,
    identity=1,
    direction=-1,
    parameter="side kept",
    source=MEDMNIST,
    levels=levels("pixelate", 1, -1),
)
def pixelate(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """Resample to a smaller side by averaging, and back by repeating."""
    if not severity:
        return images
    height, width = images.shape[-2:]
    small = max(int(width * (1 - severity)), 1), max(int(height * (1 - severity)), 1)

    planes = []
    for plane in images.flatten(0, 1).numpy():
        picture = Image.fromarray(plane.astype(np.float32)).resize(small, Image.Resampling.BOX)
        planes.append(np.array(picture.resize((width, height), Image.Resampling.BOX)))
    return torch.from_numpy(np.stack(planes)).view(images.shape).to(images.dtype).clamp(0, 1)


@corruption("bit-depth", unit="bits lost", largest=7, step=1, source="torchvision posterize, at any depth")
def bit_depth(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """Round to the grey levels of fewer bits than the file has: 8, or 16 where it has more than 256 grey levels."""
    if not severity:
        return images
    steps = 2 ** (_depth(images) - round(severity)) - 1
    return ((images.double() * steps).round() / steps).to(images)


def _both(name: str, up: float, down: float, **facts: Any) -> Callable[[Function], Function]:
    """Decorator for a function of a factor 1 ± severity, registered as NAME-up and NAME-down with these ends of their ranges."""

    def register(function: Function) -> Function:
        for way, largest, direction in (("up", up, 1), ("down", down, -1)):
            side = {"unit": "above 1" if direction > 0 else "below 1", "levels": levels(f"{name}-{way}", 1, direction)}
            same = {"identity": 1, "direction": direction, "signed": True, "source": MEDMNIST}
            corruption(f"{name}-{way}", largest=largest, **side, **same, **facts)(function)
        return function

    return register


@_both("gamma", 3, 0.9, parameter="gamma")
def gamma(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """xᵞ with γ = 1 + severity (`gamma-up`, darker) or 1 − severity (`gamma-down`, brighter)."""
    return F.adjust_gamma(images, 1 + severity) if severity else images


@_both("brightness", 2, 1, parameter="factor")
def brightness(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """(1 ± severity) · x, up to white."""
    return ((1 + severity) * images).clamp(0, 1) if severity else images


@_both("contrast", 3, 1, parameter="factor")
def contrast(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """m + (1 ± severity) · (x − m) with m the mean luminance, within [0, 1]; of other than three channels the mean of all."""
    grey = F.rgb_to_grayscale(images) if images.shape[1] == 3 else images
    mean = grey.mean((1, 2, 3), keepdim=True)
    return (mean + (1 + severity) * (images - mean)).clamp(0, 1) if severity else images


@corruption("window-up", unit="of the window", largest=0.8, signed=True, direction=-1, source=WINDOW)
@corruption("window-down", unit="of the window", largest=0.8, signed=True, source=WINDOW)
def window(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """The window's centre below its place: x + severity, up to white (`window-down`); or above it: x − severity, down to black (`window-up`)."""
    return (images + severity).clamp(0, 1)


def _depth(images: Tensor) -> int:
    """Bits of the file that holds these images: 8 where their values are grey levels of 255, else 16."""
    place = images.double() * 255
    return 8 if bool((place - place.round()).abs().max() < 1e-3) else 16


def each_picture(images: Tensor, function: Callable[[np.ndarray], np.ndarray]) -> Tensor:
    """A function of a picture (H, W) or (H, W, C) of floats, as OpenCV takes them, applied to each of the images (N, C, H, W)."""
    made = []
    for picture in images.permute(0, 2, 3, 1).contiguous().numpy():
        found = function(picture[:, :, 0] if picture.shape[2] == 1 else picture)
        made.append(torch.from_numpy(np.ascontiguousarray(found)).view(picture.shape))
    return torch.stack(made).permute(0, 3, 1, 2).to(images.dtype).clamp(0, 1).contiguous()
