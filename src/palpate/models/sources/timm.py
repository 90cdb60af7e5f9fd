"""timm's networks, each cut so that it ends in its last feature map (N, C, h, w)."""

import difflib
import math
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import get_pretrained_cfg, is_model
from torch import nn

from palpate.core.errors import InputError
from palpate.core.registry import MODEL_SOURCES
from palpate.models.checkpoint import State, check_finite, fill
from palpate.models.hub import hub_file
from palpate.models.sources import Network, Request
from palpate.models.weight_files import read_weights

STRIDES = (8, 16, 32)


class FeatureMap(nn.Module):
    """A timm network that ends in its last feature map, (N, C, H, W) → (N, C', h, w), tokens laid back on their grid."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.network.forward_features(images)  # type: ignore[operator]
        channels = int(self.network.num_features)  # type: ignore[arg-type]
        if isinstance(features, torch.Tensor) and features.ndim == 4:
            if features.shape[1] == channels:
                return features
            if features.shape[3] == channels:
                return features.permute(0, 3, 1, 2)
        if not isinstance(features, torch.Tensor) or features.ndim != 3:
            raise InputError("backbone: its features are no map (N, C, h, w) and no tokens (N, L, C); choose another")
        tokens = features[:, int(getattr(self.network, "num_prefix_tokens", 0)) :]  # (N, h·w, C)
        side = math.isqrt(tokens.shape[1])  # images are square, and so are grids of patches
        if side * side == tokens.shape[1] - 1:  # a class token that the network does not announce
            tokens = tokens[:, 1:]
        elif side * side != tokens.shape[1]:
            raise InputError(f"backbone: its {tokens.shape[1]} tokens form no square map; choose another")
        return tokens.transpose(1, 2).unflatten(2, (side, side))


@MODEL_SOURCES.register("timm")
def timm_network(request: Request) -> Network:
    """A network of timm by its name, with a tag or without, cut to its last feature map; or whole, with its own classifier.

    It is whole if `head` is "own", or if nothing is said and the weights are a file with a classifier of the number of classes asked for (of
    any other number than the published weights have, where none is asked for).

    Raises:
        InputError: an unknown name, a stride the network does not take, a size it cannot use, weights that are not its own.
    """
    cfg = _config(request.name)
    if request.output_stride not in STRIDES:
        raise InputError(f"output_stride: expected one of {STRIDES}, got {request.output_stride!r}")
    arguments: dict[str, Any] = {"num_classes": 0} | dict(request.arguments)
    if request.channels != 3:
        arguments["in_chans"] = request.channels
    if cfg is not None and cfg.fixed_input_size:
        arguments.setdefault("img_size", request.size)
    if request.output_stride != 32:
        arguments["output_stride"] = request.output_stride
    network, published, state = _create(request, arguments), request.weights == "imagenet", None
    if request.weights is not None:
        path = hub_file(request.name) if published else Path(request.weights)
        state = read_weights(path, network.state_dict())
    normalization = "caffe" if state is None else "pretrained"
    pretrained = None if cfg is None else (cfg.mean, cfg.std)
    logits = _own_logits(request, network, {} if published or state is None else state)
    if logits is not None:
        network = _create(request, arguments | {"num_classes": logits})
        if state is not None:
            fill(network, state, path, f"timm:{request.name}")
        return Network(network, "logits", normalization, pretrained, trained=state is not None)
    if state is not None:
        if not published:  # some files of timm's hub have older names, which timm knows how to read
            _check_names(network, state, request.name)
        overlay = {"pretrained": True, "pretrained_cfg_overlay": {"state_dict": dict(state)}}
        network = _create(request, arguments | overlay)
        check_finite(network, str(path))
    return Network(FeatureMap(network), "map", normalization, pretrained)


def _own_logits(request: Request, network: nn.Module, state: State) -> int | None:
    """Logits of the network's own classifier, where that is to be kept."""
    usual = int(getattr(network, "pretrained_cfg", {}).get("num_classes", 0))
    sizes = {state[f"{name}.weight"].shape[0] for name in _heads(network) if f"{name}.weight" in state}
    if request.head == "own":
        return request.num_classes or next(iter(sizes), usual)
    if request.head == "new" or len(sizes) != 1:
        return None
    (size,) = sizes
    return size if size == (request.num_classes or (None if size == usual else size)) else None


def _heads(network: nn.Module) -> tuple[str, ...]:
    """The names of the network's classifiers."""
    cfg: dict[str, Any] = getattr(network, "pretrained_cfg", {})
    classifier = cfg.get("classifier") or ()
    return (classifier,) if isinstance(classifier, str) else tuple(classifier)


def _config(name: str) -> Any:
    """timm's record of a name; InputError with near matches for a name that it does not know."""
    try:
        if is_model(name):
            return get_pretrained_cfg(name)  # refuses an unknown tag such as resnet50.nobody
    except RuntimeError:
        pass
    known = [*timm.list_models(), *timm.list_models(pretrained=True)]
    near = difflib.get_close_matches(name, known, n=4, cutoff=0.5)
    hint = f"near matches: {', '.join(near)}" if near else "see timm.list_models()"
    fault = f"expected a timm model, or SOURCE:NAME with one of {', '.join(MODEL_SOURCES)}; got {name!r}; {hint}"
    raise InputError(f"backbone: {fault}")


def _create(request: Request, arguments: dict[str, Any]) -> nn.Module:
    """timm's `create_model`, its errors worded in terms of our arguments."""
    name, stride = request.name, request.output_stride
    try:
        return timm.create_model(name, **arguments)
    except (TypeError, AssertionError, ValueError, NotImplementedError) as error:
        if stride != 32:
            remedy = "leave output_stride at 32 and use larger images, or choose a ResNet"
            fault = f"backbone {name!r} takes only its own stride, got {stride}"
            raise InputError(f"output_stride: {fault}; {remedy}") from error
        raise InputError(f"size: backbone {name!r} cannot be built with {arguments}: {error}") from error
    except RuntimeError as error:
        first = " ".join(str(error).splitlines()[1:2]).strip()
        raise InputError(f"weights: of another architecture than {name!r}: {first or error}") from error


def _check_names(network: nn.Module, state: State, name: str) -> None:
    """Refuse a smaller or larger network's file, whose tensors timm would take as far as the names go."""
    own, heads = network.state_dict(), _heads(network)
    missing = [key for key in own if key not in state and "num_batches" not in key]
    unknown = [key for key in state if key not in own and not key.startswith(heads) and "aux" not in key.lower()]
    if missing or unknown:
        lack = f"{len(missing)} of its tensors are missing and {len(unknown)} are unknown"
        remedy = "give the file that timm publishes for it, or one written by save_weights"
        fault = f"{lack} (first {(missing or unknown)[0]}); {remedy}"
        raise InputError(f"weights: of another architecture than {name!r}: {fault}")
