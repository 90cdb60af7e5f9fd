"""Where long work keeps its state between its parts, so that it goes on from there when it was stopped."""

from collections.abc import Callable
from typing import Any, Protocol

import torch


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


def mapped(value: Any, function: Callable[[Any], Any]) -> Any:
    """A value, or tuples, lists and dicts of values, with what the function makes of each."""
    if isinstance(value, dict):
        return {name: mapped(each, function) for name, each in value.items()}
    return type(value)(mapped(each, function) for each in value) if isinstance(value, list | tuple) else function(value)


def to_device(value: Any, device: torch.device) -> Any:
    """Numbers and tensors, and tuples, lists and dicts of them, with the tensors on a device."""
    return mapped(value, lambda each: each.to(device) if isinstance(each, torch.Tensor) else each)
