"""One file, or one row of an npz, to one decoded uint8 image; what is truncated or no image says so.

OpenCV fills the rest of a truncated JPEG with grey and returns it as if whole, so the end of the file is checked here.
"""

import zipfile
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from palpate.errors import InputError


class Unreadable(Exception):
    """This one image cannot be used; the message says why in a few words."""


def source_file(path: str) -> str:
    """The file behind a manifest's path: itself, or the npz of "file.npz#split#index"."""
    return path.rsplit("#", 2)[0] if ".npz#" in path else path


def decode(path: str, grey: bool) -> np.ndarray:
    """Decode to uint8, (H, W) where `grey`, else (H, W, 3) in RGB order.

    Raises:
        Unreadable: empty, truncated, or not an image.
    """
    if ".npz#" in path:
        file, split, index = path.rsplit("#", 2)
        image = _npz_images(file, split)[int(index)]
        if grey:
            return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) if image.ndim == 2 else image
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise Unreadable(error.strerror or "cannot be opened") from None
    if not data:
        raise Unreadable("empty")
    if _is_truncated(data):
        raise Unreadable("truncated")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR_RGB)
    except cv2.error:
        image = None
    if image is None:
        raise Unreadable("not an image")
    return image


def _is_truncated(data: bytes) -> bool:
    if data.startswith(b"\xff\xd8"):
        # in compressed data every ff is followed by 00, so the last scan must be closed by an end marker behind it
        return data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda") or b"\xff\xda" not in data
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in data[-64:]
    return False


@lru_cache(maxsize=3)
def _npz_images(file: str, split: str) -> np.ndarray:
    try:
        with np.load(file) as arrays:
            images = np.asarray(arrays[f"{split}_images"])
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{file}: {split}_images cannot be read ({error}); download the file again") from None
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise InputError(
            f"{file}: {split}_images must be uint8 (N, H, W) or (N, H, W, 3), got {images.dtype} {images.shape}"
        )
    return images
