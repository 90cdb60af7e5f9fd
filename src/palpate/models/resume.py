"""Where long work keeps its state between its parts, so that it goes on from there when it was stopped."""

from typing import Any, Protocol

import torch
from torch import Tensor


class Resume(Protocol):
    """Keeps one state; a training saves it after an epoch, checks after a check. What goes on from it ends as if there had been no break."""

    def load(self) -> dict[str, Any] | None:
        """The last state that was saved, or None."""
        ...

    def due(self) -> bool:
        """Whether a state is wanted now; work is long against what saving costs."""
        ...

    def save(self, done: int, state: dict[str, Any]) -> None:
        """Keep the state after so many parts: tensors, numbers, text, and lists, tuples and dicts of these."""
        ...


def to_device(value: Any, device: torch.device) -> Any:
    """Numbers and tensors, and tuples, lists and dicts of them, with the tensors on a device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {name: to_device(each, device) for name, each in value.items()}
    return type(value)(to_device(each, device) for each in value) if isinstance(value, list | tuple) else value
