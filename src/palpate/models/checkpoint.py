"""Tensors on disk and back: safetensors only, and a plain error for each way in which a file can be wrong.

A pickle runs what it contains when it is opened, so none is ever opened.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from palpate.core.errors import Damaged, InputError
from palpate.core.io import atomic, read_json

State = dict[str, torch.Tensor]
"""Tensors by name."""

SPEC_KEYS = {"backbone", "attention", "gamma", "num_classes", "size", "channels", "normalization", "output_stride"}
"""What every specification of a classifier says, however old."""

_PICKLES = (*(bytes((0x80, protocol)) for protocol in range(2, 6)), b"PK\x03\x04")  # a raw pickle; torch.save's zip
_HDF5 = b"\x89HDF\r\n\x1a\n"


def spec_path(path: str | Path) -> Path:
    """Where the JSON beside a weights file is: `weights.safetensors` → `weights.json`."""
    return Path(path).with_suffix(".json")


def read_spec(path: str | Path) -> dict[str, Any]:
    """The JSON beside a weights file: {"palpate", "spec", "extra"}; `spec` is None of a wrapped network.

    Raises:
        InputError: absent, or not what `save_weights` writes.
    """
    beside = spec_path(path)
    if not beside.is_file():
        raise InputError(f"weights: {beside} is missing; it belongs beside {Path(path).name} and says what to build")
    try:
        content = read_json(beside)
    except Damaged as error:
        raise InputError(f"weights: {error}, so it is not what save_weights writes; save them again") from None
    spec, extra = content.get("spec", {}), content.get("extra")
    if not isinstance(extra, dict) or not (spec is None or (isinstance(spec, dict) and spec.keys() >= SPEC_KEYS)):
        raise InputError(f"weights: {beside} is not what save_weights writes (its spec or its extra); save them again")
    return {"palpate": content.get("palpate"), "spec": spec, "extra": extra}


def name_architecture(spec: dict[str, Any]) -> str:
    """What tells one architecture from another, in a line, for messages."""
    keys = ("backbone", "attention", "gamma", "num_classes", "size", "output_stride")
    return ", ".join(f"{key}={spec.get(key)!r}" for key in keys)


def _architecture(path: Path) -> str:
    try:
        return f"({name_architecture(read_spec(path)['spec'])}) "
    except (InputError, AttributeError):
        return ""


def is_own(path: Path) -> bool:
    """Whether `path` is a whole classifier that `save_weights` wrote, and not a backbone's file, another format, or no file at all."""
    try:
        with safe_open(path, "pt") as file:
            return "normalize.mean" in file.keys()  # noqa: SIM118
    except (SafetensorError, OSError):
        return False


def write_tensors(state: State, path: Path) -> None:
    """Write a state dict as safetensors, each tensor by itself and in plain layout."""
    with atomic(path) as draft:
        save_file({name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}, draft)


def read_tensors(path: Path) -> State:
    """Read a safetensors file.

    Raises:
        InputError: absent; a pickle; an HDF5 file; cut short or otherwise no safetensors.
    """
    if not path.is_file():
        raise InputError(f"weights: no file at {path}; give a .safetensors file written by palpate, or 'imagenet'")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        # Only now: the first bytes of a whole safetensors file are a length, which may look like any other format's mark.
        with path.open("rb") as file:
            start = file.read(8)
        if start.startswith(_PICKLES):
            reads = "one of tensors alone, beside the name of its network, if it ends in .pt, .pth or .ckpt"
            fault = f"{path} is a pickle (torch.save), not safetensors; palpate reads {reads}"
            raise InputError(f"weights: {fault}") from error
        if start == _HDF5:
            remedy = "give a .safetensors file"
            raise InputError(f"weights: {path} is an HDF5 file, which this backbone does not take; {remedy}") from error
        fault = f"{path} is no complete safetensors file ({path.stat().st_size} bytes: {error})"
        raise InputError(f"weights: {fault}; it may be cut short: copy or download it again") from error


def check_finite(module: torch.nn.Module, what: str) -> None:
    """Refuse weights that are no numbers: NaN or infinity in a parameter, NaN in a buffer (a mask may hold infinities).

    Raises:
        InputError: how many tensors, and the first of them.
    """
    bad = [name for name, tensor in module.named_parameters() if _real(tensor) and not tensor.isfinite().all()]
    bad += [name for name, tensor in module.named_buffers() if _real(tensor) and tensor.isnan().any()]
    if bad:
        remedy = "its training diverged or its file is damaged"
        raise InputError(f"weights: {what} has {len(bad)} tensor(s) that hold NaN or infinity ({_some(bad)}); {remedy}")


def _real(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() and not tensor.is_meta


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def fill(module: torch.nn.Module, state: State, path: Path, what: str) -> None:
    """Put `state` into `module`, all of it or nothing.

    Args:
        module: receives the tensors, in place.
        state: tensors by name.
        path: where they come from, for the message.
        what: the architecture asked for, for the message.

    Raises:
        InputError: a name or shape that differs; the message gives how many there are and the first of them.
    """
    own = module.state_dict()
    other = [name for name in own if name in state and own[name].shape != state[name].shape]
    kinds = {
        "are missing": [name for name in own if name not in state],
        "are unknown": [name for name in state if name not in own],
        "differ in shape": [f"{name} {list(state[name].shape)} instead of {list(own[name].shape)}" for name in other],
    }
    found = [f"{len(names)} tensors {kind} ({_some(names)})" for kind, names in kinds.items() if names]
    if found:
        fault = f"{path} {_architecture(path)}belongs to another architecture than {what}: {'; '.join(found)}"
        remedy = "give the file of this model, or build the model that the file is of"
        raise InputError(f"weights: {fault}; {remedy}")
    module.load_state_dict(state)
    check_finite(module, str(path))
