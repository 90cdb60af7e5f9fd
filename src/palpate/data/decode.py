"""One file to one decoded image as it is: 8 or 16 bits, one channel or three; what is truncated or no image says so.

OpenCV 4 fills the rest of a truncated JPEG with grey and returns it as if whole, so the end of the file is checked here. What is decided for the
user (a photograph is turned by its EXIF tag, transparency is dropped) is a remark.
"""

import hashlib
import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from palpate.core.errors import InputError

TURNED = "were turned as their EXIF tag says"
NO_ALPHA = "lost their transparency"
CMYK = "were converted from CMYK to RGB"
MADE_GREY = "in colour were made grey"
SMALLER = "save it smaller, or raise PIL.Image.MAX_IMAGE_PIXELS"
_GREY_MODES = ("1", "L", "LA", "F", "I;16", "I;16B", "I;16L", "I;16N", "I")
_ORIENTATION = 274  # the EXIF tag


class Unreadable(Exception):
    """This one image cannot be used; the message says why in a few words."""


def pixel_hash(image: np.ndarray) -> str:
    """SHA-256 of a decoded image's shape and pixels: equal for identical pictures in different files."""
    return hashlib.sha256(f"{image.shape}".encode() + np.ascontiguousarray(image).tobytes()).hexdigest()


def decode(path: str, grey: bool = False, remarks: set[str] | None = None) -> np.ndarray:
    """Decode a file.

    Args:
        grey: convert colour to one channel.
        remarks: what was decided about the image is added to it.

    Returns:
        uint8 or uint16 as in the file, (H, W), or (H, W, 3) in RGB order.

    Raises:
        Unreadable: empty, truncated, or not an image.
        InputError: more pixels than Pillow allows, several pages, or pixels that are no whole numbers.
    """
    remarks = set() if remarks is None else remarks
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise Unreadable(error.strerror or "cannot be opened") from None
    if not data:
        raise Unreadable("empty")
    # in a JPEG's compressed data every ff is followed by 00, so the last scan must be closed by an end marker behind it
    if data.startswith(b"\xff\xd8") and not 0 <= data.rfind(b"\xff\xda") <= data.rfind(b"\xff\xd9"):
        raise Unreadable("truncated")
    mode, orientation = _examine(data, path)
    remarks |= {text for text, holds in ((NO_ALPHA, "A" in mode), (CMYK, mode == "CMYK")) if holds}
    flags = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        flags |= cv2.IMREAD_GRAYSCALE if grey or mode in _GREY_MODES else cv2.IMREAD_COLOR
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        raise Unreadable("not an image")
    if image.dtype not in (np.uint8, np.uint16):
        remedy = "give such images as arrays with a value_range"
        raise InputError(f"{path}: holds {image.dtype} pixels, and 8 or 16 bits are read; {remedy}")
    if grey and mode not in _GREY_MODES:
        remarks.add(MADE_GREY)
    if orientation > 1:
        remarks.add(TURNED)
        tiff = data.startswith((b"II*\0", b"MM\0*"))  # OpenCV turns it whatever it is told
        image = image if tiff else upright(image, orientation)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if image.ndim == 3 else image


def upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """Turn and mirror an image as an EXIF orientation from 1 to 8 says."""
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    image = image[::-1] if orientation in (3, 4, 7, 8) else image
    return np.ascontiguousarray(image[:, ::-1] if orientation in (2, 3, 6, 7) else image)


def as_channels(image: np.ndarray, channels: int, remarks: set[str]) -> np.ndarray:
    """An image (H, W) or (H, W, C) with 1 channel, as (H, W), or with 3; of any other number only with its own.

    Raises:
        InputError: it has another number, and cannot be brought to the one asked for.
    """
    image = image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image
    own = 1 if image.ndim == 2 else image.shape[2]
    if own != channels and (own not in (1, 3) or channels not in (1, 3)):
        raise InputError(f"channels: an image has {own}, which cannot become {channels}; give channels = {own}")
    if channels == 1 and image.ndim == 3:
        remarks.add(MADE_GREY)
        return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) if channels == 3 and image.ndim == 2 else image


def check_pixels(width: int, height: int, path: str) -> None:
    """Raise InputError where an image has more pixels than Pillow allows: a small file may fill the memory."""
    if Image.MAX_IMAGE_PIXELS and width * height > Image.MAX_IMAGE_PIXELS:
        pixels = f"{width} × {height} pixels are more than {Image.MAX_IMAGE_PIXELS:,}"
        raise InputError(f"{path}: {pixels}; {SMALLER}")


def _examine(data: bytes, path: str) -> tuple[str, int]:
    """Pillow's mode and the EXIF orientation, from the header; "" and 1 where Pillow does not know the file."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            check_pixels(*image.size, path)
            pages = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)  # MPO: a photograph and its preview
            known = image.getexif() if "exif" in image.info or image.format == "TIFF" else {}
            mode, orientation = image.mode, known.get(_ORIENTATION, 1)
            image.verify()  # the checksums of a PNG
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError(f"{path}: has more pixels than Pillow allows; {SMALLER}") from None
    except InputError:
        raise
    except Exception:  # of a damaged header Pillow raises anything; OpenCV decides
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            raise Unreadable("truncated") from None
        return "", 1
    if pages > 1:
        raise InputError(f"{path}: holds {pages} pages, and one image per file is read; save each as a file of its own")
    return mode, orientation if orientation in range(1, 9) else 1
