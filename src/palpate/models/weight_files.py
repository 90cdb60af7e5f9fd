"""Weights in other people's files: safetensors, or what torch.save wrote of tensors alone, renamed to the network's own names.

A pickle can run code when it is opened, so torch.load is only ever called with weights_only=True.
"""

import pickle
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from palpate.core.errors import InputError
from palpate.models.checkpoint import State, fill, read_tensors

SAVED_BY_TORCH = (".pt", ".pth", ".ckpt", ".bin", ".tar")
_PLACES = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "ema")
"""Of the tensors in a training's file."""


def read_weights(path: str | Path, own: Mapping[str, Tensor]) -> State:
    """The tensors of a file, by the names that a network has for them.

    Prefixes that wrappers add (`module.`, `_orig_mod.`, `model.`, …) are removed where more names fit without, and tensors outside of the
    prefix (of a loss, say) are left out where the network is complete without them.

    Args:
        path: a .safetensors file, or one of torch.save: .pt, .pth, .ckpt, .bin, .tar.
        own: the network's state dict.

    Raises:
        InputError: absent, cut short, of another format, without tensors, or a pickle that needs code to load.
    """
    path = Path(path)
    state = _read_pickle(path) if path.suffix.lower() in SAVED_BY_TORCH else read_tensors(path)
    state = _renamed(state, own)
    counters = (name for name in own if name.endswith("num_batches_tracked"))  # older files lack them
    return {name: own[name] for name in counters if name not in state} | state


def fill_from(network: nn.Module, path: str | Path, what: str) -> None:
    """Put the tensors of a file into a network, all of them or none; `what` names it in errors.

    Raises:
        InputError: as `read_weights`, or a name or a shape differs.
    """
    fill(network, read_weights(path, network.state_dict()), Path(path), what)


def load_without_code(file: Any) -> Any:
    """What torch.save wrote, on the CPU, if it can be read without running code; pickle.UnpicklingError if not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about protocols other than 2, which are read all the same
        return torch.load(file, map_location="cpu", weights_only=True)


def _read_pickle(path: Path) -> State:
    if not path.is_file():
        raise InputError(f"weights: no file at {path}; check the path")
    try:
        content = load_without_code(path)
    except pickle.UnpicklingError as error:
        needed = re.search(r"GLOBAL ([\w.]+)", str(error))
        fault = f"{path} holds more than tensors and needs code to load{f' ({needed[1]})' if needed else ''}"
        raise InputError(f"weights: {fault}; where you trust it, load it and save its state_dict() alone") from None
    except Exception as error:  # bytes at random can end the reading in any way
        if "TorchScript" in str(error):
            raise InputError(f"weights: {path} is a TorchScript program; give it as backbone='file:{path}'") from None
        reason = f"{path.stat().st_size} bytes: {error}" if str(error) else f"{path.stat().st_size} bytes"
        raise InputError(f"weights: {path} cannot be read ({reason}); it may be cut short: copy it again") from error
    return _tensors_in(content, path)


def _tensors_in(content: Any, path: Path) -> State:
    """The tensors by name, at the top of the file or one step down."""
    inside = content if isinstance(content, Mapping) else {}
    for place in (inside, *(inside.get(name) for name in _PLACES), *inside.values()):
        if isinstance(place, Mapping):
            tensors = {str(name): value for name, value in place.items() if isinstance(value, Tensor)}
            if tensors:
                return tensors
    found = ", ".join(map(str, inside)) if inside else type(content).__name__
    raise InputError(f"weights: {path} holds no tensors by name, but {found}; save the network's state_dict()")


def _renamed(state: State, own: Mapping[str, Tensor]) -> State:
    plain = {".".join(part for part in name.split(".") if part != "_orig_mod"): value for name, value in state.items()}
    prefix = max(_prefixes(plain), key=lambda each: sum(f"{each}{name}" in plain for name in own))
    if all(f"{prefix}{name}" in plain for name in own if not name.endswith("num_batches_tracked")):
        plain = {name: value for name, value in plain.items() if name.startswith(prefix)}
    return {name.removeprefix(prefix): value for name, value in plain.items()}


def _prefixes(names: Iterable[str]) -> list[str]:
    """All that names begin with, up to three words deep, the shortest first."""
    split = [name.split(".") for name in names]
    found = {".".join(words[:depth]) + "." for words in split for depth in (1, 2, 3) if len(words) > depth}
    return ["", *sorted(found, key=len)]
