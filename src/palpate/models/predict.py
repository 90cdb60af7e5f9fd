"""The logits of many images, batch by batch, in evaluation mode, and the devices and modes of models.

Training validates with it, and every adversarial image is predicted by it again from what is stored: no attack's own answer is used.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from palpate.core.errors import InputError
from palpate.models.memory import free_memory, out_of_memory

Progress = Callable[[int, int, str], None]
"""Told the work done, the work in all, and a few words; work is counted in images or passes."""


class Images(Protocol):
    """Images (N, C, H, W) in [0, 1]: a tensor, an array, or any sequence whose slices are such, so that a test set need not fit in memory."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: Any, /) -> Any: ...


@dataclasses.dataclass(frozen=True)
class Chosen:
    """The images of a sequence at these places (n,), read when they are asked for; of a range by slices, which every sequence has."""

    images: Images
    places: NDArray[np.intp] | range

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: slice) -> Any:
        chosen = self.places[index]
        return self.images[slice(chosen.start, chosen.stop) if isinstance(chosen, range) else chosen]


def as_tensor(values: Any) -> Tensor:
    """A tensor as it is, without its graph; anything with `__array__` as a tensor, without a copy where it can be written to.

    Raises:
        InputError: it is neither.
    """
    if isinstance(values, Tensor):
        return values.detach().clone() if values.is_inference() else values.detach()
    if not hasattr(values, "__array__"):
        fault = "images must be a tensor or an array (N, C, H, W), or a sequence whose slices are such"
        raise InputError(f"{fault}, given {type(values).__name__}")
    array = np.asarray(values)
    array = array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    return torch.from_numpy(array if array.flags.writeable and min(array.strides, default=0) >= 0 else array.copy())


def check_values(model: nn.Module) -> None:
    """Make sure that the model's parameters and buffers hold values.

    Raises:
        InputError: they do not, as those of lazy layers that were never called and of networks on the device "meta".
    """
    if any(is_lazy(tensor) or tensor.is_meta for tensor in (*model.parameters(), *model.buffers())):
        fault = "model has parameters without values, as lazy layers and networks on the meta device have"
        raise InputError(f"{fault}; call it on an image, or load its weights")


@contextlib.contextmanager
def one_message(what: str, remedy: str = "") -> Iterator[None]:
    """Whatever a stranger's network raises becomes one `InputError`: what failed, why, and the remedy; memory that runs out goes on to the caller."""
    try:
        yield
    except Exception as error:
        if isinstance(error, InputError | Warning) or out_of_memory(error):
            raise
        reason = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        raise InputError(f"{what}: {reason}{remedy}") from error


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Hold the model in evaluation mode with frozen parameters, and restore each module's mode and each parameter's flag."""
    # A frozen script has no mode.
    modes = {module: module.training for module in model.modules() if hasattr(module, "training")}
    flags = {parameter: parameter.requires_grad for parameter in model.parameters()}
    if modes:
        with contextlib.suppress(NotImplementedError):  # an exported program has the mode that it was exported in
            model.eval()
    for parameter in flags:  # one by one, since a scripted module has no requires_grad_
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        for parameter, flag in flags.items():
            parameter.requires_grad_(flag)


def in_training_mode(model: nn.Module) -> bool:
    """Whether a module that answers otherwise while training, dropout or batch norm, is in training mode."""
    kinds = (nn.modules.batchnorm._NormBase, nn.modules.dropout._DropoutNd)
    return any(module.training for module in model.modules() if isinstance(module, kinds))


def device_of(model: nn.Module) -> torch.device:
    """Where the model's parameters (or buffers) live; the CPU when it has none."""
    return next((tensor.device for tensor in (*model.parameters(), *model.buffers())), torch.device("cpu"))


def choose_device(name: str = "auto") -> torch.device:
    """Turn "auto", "cpu", "cuda", "cuda:1" or "mps" into a device that is really there.

    Raises:
        InputError: the name is unknown, or this machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f'device must be "auto", "cpu", "cuda", "cuda:N" or "mps", given {name!r}') from None
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not here.get(device.type, False) or (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()):
        raise InputError(f"device {name!r} is not on this machine; use --device cpu, or auto to take what is there")
    return device


def predict_logits(model: nn.Module, images: Images, batch_size: int = 128) -> Tensor:
    """Compute the model's outputs for images in [0, 1].

    Args:
        model: from images (N, C, H, W) to logits (N, K).
        images: float images in [0, 1], decoded batch by batch when they are not a tensor.
        batch_size: images per forward pass; it halves when memory runs out.

    Returns:
        Logits (N, K) on the CPU, in the model's precision.
    """
    device = device_of(model)
    parts: list[Tensor] = []
    with evaluating(model), torch.no_grad():
        start = 0
        while start < len(images):
            try:
                batch = as_tensor(images[start : start + batch_size]).to(device)
                with one_message(f"model failed on images {tuple(batch.shape)}"):
                    parts.append(model(batch).cpu())
                start = min(start + batch_size, len(images))
                continue
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error) or batch_size == 1:
                    raise
            batch_size //= 2
            free_memory()
    return torch.cat(parts)
