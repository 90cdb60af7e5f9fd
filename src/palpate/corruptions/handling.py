"""What happens to an image file on its way: compression, resampling, fewer bits, and another setting of brightness, contrast, gamma or window.

The factors of brightness, contrast and gamma are torchvision's, which are those of Pillow and MedMNIST-C.
"""

import io
from collections.abc import Callable

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from palpate.core.errors import InputError
from palpate.corruptions.corruption import corruption


@corruption("jpeg")
def jpeg(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """Compress as JPEG and decompress; severity 0 is no compression."""
    if not severity:
        return images

    def through(picture: np.ndarray) -> np.ndarray:
        file = io.BytesIO()
        Image.fromarray((picture * 255).round().astype(np.uint8)).save(file, "JPEG", quality=round(100 - severity))
        return np.array(Image.open(file)) / 255

    return each_picture(images, through)


@corruption("jpeg2000")
def jpeg2000(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """Compress as JPEG 2000 to a share of the raw size and decompress; 16 bits where the image has more than 256 grey levels."""
    if not severity:
        return images
    if not cv2.haveImageWriter(".jp2"):
        remedy = "install opencv-python-headless, or leave it out"
        raise InputError(f"jpeg2000: this OpenCV has no JPEG 2000 codec; {remedy}")
    steps = 255 if _depth(images) == 8 else 65535
    rate = [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, max(round(1000 / (1 + severity)), 1)]

    def through(picture: np.ndarray) -> np.ndarray:
        file = (picture.astype(np.float64) * steps).round().astype(np.uint8 if steps == 255 else np.uint16)
        turned = file[..., ::-1] if file.ndim == 3 else file  # OpenCV's order of channels is blue, green, red
        written, data = cv2.imencode(".jp2", turned, rate)
        if not written:
            remedy = "give larger ones, of one or three channels, or leave it out"
            raise InputError(f"jpeg2000: its codec does not take images {picture.shape}; {remedy}")
        read = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
        assert read is not None
        read = read / steps
        return read[..., ::-1] if file.ndim == 3 else read

    return each_picture(images, through)


@corruption("pixelate")
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


@corruption("bit-depth")
def bit_depth(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """Round to the grey levels of fewer bits than the file has: 8, or 16 where it has more than 256 grey levels."""
    if not severity:
        return images
    steps = 2 ** (_depth(images) - round(severity)) - 1
    return ((images.double() * steps).round() / steps).to(images)


@corruption("gamma-down")
@corruption("gamma-up")
def gamma(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """xᵞ with γ = 1 + severity (`gamma-up`, darker) or 1 − severity (`gamma-down`, brighter)."""
    return F.adjust_gamma(images, 1 + severity) if severity else images


@corruption("brightness-down")
@corruption("brightness-up")
def brightness(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """(1 ± severity) · x, up to white."""
    return ((1 + severity) * images).clamp(0, 1) if severity else images


@corruption("contrast-down")
@corruption("contrast-up")
def contrast(images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    """m + (1 ± severity) · (x − m) with m the mean luminance, within [0, 1]; of other than three channels the mean of all."""
    grey = F.rgb_to_grayscale(images) if images.shape[1] == 3 else images
    mean = grey.mean((1, 2, 3), keepdim=True)
    return (mean + (1 + severity) * (images - mean)).clamp(0, 1) if severity else images


@corruption("window-up")
@corruption("window-down")
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
