"""Memory that runs out: how it is told from other errors, on every device, and how unused memory is given back."""

import contextlib
import ctypes

import torch

M_MMAP_THRESHOLD = -3
"""What malloc.h calls the size from which arrays are mapped by themselves."""

LARGE = 2 * 2**20
"""Bytes from which torch asks for large pages."""


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on an accelerator or on the CPU (where torch raises a plain RuntimeError).

    >>> out_of_memory(torch.OutOfMemoryError()), out_of_memory(MemoryError()), out_of_memory(RuntimeError("mat1 and mat2"))
    (True, True, False)
    """
    words = (
        "DefaultCPUAllocator: not enough memory",
        "DefaultCPUAllocator: can't allocate memory",
        "MPS backend out of memory",
    )
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(each in str(error) for each in words)
    )


def free_memory() -> None:
    """Give cached memory of accelerators back, so that a smaller allocation may succeed."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def return_large_arrays() -> None:
    """Have the C library (glibc) give large arrays back to the system as soon as they are freed, from now on in this process.

    Otherwise it keeps them, and since arrays of many sizes leave gaps that later ones do not fit into, a process that works in blocks grows with
    each of them. Their pages are large ones (`palpate.__init__`), so that asking for them anew costs little.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another system or C library
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE)
