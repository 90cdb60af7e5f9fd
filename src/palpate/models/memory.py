"""Memory that runs out: how it is told from other errors, on every device, and how unused memory is given back."""

import contextlib
import ctypes
import re
from collections.abc import Iterator

import torch

M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1
"""What malloc.h calls the size from which arrays are mapped by themselves, and the unused memory at the end of the heap that is given back."""

LARGE, LARGEST = 2 * 2**20, 32 * 2**20
"""Bytes: from where torch asks for large pages, and the most up to which the C library keeps what was freed by itself."""


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on an accelerator or on the CPU (where torch raises a plain RuntimeError).

    >>> out_of_memory(torch.OutOfMemoryError()), out_of_memory(MemoryError()), out_of_memory(RuntimeError("mat1 and mat2"))
    (True, True, False)
    """
    words = r"DefaultCPUAllocator: (not enough|can't allocate) memory|MPS backend out of memory"
    told = isinstance(error, RuntimeError) and re.search(words, str(error)) is not None
    return told or isinstance(error, torch.OutOfMemoryError | MemoryError)


def free_memory() -> None:
    """Give cached memory of accelerators back, so that a smaller allocation may succeed."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def return_large_arrays() -> None:
    """Have the C library (glibc) give large arrays back to the system as soon as they are freed, from now on in this process.

    Otherwise it keeps them, and since arrays of many sizes leave gaps that later ones do not fit into, a process that works in blocks grows with
    each of them. Their pages are large ones (`palpate.__init__`), so that asking for them anew costs little.
    """
    _map_from(LARGE)


@contextlib.contextmanager
def keep_large_arrays() -> Iterator[None]:
    """Have it keep large arrays while a network is trained, where each batch asks for the same sizes again: new pages took a fifth of the time."""
    _map_from(LARGEST)
    try:
        yield
    finally:
        _map_from(LARGE)


def _map_from(size: int) -> None:
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another system or C library
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, size)
        library.mallopt(M_TRIM_THRESHOLD, 2 * size)  # as the library sets it itself
        library.malloc_trim(0)
