"""The images of an npz archive one after the other: the larger ones fit no memory."""

import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

import numpy as np

from palpate.core.errors import InputError


def npz_images(file: str, name: str) -> Iterator[np.ndarray]:
    """The images of one array of an npz in order, each (H, W) or (H, W, C), never all in memory.

    Raises:
        InputError: the file is damaged, or the array is not uint8, uint16 or float of shape (N, H, W), (N, H, W, C) or (N, C, H, W).
    """
    try:
        with zipfile.ZipFile(file) as archive, archive.open(f"{name}.npy") as stream:
            shape, dtype = _header(stream, f"{file}: {name}")
            first = channels_first(shape[1:], f"{file}: {name}")
            count = int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize
            for _ in range(shape[0]):
                data = stream.read(count)
                if len(data) < count:
                    raise InputError(f"{file}: {name} is shorter than its header says; save or download the file again")
                image = np.frombuffer(data, dtype).reshape(shape[1:])
                yield plain_type(np.moveaxis(image, 0, -1) if first else image, f"{file}: {name}")
    except (OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{file}: {name} cannot be read ({error}); save or download the file again") from None


def channels_first(shape: tuple[int, ...], what: str, layout: str | None = None) -> bool:
    """Whether an image of this shape has its channels before height and width.

    Args:
        layout: "CHW" or "HWC" where the user says so.

    Raises:
        InputError: no image of one or three channels, or both readings are possible and none was stated.
    """
    if len(shape) == 2:
        return False
    first, last = (len(shape) == 3 and shape[place] in (1, 3) for place in (0, -1))
    if layout is not None:
        first, last = first and layout == "CHW", last and layout == "HWC"
    if first == last:
        need = (
            "state layout='CHW' or 'HWC'"
            if first
            else "images (H, W), (H, W, C) or (C, H, W) with 1 or 3 channels are needed"
        )
        raise InputError(f"{what}: an image has shape {shape}; {need}")
    return first


def plain_type(image: np.ndarray, what: str) -> np.ndarray:
    """The image as uint8, uint16 or float32, C-contiguous.

    Raises:
        InputError: another type.
    """
    if image.dtype.kind == "f":
        return np.ascontiguousarray(image, np.float32)
    if image.dtype.kind == "u" and image.dtype.itemsize <= 2:
        return np.ascontiguousarray(image, image.dtype.newbyteorder("="))
    raise InputError(
        f"{what}: holds {image.dtype}; make it uint8 or uint16 by what the values mean, or float with a value_range"
    )


def _header(stream: IO[bytes], what: str) -> tuple[tuple[int, ...], np.dtype]:
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream)
    except ValueError as error:
        raise InputError(f"{what} is no array ({error}); save or download the file again") from None
    if fortran or len(shape) not in (3, 4) or dtype.kind not in "uf":
        order = ", in Fortran order" if fortran else ""
        raise InputError(
            f"{what} must be uint8, uint16 or float (N, H, W) or with channels, in C order; it is {dtype} {shape}{order}"
        )
    return shape, dtype
