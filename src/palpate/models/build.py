"""`build` makes a classifier by name, of a network from a registered source."""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

import torch

from palpate.core.errors import InputError
from palpate.models.checkpoint import fill, is_own, read_spec, read_tensors
from palpate.models.classifier import Classifier
from palpate.models.heads import Head
from palpate.models.networks import make_network
from palpate.models.normalize import make_normalize
from palpate.models.soft_attention import SMALLEST_MAP, SoftAttention
from palpate.models.sources import Network
from palpate.models.trim import trim
from palpate.models.wrap import adapt


def build(
    backbone: str,
    attention: str | bool | None = None,
    gamma: str | None = None,
    num_classes: int | None = None,
    weights: str | Path | None = None,
    *,
    size: int = 224,
    channels: int = 3,
    normalization: str | Mapping[str, Any] | None = None,
    output_stride: int = 32,
    heads: int = 16,
    window: int | None = None,
    relu: bool = True,
    dropout: float = 0.5,
    head: Literal["new", "own"] | None = None,
    arguments: Mapping[str, Any] | None = None,
    output: str | int | None = None,
    classes: Sequence[str] | None = None,
    order: Sequence[str] | None = None,
) -> Classifier:
    """A classifier by the name of its backbone. Random weights come from torch's global generator.

    Some sources give backbones that end in a feature map, which gets soft attention or none and a head (timm); others give whole networks
    with their own classifier (torchvision, monai, hf-hub, file, and functions of your own), for which `attention`, `gamma`, `output_stride`,
    `heads`, `window`, `relu` and `dropout` are refused.

    Args:
        backbone: SOURCE:NAME, where the sources are those registered (`palpate doctor` lists them); MODULE:FUNCTION, a function that returns a
            network; a name alone is a timm model.
        attention: None; "full" or True; "released" (see `SoftAttention`).
        gamma: None, "fixed" or "learned": a scale on the attended map.
        num_classes: number of logits; when absent 2, or what a whole network has by itself. A whole network may have one logit for two classes.
        weights: None for random weights; "imagenet" for the published ones of the backbone ("hub" of a hub's repository); else a file: what
            `save_weights` wrote for this very architecture; safetensors or a torch.save of tensors alone for the network itself.
        size: side of the square images in pixels.
        channels: of the images; published weights of three are adapted to one as timm does it, by summing over the first convolution's.
        normalization: "caffe" (of arXiv 2210.14405; timm's default with random weights), "imagenet" (torchvision's default), "inception"
            (−1 … 1) or "pretrained" (what the published weights were trained with; the default with those); or a mapping with "mean" and "std",
            "value_range", or all three, as in `wrap`. A file of `save_weights` brings its own. To be stated where a source does not know it.
        output_stride: 32, or 16 or 8 where the network can trade strides for dilation, for small images.
        heads: see `SoftAttention`.
        window: see `SoftAttention`.
        relu: see `SoftAttention`.
        dropout: probability before the dense layer (a pooled head without attention has none).
        head: of a timm network: "own" keeps its classifier, which makes it a whole network; "new" replaces it. When absent, "own" where weights
            are a file with a classifier of `num_classes` logits and no attention is asked for.
        arguments: for the function that makes the network.
        output: of a whole network, see `wrap`.
        classes: of a whole network, see `wrap`; a hub's repository names its classes itself.
        order: the classes in the order in which the logits are to come; as the network has them when absent.

    Raises:
        InputError: an unknown name or value; a setting that this backbone ignores; attention on a map below 4×4; weights absent, damaged or of
            another architecture.
    """
    if isinstance(attention, bool):
        attention = "full" if attention else None
    spec: dict[str, Any] = dict(locals())  # all arguments
    whole = Path(weights) if weights is not None and is_own(Path(weights)) else None
    if normalization is None and whole is not None:
        spec["normalization"] = normalization = (read_spec(whole)["spec"] or {}).get("normalization")
    spec |= {"weights": None if weights is None else str(weights), "arguments": dict(arguments or {})}
    spec |= {key: None if spec[key] is None else list(spec[key]) for key in ("classes", "order")}
    _check(spec)
    passed = ("size", "channels", "num_classes", "output_stride", "normalization", "arguments")
    asked: dict[str, Any] = {key: spec[key] for key in passed} | {"weights": None if whole else weights}
    network = make_network(backbone, head="new" if attention is not None and head is None else head, **asked)
    spec["normalization"] = normalization or network.normalization
    if head == "new" and network.ends_in == "logits":
        raise InputError(f"head: {backbone!r} is a whole network and keeps its own; leave it out, given 'new'")
    spec["head"] = "new" if network.ends_in == "map" else "own"
    if spec["normalization"] is None:
        example = "such as normalization={'value_range': [0, 1]} for images as they are"
        remedy = f"give mean and std, value_range, or all three, {example}"
        raise InputError(f"normalization: {backbone!r} does not say what it takes; {remedy}")
    model = _with_head(network, spec) if network.ends_in == "map" else _as_it_is(network, spec)
    model.trained = network.trained or whole is not None
    if whole is not None:
        state = read_tensors(whole)
        if not torch.allclose(model.normalize.mean, state["normalize.mean"]):
            raise InputError(f"normalization: {whole} was trained with another than {normalization!r}; leave it out")
        fill(model, state, whole, model.describe())
    return model


def _check(spec: Mapping[str, Any]) -> None:
    """Refuse values that no backbone takes, and settings of a soft attention that is not asked for."""
    attention, gamma, num_classes, size = (spec[key] for key in ("attention", "gamma", "num_classes", "size"))
    if attention not in (None, "full", "released"):
        raise InputError(f"attention: expected None, 'full', 'released' or True, got {attention!r}")
    if attention is None and gamma is not None:
        raise InputError(f"gamma: {gamma!r} scales the attended map, but attention is None; ask for attention='full'")
    if num_classes is not None and (not isinstance(num_classes, int) or num_classes < 1):
        raise InputError(f"num_classes: expected an integer of at least 2, got {num_classes!r}")
    if not isinstance(spec["channels"], int) or spec["channels"] < 1:
        raise InputError(f"channels: expected an integer of at least 1, got {spec['channels']!r}")
    if not isinstance(size, int) or size < 16:
        raise InputError(f"size: expected an integer of at least 16 pixels, got {size!r}")
    if not 0 <= spec["dropout"] < 1:
        raise InputError(f"dropout: expected a probability in [0, 1), got {spec['dropout']!r}")
    if attention is None:
        _refuse(spec, "heads", "window", "relu", why="is of soft attention, but attention is None")


def _refuse(spec: Mapping[str, Any], *names: str, why: str) -> None:
    """Refuse settings that differ from their defaults where they would be ignored."""
    defaults = inspect.signature(build).parameters
    for name in names:
        if spec[name] not in (defaults[name].default, {}):
            raise InputError(f"{name}: {why}; leave it out, given {spec[name]!r}")


def _with_head(network: Network, spec: dict[str, Any]) -> Classifier:
    """A backbone that ends in a map, with soft attention or none, and a head."""
    backbone, attention, size, output_stride = (spec[key] for key in ("backbone", "attention", "size", "output_stride"))
    _refuse(spec, "output", "classes", "order", why=f"is of a whole network, and {backbone!r} ends in a feature map")
    if spec["num_classes"] == 1:
        raise InputError("num_classes: expected an integer of at least 2, got 1")
    spec["num_classes"] = spec["num_classes"] or 2
    channels, height, width = trim(network.module, size, spec["channels"])
    if output_stride != 32 and height < size // output_stride:
        raise InputError(f"output_stride: backbone {backbone!r} ignores {output_stride}; leave it at 32")
    if attention is not None and min(height, width) < SMALLEST_MAP:
        _refuse_attention(backbone, size, output_stride, height)
    block = None
    if attention is not None:
        block = SoftAttention(channels, spec["heads"], attention, spec["gamma"], spec["window"], spec["relu"])
    head = Head(channels, (height, width), spec["num_classes"], block is not None, network.flat, spec["dropout"])
    normalize = make_normalize(spec["normalization"], spec["channels"], network.pretrained)
    return Classifier(normalize, network.module, block, head, spec["num_classes"], size, spec)


def _as_it_is(network: Network, spec: dict[str, Any]) -> Classifier:
    """A whole network, whose logits are read from its output."""
    why = f"is of a backbone that ends in a feature map, and {spec['backbone']!r} is a whole network"
    _refuse(spec, "attention", "gamma", "output_stride", "dropout", why=why)
    asked, classes = spec["num_classes"], spec["classes"] or network.classes
    normalize = make_normalize(spec["normalization"], spec["channels"], network.pretrained)
    model = adapt(network.module, normalize, spec["size"], spec, spec["output"], classes)
    if asked not in (None, model.num_classes) and (asked, model.num_classes) != (2, 1):
        raise InputError(f"num_classes: {spec['backbone']!r} has {model.num_classes} logits, not {asked}")
    spec["num_classes"] = model.num_classes
    if spec["order"] is not None:
        model.in_order(spec["order"])
    return model


def _refuse_attention(backbone: str, size: int, output_stride: int, height: int) -> NoReturn:
    """Say why, and the nearest size and stride that work: a finer stride first, then a larger image."""
    tries = [(size, stride) for stride in (16, 8) if stride < output_stride]
    tries += [(larger, output_stride) for larger in (64, 96, 128, 160, 192, 224, 256, 299) if larger > size]
    for other_size, other_stride in tries:
        try:
            with torch.device("meta"):
                network = make_network(backbone, other_size, head="new", output_stride=other_stride)
                shape = trim(network.module, other_size)
        except InputError:
            continue
        if min(shape[1:]) >= SMALLEST_MAP:
            remedy = f"size={other_size} with output_stride={other_stride} works"
            break
    else:
        remedy = "no size up to 299 works for this backbone; use attention=None"
    leaves = f"{backbone!r} at size={size} and output_stride={output_stride} leaves a map of {height}×{height}"
    fault = f"on which a softmax has nothing to choose; at least {SMALLEST_MAP}×{SMALLEST_MAP} is needed: {remedy}"
    raise InputError(f"attention: {leaves}, {fault}")
