"""The two backbones of arXiv 2210.14405 as Keras has them: the model source "keras", with the weights that Keras publishes."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

from torch import nn

from palpate.core.errors import InputError
from palpate.data.download import Download, fetch
from palpate.models.checkpoint import State, fill
from palpate.models.normalize import NORMALIZATIONS
from palpate.models.sources import Network, Request
from palpate.models.sources.timm import FeatureMap, timm_network
from palpate.papers.wasserman2022.keras_weights import inception_state, read_h5, resnet50_state

RESNET_EPSILON = 1.001e-5  # Keras' ResNet50 writes this into every batch norm
MOMENTUM = 0.01  # Keras' default .99, in torch's convention


_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications"
_END = "weights_tf_dim_ordering_tf_kernels_notop.h5"
_PUBLISHED = {
    "resnet50": ("resnet", "4d473c1dd8becc155b73f8504c6f6626"),
    "inception_resnet_v2": ("inception_resnet_v2", "d19885ff4a710c122648d3b5c3b684e4"),
}
KERAS_FILES = {
    name: Download(f"{name}_{_END}", f"{_KERAS}/{folder}/{name}_{_END}", f"md5:{md5}")
    for name, (folder, md5) in _PUBLISHED.items()
}
"""The weight files that Keras publishes, with the MD5 that Keras checks."""


def keras_network(request: Request) -> Network:
    """The model source "keras": "keras:resnet50" or "keras:inception_resnet_v2".

    Weights are Keras' h5 file without its top: "imagenet" for the published one, or a path. With the normalisation "caffe", which the paper
    uses for both, the first convolution is turned for RGB images.

    Raises:
        InputError: another name; a stride that the network does not take; a file of another kind, absent, or not to be downloaded.
    """
    if request.name not in KERAS_FILES:
        raise InputError(f"backbone: source keras has {', '.join(KERAS_FILES)}; got {request.name!r}")
    if request.head == "own" or request.arguments or request.channels != 3:
        why = "source keras has a new head, no arguments and 3 channels"
        raise InputError(f"head, arguments, channels: {why}; leave them out")
    plain = timm_network(replace(request, weights=None, head="new")).module.get_submodule("network")
    inception = request.name == "inception_resnet_v2"
    module = _inception(plain) if inception else _resnet50(plain)
    normalization = request.normalization or "caffe"
    if request.weights is not None:
        path = keras_file(request.name) if request.weights == "imagenet" else Path(request.weights)
        fill(module, _state(path, module, inception, normalization == "caffe"), path, f"keras:{request.name}")
    return Network(module, pretrained=NORMALIZATIONS["inception" if inception else "caffe"], flat=inception)


def _state(path: Path, module: nn.Module, inception: bool, flip: bool) -> State:
    if path.suffix != ".h5":
        raise InputError(f"weights: source keras takes Keras' *_notop.h5 files and those of save_weights; got {path}")
    layers = read_h5(path)
    return inception_state(layers, module, flip) if inception else resnet50_state(layers, flip)


def _resnet50(network: nn.Module) -> nn.Module:
    """timm's v1.5 ResNet-50 made Keras' v1: the stride in the first 1×1 convolution, Keras' batch norm constants.

    Keras' convolution biases need no place: before a batch norm a bias b is a running mean of μ − b.
    """
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps, module.momentum = RESNET_EPSILON, MOMENTUM
        if all(hasattr(module, name) for name in ("conv1", "conv2", "conv3")):  # a bottleneck
            module.conv1.stride, module.conv2.stride = module.conv2.stride, module.conv1.stride  # type: ignore
    return FeatureMap(network)


class InceptionCut(nn.Module):
    """Inception-ResNet-v2 up to Keras' `layers[-28]`: the batch norm of branch 0 of the ninth block8, before its ReLU.

    192 channels; 5×5 at 224 pixels, 8×8 at 299.
    """

    NAMES = (
        *("conv2d_1a", "conv2d_2a", "conv2d_2b", "maxpool_3a", "conv2d_3b", "conv2d_4a", "maxpool_5a"),
        *("mixed_5b", "repeat", "mixed_6a", "repeat_1", "mixed_7a", "repeat_2"),
    )

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        for name in self.NAMES:
            setattr(self, name, network.get_submodule(name))
        blocks = list(network.get_submodule("repeat_2").children())
        branch = blocks[8].get_submodule("branch0")
        branch.get_submodule("bn").act = nn.Identity()
        self.repeat_2 = nn.Sequential(*blocks[:8])
        self.branch0 = branch

    def forward(self, images):
        x = images
        for name in self.NAMES:
            x = getattr(self, name)(x)
        return self.branch0(x)


def _inception(network: nn.Module) -> nn.Module:
    """The cut with Keras' batch norms, which have a shift and no scale."""
    cut = InceptionCut(network)
    for module in cut.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = MOMENTUM
            module.weight.requires_grad_(False)  # stays 1
    return cut


def weights_folder() -> Path:
    """Where Keras' files are kept: `PALPATE_WEIGHTS`, else `~/.cache/palpate/weights`."""
    return Path(os.environ.get("PALPATE_WEIGHTS") or Path.home() / ".cache" / "palpate" / "weights")


def keras_file(name: str) -> Path:
    """The h5 file that Keras publishes for a backbone, without its top; downloaded on first use.

    Raises:
        InputError: absent and not to be downloaded, or not the file that Keras publishes.
    """
    file = KERAS_FILES[name]
    places = [weights_folder() / file.file, Path.home() / ".keras" / "models" / file.file]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        try:
            path = fetch(file, places[0].parent)
        except InputError as error:
            absent = f"which is neither at {' nor at '.join(map(str, places))}: {error}, or use weights=None"
            raise InputError(f"weights: 'imagenet' needs Keras' file {file.file}, {absent}") from error
    with path.open("rb") as content:
        found = hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if f"md5:{found}" != file.checksum:
        fault = f"{path} is not the file that Keras publishes (MD5 {found}, not {file.checksum}); it may be cut short"
        remedy = f"delete it and download {file.url} again, or pass weights={str(path)!r} to use it as it is"
        raise InputError(f"weights: {fault}: {remedy}")
    return path
