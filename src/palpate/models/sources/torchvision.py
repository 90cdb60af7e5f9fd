"""torchvision's classification networks, whole: "torchvision:resnet18"."""

import difflib
from pathlib import Path
from typing import Any

import torch
import torchvision

from palpate.core.errors import InputError
from palpate.core.registry import MODEL_SOURCES
from palpate.models.checkpoint import State, fill
from palpate.models.hub import BY_HAND, downloaded
from palpate.models.sources import Network, Request
from palpate.models.weight_files import read_weights

IMAGENET_CLASSES = 1000


@MODEL_SOURCES.register("torchvision")
def torchvision_network(request: Request) -> Network:
    """A network of `torchvision.models`, with the arguments of its function.

    Weights are "imagenet" for torchvision's default ones or a file; a classifier of ImageNet's thousand classes is replaced by a new one where
    other classes are asked for.

    Raises:
        InputError: an unknown name, images of other than three channels, weights of another network, absent or not to be downloaded.
    """
    known = torchvision.models.list_models(module=torchvision.models)
    if request.name not in known:
        near = difflib.get_close_matches(request.name, known, n=3)
        remedy = f"near matches: {', '.join(near) or 'none'}"
        raise InputError(f"backbone: torchvision has no classifier {request.name!r}; {remedy}")
    if request.channels != 3:
        remedy = "repeat grey images, or choose a timm network"
        raise InputError(f"channels: torchvision's networks take 3, got {request.channels}; {remedy}")
    arguments: dict[str, Any] = {"num_classes": request.num_classes or IMAGENET_CLASSES} | dict(request.arguments)
    if request.name in ("googlenet", "inception_v3"):
        arguments.setdefault("init_weights", True)
    try:
        network = torchvision.models.get_model(request.name, weights=None, **arguments)
    except (TypeError, ValueError) as error:
        raise InputError(f"arguments: torchvision's {request.name} does not take {arguments}: {error}") from error
    trained = False
    if request.weights is not None:
        path = _published(request.name) if request.weights == "imagenet" else Path(request.weights)
        state, trained = _with_new_head(read_weights(path, network.state_dict()), network)
        fill(network, state, path, f"torchvision:{request.name}")
    return Network(network, "logits", "imagenet", trained=trained)


def _with_new_head(state: State, network: torch.nn.Module) -> tuple[State, bool]:
    """The state with the network's own tensors in place of ImageNet's classifier, where it has another number of classes; whether none was."""
    own = network.state_dict()
    other = [name for name, tensor in state.items() if name in own and own[name].shape != tensor.shape]
    other = [name for name in other if state[name].shape[0] == IMAGENET_CLASSES]
    return state | {name: own[name] for name in other}, not other


def _published(name: str) -> Path:
    """The file of torchvision's default weights, from torch's cache or downloaded into it."""
    address = str(torchvision.models.get_model_weights(name)["DEFAULT"].url)
    path = Path(torch.hub.get_dir()) / "checkpoints" / address.rsplit("/", 1)[1]

    def fetch() -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        checksum = path.stem.rsplit("-", 1)[1]
        torch.hub.download_url_to_file(address, str(path), hash_prefix=checksum, progress=False)
        return path

    fault = f"weights: 'imagenet' for torchvision's {name} needs {path.name}, which is not at {path} and"
    return path if path.is_file() else downloaded(address, fetch, fault, BY_HAND.format(address))
