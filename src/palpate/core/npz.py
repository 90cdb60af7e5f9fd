"""The arrays of an npz file, never a pickle, and never more memory than the file may claim."""

import contextlib
import math
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from palpate.core.errors import InputError

MOST_BYTES = 8 * 2**30
"""Of all arrays of a file together, unpacked: a small file may claim to hold any number."""


def read_arrays(path: Path, leave: Collection[str] = ()) -> dict[str, np.ndarray]:
    """Read an npz file into memory.

    Args:
        path: of the file.   leave: names of arrays to be left out.

    Raises:
        InputError: the file is absent or damaged, holds Python objects, or more than `MOST_BYTES`.
    """
    with _opened(path) as archive:
        wanted = [each for each in archive.infolist() if _name(each) not in leave]
        if (size := sum(each.file_size for each in wanted)) > MOST_BYTES:
            raise InputError(f"{path}: claims to hold {size:,} bytes, at most {MOST_BYTES:,} are read")
        return {_name(each): _array(archive, each) for each in wanted}


def array_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The names and shapes of the arrays in an npz file.

    Raises:
        InputError: the file is absent or damaged.
    """
    with _opened(path) as archive:
        return {_name(each): _header(archive, each) for each in archive.infolist()}


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive; whatever reading it raises is turned into one error."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: is missing; check the path") from None
    except Exception as error:  # of a damaged archive, zipfile, zlib and numpy raise anything
        raise InputError(f"{path}: damaged or no npz file ({error}); make, save or download it again") from None


def _name(member: zipfile.ZipInfo) -> str:
    return member.filename.removesuffix(".npy")


def _header(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> tuple[int, ...]:
    with archive.open(member) as stream:
        return read_header(cast(BinaryIO, stream))[0]


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as stream:
        shape, _, dtype = read_header(cast(BinaryIO, stream))
        if dtype.hasobject:
            raise ValueError(f"{member.filename} holds Python objects, which are not read")
        if stream.tell() + math.prod(shape) * dtype.itemsize != member.file_size:  # before its memory is taken
            raise ValueError(f"{member.filename} has another length than its header says")
    with archive.open(member) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def read_header(stream: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    """The shape, whether it is in Fortran order, and the type of the array that begins here in a stream.

    Raises:
        ValueError: it is no array.
    """
    old = np.lib.format.read_magic(stream) == (1, 0)
    return (np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0)(stream)
