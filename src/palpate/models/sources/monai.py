"""MONAI's two-dimensional networks, whole: "monai:DenseNet121"."""

import difflib
import importlib
import inspect
from typing import Any

from palpate.core.errors import InputError
from palpate.core.registry import MODEL_SOURCES
from palpate.models.sources import Network, Request
from palpate.models.sources.factory import network_of


@MODEL_SOURCES.register("monai")
def monai_network(request: Request) -> Network:
    """A network of `monai.networks.nets`, in two dimensions, for the channels and classes asked for, with the arguments of its constructor.

    Raises:
        InputError: MONAI is not installed, has no such network, or does not take the arguments; no number of classes; weights of another network.
    """
    try:
        nets = importlib.import_module("monai.networks.nets")
    except ImportError as error:
        raise InputError(f"backbone: source monai needs MONAI ({error}); install palpate[monai] or monai") from error
    make = getattr(nets, request.name, None)
    if not callable(make):
        near = difflib.get_close_matches(request.name, dir(nets), n=3)
        raise InputError(f"backbone: MONAI has no network {request.name!r}; near matches: {', '.join(near) or 'none'}")
    if request.num_classes is None:
        raise InputError(f"num_classes: MONAI's {request.name} has no number of classes of its own; state it")
    if request.weights == "imagenet":
        raise InputError("weights: source monai has random weights or those of a file, got 'imagenet'")
    arguments = _arguments(make, request) | dict(request.arguments)
    return network_of(make, arguments, request.weights, f"monai:{request.name}")


def _arguments(make: Any, request: Request) -> dict[str, Any]:
    """Dimensions, channels and classes under the names that this network has for them."""
    side = (request.size, request.size)
    values = {"spatial_dims": 2, "img_size": side, "classification": True, "pretrained": False}
    values |= dict.fromkeys(("in_channels", "n_input_channels"), request.channels)
    values |= dict.fromkeys(("out_channels", "num_classes"), request.num_classes)
    taken = inspect.signature(make).parameters
    if not taken.keys() & {"in_channels", "n_input_channels"}:  # resnet18 and others hand all on to ResNet
        taken = taken | dict.fromkeys(("spatial_dims", "n_input_channels", "num_classes"))
    return {name: value for name, value in values.items() if name in taken}
