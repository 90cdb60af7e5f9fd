"""One file to one decoded uint8 image, or the images of an npz one after the other; what is truncated or no image says so.

OpenCV 4 fills the rest of a truncated JPEG with grey and returns it as if whole, so the end of the file is checked here.
An npz is streamed, because the larger MedMNIST files fit no memory.
"""

import hashlib
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import cv2
import numpy as np

from palpate.core.errors import InputError


class Unreadable(Exception):
    """This one image cannot be used; the message says why in a few words."""


def source_file(path: str) -> str:
    """The file behind a manifest's path: itself, or the npz of "file.npz#split#index".

    >>> source_file("/data/a.npz#train#7"), source_file("/data/b.jpg")
    ('/data/a.npz', '/data/b.jpg')
    """
    return path.rsplit("#", 2)[0] if ".npz#" in path else path


def pixel_hash(image: np.ndarray) -> str:
    """SHA-256 of a decoded image's shape and pixels: equal for identical pictures in different files."""
    return hashlib.sha256(f"{image.shape}".encode() + np.ascontiguousarray(image).tobytes()).hexdigest()


def decode(path: str, grey: bool) -> np.ndarray:
    """Decode a file to uint8, (H, W) where `grey`, else (H, W, 3) in RGB order.

    Raises:
        Unreadable: empty, truncated, or not an image.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise Unreadable(error.strerror or "cannot be opened") from None
    if not data:
        raise Unreadable("empty")
    if is_truncated(data):
        raise Unreadable("truncated")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR)
    except cv2.error:
        image = None
    if image is None:
        raise Unreadable("not an image")
    return image if grey else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def is_truncated(data: bytes) -> bool:
    """Whether the bytes of a JPEG or PNG stop before its end, or a PNG's checksums do not hold."""
    if data.startswith(b"\xff\xd8"):
        # in compressed data every ff is followed by 00, so the last scan must be closed by an end marker behind it
        scan = data.rfind(b"\xff\xda")
        return scan < 0 or data.rfind(b"\xff\xd9") < scan
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return not _png_is_whole(data)
    return False


def _png_is_whole(data: bytes) -> bool:
    position = 8
    while position + 12 <= len(data):
        (length,) = struct.unpack(">I", data[position : position + 4])
        kind = data[position + 4 : position + 8]
        end = position + 8 + length
        if data[end : end + 4] != struct.pack(">I", zlib.crc32(data[position + 4 : end])):
            return False
        if kind == b"IEND":
            return True
        position = end + 4
    return False


def npz_images(file: str, split: str, grey: bool) -> Iterator[np.ndarray]:
    """The images of `{split}_images` of a MedMNIST file in order, each as `decode` gives it, never all in memory.

    Raises:
        InputError: the file is damaged, or the array is not uint8 (N, H, W) or (N, H, W, 3).
    """
    name = f"{split}_images"
    try:
        with zipfile.ZipFile(file) as archive, archive.open(f"{name}.npy") as stream:
            shape = _npy_shape(stream, f"{file}: {name}")
            count = int(np.prod(shape[1:], dtype=np.int64))
            for _ in range(shape[0]):
                data = stream.read(count)
                if len(data) < count:
                    raise InputError(f"{file}: {name} is shorter than its header says; download the file again")
                yield _channels(np.frombuffer(data, np.uint8).reshape(shape[1:]), grey)
    except (OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{file}: {name} cannot be read ({error}); download the file again") from None


def _npy_shape(stream: IO[bytes], what: str) -> tuple[int, ...]:
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream)
    except ValueError as error:
        raise InputError(f"{what} is no array ({error}); download the file again") from None
    if dtype != np.uint8 or fortran or len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in (1, 3)):
        raise InputError(f"{what} must be uint8 (N, H, W) or (N, H, W, 3), got {dtype} {shape}")
    return shape


def _channels(image: np.ndarray, grey: bool) -> np.ndarray:
    image = image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image
    if grey:
        return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) if image.ndim == 2 else image
