"""One training in several processes, each with a GPU (or a core) and a share of every batch: distributed data parallel, through Lightning Fabric."""

import os
from collections.abc import Callable
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch.multiprocessing.spawn import ProcessRaisedException

from palpate.core.errors import InputError
from palpate.training.spec import TrainSpec


def several(device: torch.device, devices: int, spec: TrainSpec) -> Fabric:
    """A Fabric over several devices of one machine.

    Raises:
        InputError: a batch is too small to be shared.
    """
    if spec.batch_size < 2 * devices:
        raise InputError(f"batch_size must be at least 2 for each of {devices} devices, given {spec.batch_size}")
    strategy = DDPStrategy(start_method="spawn")  # a fork would share a GPU's state
    return Fabric(accelerator=device.type, devices=devices, strategy=strategy, precision=spec.precision or "32-true")


def check_devices(device: torch.device, devices: int) -> None:
    """Refuse to train on more devices than there are, or on none.

    Raises:
        InputError: there are fewer of the device's kind on this machine.
    """
    if devices < 1:
        raise InputError(f"devices must be at least 1, given {devices}")
    if devices == 1:
        return
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"devices must be 1 on {device.type}, given {devices}")
    here = torch.cuda.device_count() if device.type == "cuda" else os.cpu_count() or 1
    if devices > here:
        kind = "GPUs" if device.type == "cuda" else "processor cores"
        raise InputError(f"devices: {devices} were asked for, and this machine has {here} {kind}; give at most {here}")


def launch(fabric: Fabric, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in every process, with the Fabric first; gives the first process's answer.

    Raises:
        InputError: as raised by the function.
    """
    try:
        return fabric.launch(_Call(function, arguments))
    except ProcessRaisedException as error:
        *_, last = str(error).strip().splitlines()
        name, _, message = last.partition(": ")
        if name.endswith("InputError"):
            raise InputError(message) from None
        raise


class _Call:
    """A function and its arguments as one thing, into which Fabric does not look."""

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.function, self.arguments = function, arguments

    def __call__(self, fabric: Fabric) -> Any:
        return self.function(fabric, *self.arguments)


def gathered(mine: torch.Tensor) -> list[torch.Tensor]:
    """The tensors (on the CPU, of any lengths) of all processes, in their order."""
    parts: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, mine)
    return parts
