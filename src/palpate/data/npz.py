"""The images of an npz archive one after the other, because the larger ones fit no memory; and an array as the one form of an image."""

import math
import zipfile
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import numpy as np

from palpate.core.errors import InputError
from palpate.core.npz import read_header

MOST_VALUES = 3 * 89_478_485
"""Of one image: three channels of as many pixels as Pillow decodes."""

MANY = 16
"""No image has more channels."""


def npz_images(file: str, name: str) -> Iterator[np.ndarray]:
    """The images of one array of an npz in order, each (H, W) or (H, W, C), never all in memory.

    Raises:
        InputError: the file is damaged, or the array is not uint8, uint16 or float of shape (N, H, W), (N, H, W, C) or (N, C, H, W).
    """
    what = f"{file}: {name}"
    try:
        with zipfile.ZipFile(file) as archive, archive.open(f"{name}.npy") as stream:
            (count, *shape), fortran, dtype = read_header(cast(BinaryIO, stream))
            if fortran or dtype.kind not in "uf":
                order = "Fortran" if fortran else "C"
                raise InputError(f"{what} must be uint8, uint16 or float in C order; it is {dtype} in {order} order")
            size = math.prod(shape) * dtype.itemsize
            if not size:
                raise InputError(f"{what}: its images have no pixels, their shape is {tuple(shape)}")
            if (pixels := size // max(1, dtype.itemsize)) > MOST_VALUES:  # before their memory is taken
                raise InputError(f"{what}: an image of {pixels:,} values, at most {MOST_VALUES:,} are read")
            for _ in range(count):
                data = stream.read(size)
                if len(data) < size:
                    raise InputError(f"{what} is shorter than its header says; save or download the file again")
                yield plain_image(np.frombuffer(data, dtype).reshape(shape), what)
    except InputError:
        raise
    except Exception as error:  # of a damaged archive, zipfile, zlib and numpy raise anything
        raise InputError(f"{what} cannot be read ({error}); save or download the file again") from None


def to_numpy(value: Any) -> np.ndarray:
    """An array of a tensor on any device, a Pillow image or anything with `__array__`."""
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)


def plain_image(value: Any, what: str, layout: str | None = None) -> np.ndarray:
    """An array, tensor or Pillow image as uint8, uint16 or float32, C-contiguous, (H, W) or (H, W, C).

    Args:
        what: names the image in errors.
        layout: "CHW" or "HWC" where the user says so.

    Raises:
        InputError: no image, both readings of its shape are possible and none was stated, or another type.
    """
    image = to_numpy(value)
    if image.ndim != 2:
        first, last = (image.ndim == 3 and image.shape[place] in (1, 3) for place in (0, -1))
        if image.ndim == 3 and not (first or last):  # of other numbers of channels, which are far fewer than pixels
            first, last = (image.shape[place] <= MANY < image.shape[-1 - place] for place in (0, -1))
        if layout is not None:
            first, last = first and layout == "CHW", last and layout == "HWC"
        if first == last:
            forms = "images (H, W), (H, W, C) or (C, H, W) with few channels are needed"
            need = "state layout='CHW' or 'HWC' of such arrays to palpate.Dataset.from_arrays" if first else forms
            raise InputError(f"{what}: an image has shape {image.shape}; {need}")
        image = np.moveaxis(image, 0, -1) if first else image
    if image.dtype.kind == "f":
        return np.ascontiguousarray(image, np.float32)
    if image.dtype.kind == "u" and image.dtype.itemsize <= 2:
        return np.ascontiguousarray(image, image.dtype.newbyteorder("="))
    remedy = "make it uint8 or uint16 by what the values mean, or float with a value_range"
    raise InputError(f"{what}: holds {image.dtype}; {remedy}")
