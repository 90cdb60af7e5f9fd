"""Memory that runs out: how it is told from other errors, on every device, and how unused memory is given back."""

import contextlib
import ctypes

import torch


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


def trim_memory() -> None:
    """Give freed memory of the C library back to the system, where it can be asked to (glibc).

    Arrays of many sizes leave gaps that later ones do not fit into, so that a process which works in blocks would grow with each of them.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another system or C library
        ctypes.CDLL(None).malloc_trim(0)
