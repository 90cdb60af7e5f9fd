"""`build` makes a classifier by name: a network from a registered source, soft attention or none, and a head."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import torch

from palpate.core.errors import InputError
from palpate.models.checkpoint import fill, is_own, read_spec, read_tensors
from palpate.models.classifier import Classifier
from palpate.models.heads import Head
from palpate.models.normalize import make_normalize
from palpate.models.soft_attention import SMALLEST_MAP, SoftAttention
from palpate.models.sources import make_network
from palpate.models.trim import trim


def build(
    backbone: str,
    attention: str | bool | None = None,
    gamma: str | None = None,
    num_classes: int = 2,
    weights: str | Path | None = None,
    *,
    size: int = 224,
    channels: int = 3,
    output_stride: int = 32,
    heads: int = 16,
    window: int | None = None,
    relu: bool = True,
    dropout: float = 0.5,
    normalization: str | Mapping[str, Any] | None = None,
) -> Classifier:
    """A classifier by the name of its backbone. Random weights come from torch's global generator.

    Args:
        backbone: SOURCE:NAME, where the sources are those registered (`palpate doctor` lists them); a name alone is a timm model.
        attention: None; "full" or True; "released" (see `SoftAttention`).
        gamma: None, "fixed" or "learned": a scale on the attended map.
        num_classes: number of logits.
        weights: None for random weights; "imagenet" for the published ones of the backbone; else a file: what `save_weights` wrote for
            this very architecture, or a file of the source's kind for the backbone alone (timm's `model.safetensors`).
        size: side of the square images in pixels.
        channels: of the images; published weights of three are adapted to one as timm does it, by summing over the first convolution's.
        output_stride: 32, or 16 or 8 where the network can trade strides for dilation, for small images.
        heads, window, relu: see `SoftAttention`.
        dropout: probability before the dense layer (a pooled head without attention has none).
        normalization: "caffe" (of arXiv 2210.14405; the default for random weights), "imagenet", "inception" (−1 … 1) or "pretrained"
            (what the published weights were trained with; the default with timm's); or a mapping with "mean" and "std", "value_range", or all
            three, as in `wrap`. A file of `save_weights` brings its own.

    Raises:
        InputError: an unknown name or value; attention on a map below 4×4; weights absent or of another architecture.
    """
    if isinstance(attention, bool):
        attention = "full" if attention else None
    if attention not in (None, "full", "released"):
        raise InputError(f"attention: expected None, 'full', 'released' or True, got {attention!r}")
    if attention is None and gamma is not None:
        raise InputError(f"gamma: {gamma!r} scales the attended map, but attention is None; ask for attention='full'")
    if not isinstance(num_classes, int) or num_classes < 2:
        raise InputError(f"num_classes: expected an integer of at least 2, got {num_classes!r}")
    if not isinstance(channels, int) or channels < 1:
        raise InputError(f"channels: expected an integer of at least 1, got {channels!r}")
    if not isinstance(size, int) or size < 16:
        raise InputError(f"size: expected an integer of at least 16 pixels, got {size!r}")
    if not 0 <= dropout < 1:
        raise InputError(f"dropout: expected a probability in [0, 1), got {dropout!r}")
    whole = Path(weights) if weights is not None and is_own(Path(weights)) else None
    if normalization is None and whole is not None:
        normalization = read_spec(whole)["spec"]["normalization"]
    asked = {"output_stride": output_stride, "normalization": normalization, "weights": None if whole else weights}
    network = make_network(backbone, size, channels, **asked)
    depth, height, width = trim(network.module, size, channels)
    if output_stride != 32 and height < size // output_stride:
        raise InputError(f"output_stride: backbone {backbone!r} ignores {output_stride}; leave it at 32")
    if attention is not None and min(height, width) < SMALLEST_MAP:
        _refuse_attention(backbone, size, output_stride, height)
    normalization = normalization or network.normalization
    spec: dict[str, Any] = {
        "backbone": backbone,
        "attention": attention,
        "gamma": gamma,
        "num_classes": num_classes,
        "weights": None if weights is None else str(weights),
        "size": size,
        "channels": channels,
        "output_stride": output_stride,
        "heads": heads,
        "window": window,
        "relu": relu,
        "dropout": dropout,
        "normalization": normalization,
    }
    block = None if attention is None else SoftAttention(depth, heads, attention, gamma, window, relu)
    head = Head(depth, (height, width), num_classes, block is not None, network.flat, dropout)
    normalize = make_normalize(normalization, channels, network.pretrained)
    model = Classifier(normalize, network.module, block, head, num_classes, size, spec)
    if whole is not None:
        state = read_tensors(whole)
        if not torch.allclose(normalize.mean, state["normalize.mean"]):
            raise InputError(f"normalization: {whole} was trained with another than {normalization!r}; leave it out")
        fill(model, state, whole, model.describe())
    return model


def _refuse_attention(backbone: str, size: int, output_stride: int, height: int) -> NoReturn:
    """Say why, and the nearest size and stride that work: a finer stride first, then a larger image."""
    tries = [(size, stride) for stride in (16, 8) if stride < output_stride]
    tries += [(larger, output_stride) for larger in (64, 96, 128, 160, 192, 224, 256, 299) if larger > size]
    for other_size, other_stride in tries:
        try:
            with torch.device("meta"):
                shape = trim(make_network(backbone, other_size, output_stride=other_stride).module, other_size)
        except InputError:
            continue
        if min(shape[1:]) >= SMALLEST_MAP:
            remedy = f"size={other_size} with output_stride={other_stride} works"
            break
    else:
        remedy = "no size up to 299 works for this backbone; use attention=None"
    raise InputError(
        f"attention: {backbone!r} at size={size} and output_stride={output_stride} leaves a map of {height}×{height}, "
        f"on which a softmax has nothing to choose; at least {SMALLEST_MAP}×{SMALLEST_MAP} is needed: {remedy}"
    )
