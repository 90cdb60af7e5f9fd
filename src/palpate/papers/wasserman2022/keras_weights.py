"""Keras' published ImageNet weights, read from their HDF5 files into our modules so that both compute the same function.

Read with h5py alone: Keras' own reader needs Keras, and a saved Keras model can carry code while these files cannot.
"""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from palpate.core.errors import InputError
from palpate.models.checkpoint import State

Layers = list[tuple[str, list[np.ndarray]]]

# Keras writes layers by depth in the graph, we build them branch by branch: for each kind of block, the place in our
# order of the first, second, … convolution (with its batch norm) in Keras' file.
_INCEPTION_ORDERS = {
    "stem": (0, 1, 2, 3, 4),
    "mixed_5b": (3, 1, 4, 0, 2, 5, 6),
    "block35": (3, 1, 4, 0, 2, 5),
    "mixed_6a": (1, 2, 0, 3),
    "block17": (1, 2, 0, 3),
    "mixed_7a": (4, 0, 2, 5, 1, 3, 6),
    "block8": (1, 2, 0, 3),
}
_INCEPTION_BLOCKS = ("stem", "mixed_5b", *["block35"] * 10, "mixed_6a", *["block17"] * 20, "mixed_7a", *["block8"] * 9)


def read_h5(path: Path) -> Layers:
    """The layers that have weights, in the order of the file: (name, [arrays]).

    Raises:
        InputError: h5py is absent; the file is absent, cut short, or not a weights file of Keras' published kind.
    """
    try:
        h5py = importlib.import_module("h5py")
    except ImportError as error:
        raise InputError("weights: reading Keras' files needs h5py; install palpate[keras] or h5py") from error
    if not path.is_file():
        raise InputError(f"weights: no file at {path}; 'imagenet' looks for the one that Keras publishes")
    try:
        with h5py.File(path, "r") as file:
            group: Any = file.get("model_weights", file)
            layers = []
            for name in _names(group, "layer_names"):
                arrays = [np.asarray(group[name][weight]) for weight in _names(group[name], "weight_names")]
                if arrays:
                    layers.append((name, arrays))
            return layers
    except (OSError, KeyError, RuntimeError) as error:
        why = f"({error}); it may be cut short or of Keras 3's other format"
        remedy = "use the *_notop.h5 file that Keras publishes"
        raise InputError(f"weights: {path} cannot be read as a Keras weights file {why}: {remedy}") from error


def _names(group: Any, attribute: str) -> Iterator[str]:
    """A list of names kept as an attribute, which Keras cuts into numbered pieces where HDF5's limit demands it."""
    if attribute in group.attrs:
        pieces = [group.attrs[attribute]]
    else:
        keys = [f"{attribute}{number}" for number in range(len(group.attrs))]
        pieces = [group.attrs[key] for key in keys if key in group.attrs]
        if not pieces:
            raise KeyError(f"no attribute {attribute}")
    for name in np.concatenate(pieces) if pieces else ():
        yield name.decode() if isinstance(name, bytes) else str(name)


def resnet50_state(layers: Layers, flip: bool) -> State:
    """Keras' ResNet50 → the state of "keras:resnet50", names as timm's under `network.`.

    A convolution's bias b goes into the running mean of the batch norm behind it, μ − b.

    Args:
        layers: from `read_h5`.
        flip: reverse the first convolution's channels, for RGB in where Keras takes BGR.
    """
    found = dict(layers)
    state: State = {}
    for keras, convolution, norm in _resnet50_names():
        kernel, bias = _layer(found, f"{keras}_conv", 2)
        scale, shift, mean, variance = _layer(found, f"{keras}_bn", 4)
        state[f"network.{convolution}.weight"] = _kernel(kernel)
        state |= _batch_norm(f"network.{norm}", scale, shift, mean - bias, variance)
    if flip:
        state["network.conv1.weight"] = state["network.conv1.weight"].flip(1)
    return state


def _resnet50_names() -> Iterator[tuple[str, str, str]]:
    """Keras' prefix, our convolution, our batch norm."""
    yield "conv1", "conv1", "bn1"
    for stage, blocks in enumerate((3, 4, 6, 3), start=1):
        for block in range(blocks):
            keras, ours = f"conv{stage + 1}_block{block + 1}", f"layer{stage}.{block}"
            for number in (1, 2, 3):
                yield f"{keras}_{number}", f"{ours}.conv{number}", f"{ours}.bn{number}"
            if block == 0:
                yield f"{keras}_0", f"{ours}.downsample.0", f"{ours}.downsample.1"


def inception_state(layers: Layers, module: nn.Module, flip: bool) -> State:
    """Keras' InceptionResNetV2 → the state of "keras:inception_resnet_v2", which ends before the file does.

    The file's names are numbered by chance, so layers are matched by order, as Keras itself loads them. Its batch
    norms have no scale; ours is 1.

    Args:
        layers: from `read_h5`.
        module: the cut network, for its names.
        flip: reverse the first convolution's channels, for RGB in where the file is to be used with BGR.
    """
    convolutions = [arrays[0] for _, arrays in layers if len(arrays) == 1 and arrays[0].ndim == 4]
    norms = [arrays for _, arrays in layers if len(arrays) == 3]
    mixes = [arrays for _, arrays in layers if len(arrays) == 2 and arrays[0].ndim == 4]
    if (len(convolutions), len(norms), len(mixes)) != (204, 204, 40):
        expected = "InceptionResNetV2 of Keras (204 convolutions, 204 batch norms, 40 with a bias)"
        got = f"{len(convolutions)}, {len(norms)}, {len(mixes)}"
        raise InputError(f"weights: expected {expected}, got {got}; use its *_notop.h5 file")
    order: list[int] = []  # order[i] is the place in the file of our convolution i
    for block in _INCEPTION_BLOCKS:
        places = _INCEPTION_ORDERS[block]
        order += [len(order) + places.index(place) for place in range(len(places))]
    state: State = {}
    pairs = [name for name, part in module.named_modules() if hasattr(part, "conv") and hasattr(part, "bn")]
    for name, place in zip(pairs, order, strict=False):  # the ninth block8 is cut after its first convolution
        shift, mean, variance = norms[place]
        state[f"{name}.conv.weight"] = _kernel(convolutions[place])
        state |= _batch_norm(f"{name}.bn", np.ones_like(shift), shift, mean, variance)
    ends = [name for name, part in module.named_modules() if name.endswith(".conv2d") and isinstance(part, nn.Conv2d)]
    for name, (kernel, bias) in zip(ends, mixes, strict=False):
        state[f"{name}.weight"], state[f"{name}.bias"] = _kernel(kernel), torch.from_numpy(bias.copy())
    if flip:
        state["conv2d_1a.conv.weight"] = state["conv2d_1a.conv.weight"].flip(1)
    return state


def _layer(found: dict[str, list[np.ndarray]], name: str, arrays: int) -> list[np.ndarray]:
    if len(found.get(name, [])) != arrays:
        expected = f"ResNet50 of Keras with a layer {name} of {arrays} arrays"
        raise InputError(f"weights: expected {expected}, got {len(found.get(name, []))}; use its *_notop.h5 file")
    return found[name]


def _kernel(kernel: np.ndarray) -> torch.Tensor:
    """(height, width, in, out) → (out, in, height, width)."""
    return torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())


def _batch_norm(name: str, scale: np.ndarray, shift: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> State:
    parts = {"weight": scale, "bias": shift, "running_mean": mean, "running_var": variance}
    state = {f"{name}.{part}": torch.from_numpy(np.asarray(array).copy()) for part, array in parts.items()}
    return state | {f"{name}.num_batches_tracked": torch.tensor(0)}
