"""Classifier: images in [0, 1] in, logits out, with its normalisation inside, so that an epsilon means one thing.

`build` makes one by name, `wrap` makes one of somebody's own network; everything else in palpate sees only `Classifier`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import nn

from palpate.core.errors import InputError
from palpate.models import backbones, pretrained
from palpate.models.checkpoint import fill, name_architecture, read_spec, read_tensors
from palpate.models.heads import Head
from palpate.models.normalize import Normalize, by_name
from palpate.models.soft_attention import SMALLEST_MAP, SoftAttention
from palpate.papers.wasserman2022 import keras_weights


class Classifier(nn.Module):
    """Normalize → backbone → [SoftAttention] → head.

    Attributes:
        num_classes: number of logits K (1 for a wrapped network with a single logit).
        size: side of the images in pixels.
        backbone: module whose output is the last map x (N, C, h, w); of a wrapped network, the whole network.
        attention: module whose output is u (N, C, h, w), or None.
        head: x (and u) to logits.
        spec: the arguments of `build`, JSON-able, or None for a wrapped network.
    """

    def __init__(
        self,
        normalize: Normalize,
        backbone: nn.Module,
        attention: SoftAttention | None,
        head: nn.Module,
        num_classes: int,
        size: int,
        spec: dict[str, Any] | None,
        map_layer: str = "backbone",
    ) -> None:
        super().__init__()
        self.normalize = normalize
        self.backbone = backbone
        self.attention = attention
        self.head = head
        self.num_classes, self.size, self.spec, self.map_layer = num_classes, size, spec, map_layer

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images (N, 3, H, W), float, RGB in [0, 1] → logits (N, K)."""
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise InputError(
                f"images: expected a float tensor (N, 3, H, W) in [0, 1], got {images.dtype} {tuple(images.shape)}; "
                "divide bytes by 255 and repeat grey images three times"
            )
        if self.spec is not None and images.shape[2:] != (self.size, self.size):
            raise InputError(
                f"images: this classifier was built for {self.size} × {self.size} px, got {tuple(images.shape[2:])}; "
                f"resize them or build with size={images.shape[-1]}"
            )
        x = self.backbone(self.normalize(images))  # (N, C, h, w)
        if self.spec is None:
            return x[:, None] if x.ndim == 1 else x
        return self.head(x) if self.attention is None else self.head(x, self.attention(x))

    def feature_layer(self, name: str = "x") -> nn.Module:
        """The module whose output Grad-CAM explains: "x", the last convolutional map, or "u", x after attention."""
        if name == "x":
            if not self.map_layer:
                raise InputError("layer: this wrapped network has no convolution; name a layer yourself")
            return self.get_submodule(self.map_layer)
        if name != "u":
            raise InputError(f"layer: expected 'x' or 'u', got {name!r}")
        if self.attention is None:
            raise InputError("layer: 'u' is the map after soft attention, and this classifier has none; use 'x'")
        return self.attention


def build(
    backbone: str,
    attention: str | bool | None = None,
    gamma: str | None = None,
    num_classes: int = 2,
    weights: str | Path | None = None,
    size: int = 224,
    output_stride: int = 32,
    heads: int = 16,
    window: int | None = None,
    relu: bool = True,
    dropout: float = 0.5,
    normalization: str | None = None,
) -> Classifier:
    """A classifier by the name of its backbone. Random weights come from torch's global generator.

    Args:
        backbone: any timm model; "resnet50.keras" (Keras' v1 strides and batch norms); "inception_resnet_v2" and
            "inception_resnet_v2.keras" (cut where the paper cuts it, flat heads).
        attention: None; "full" or True; "released" (see `SoftAttention`).
        gamma: None, "fixed" or "learned": a scale on the attended map.
        num_classes: number of logits.
        weights: None for random weights; "imagenet" for timm's from its hub, or Keras' file for a ".keras" backbone;
            else a file: what `save_weights` wrote for this very architecture, timm's `model.safetensors` for the
            backbone alone, or Keras' h5 for a ".keras" backbone.
        size: side of the square images in pixels.
        output_stride: 32, or 16 or 8 where the network can trade strides for dilation, for small images.
        heads, window, relu: see `SoftAttention`.
        dropout: probability before the dense layer (a pooled head without attention has none).
        normalization: "caffe" (the paper's for every model, the default), "imagenet", "inception" (−1 … 1, what Keras'
            Inception-ResNet-v2 was trained with) or "pretrained" (what timm's weights were trained with; the default
            with those). A file of `save_weights` brings its own. With "caffe", Keras' weights are turned for RGB.

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
    if not isinstance(size, int) or size < 16:
        raise InputError(f"size: expected an integer of at least 16 pixels, got {size!r}")
    if not 0 <= dropout < 1:
        raise InputError(f"dropout: expected a probability in [0, 1), got {dropout!r}")
    special = backbones.resolve(backbone)
    source = None if weights is None else pretrained.locate(weights, backbone, special)
    keras = source is not None and source.suffix == ".h5"
    state = {} if source is None or keras else read_tensors(source)
    whole = "head.dense.weight" in state  # a file of ours; else one of timm's, for the backbone alone
    if state and not whole and special.keras:
        raise InputError(f"weights: {source} is no classifier's file, and {backbone!r} takes Keras' h5 beside those")
    if normalization is None and source is not None and whole:
        normalization = read_spec(source)["spec"]["normalization"]
    normalization = normalization or ("pretrained" if state else "caffe")
    module = backbones.create(backbone, size, output_stride, None if whole else state or None, weights != "imagenet")
    channels, height, width = backbones.settle(module, size)
    if output_stride != 32 and height < size // output_stride:
        raise InputError(f"output_stride: backbone {backbone!r} ignores {output_stride}; leave it at 32")
    if attention is not None and min(height, width) < SMALLEST_MAP:
        _refuse_attention(backbone, size, output_stride, height)
    if source is not None and keras:
        fill(module, keras_weights.convert(module, backbone, source, normalization == "caffe"), source, backbone)
    spec: dict[str, Any] = {
        "backbone": backbone,
        "attention": attention,
        "gamma": gamma,
        "num_classes": num_classes,
        "weights": None if weights is None else str(weights),
        "size": size,
        "output_stride": output_stride,
        "heads": heads,
        "window": window,
        "relu": relu,
        "dropout": dropout,
        "normalization": normalization,
    }
    block = None if attention is None else SoftAttention(channels, heads, attention, gamma, window, relu)
    head = Head(channels, (height, width), num_classes, block is not None, special.flat, dropout)
    normalize = by_name(normalization, special.timm_name)
    model = Classifier(normalize, module, block, head, num_classes, size, spec)
    if source is not None and whole:
        if not torch.allclose(normalize.mean, state["normalize.mean"]):
            raise InputError(f"normalization: {source} was trained with another than {normalization!r}; leave it out")
        fill(model, state, source, describe(model))
    return model


def _refuse_attention(backbone: str, size: int, output_stride: int, height: int) -> NoReturn:
    """Say why, and the nearest size and stride that work: a finer stride first, then a larger image."""
    tries = [(size, stride) for stride in (16, 8) if stride < output_stride]
    tries += [(larger, output_stride) for larger in (64, 96, 128, 160, 192, 224, 256, 299) if larger > size]
    for other_size, other_stride in tries:
        try:
            with torch.device("meta"):
                shape = backbones.settle(backbones.create(backbone, other_size, other_stride), other_size)
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


def describe(model: Classifier) -> str:
    """One line that names an architecture, for messages."""
    if model.spec is None:
        return f"the wrapped {type(model.backbone).__name__}"
    return name_architecture(model.spec)


def wrap(module: nn.Module, mean: Sequence[float], std: Sequence[float], size: int = 224) -> Classifier:
    """Somebody's own network as a `Classifier`, told its normalisation once.

    Args:
        module: normalised images (N, 3, H, W) → logits (N, K), (N, 1) or (N,); logits, not probabilities. It is used
            as it is, not copied. A single logit stays single: num_classes is 1, and class 1 is a logit above 0.
        mean, std: three numbers each, RGB, in units of images in [0, 1]; (0, 0, 0) and (1, 1, 1) where the network
            normalises by itself.
        size: side in pixels of the images that it takes.

    Returns:
        Classifier whose feature layer "x" is the last convolution that runs, spec None.

    Raises:
        InputError: the network cannot take such images, or does not return logits.
    """
    order: list[str] = []
    names: dict[nn.Module, str] = {
        layer: name for name, layer in module.named_modules() if isinstance(layer, nn.Conv2d)
    }
    hooks = [layer.register_forward_hook(lambda ran, _in, _out: order.append(names[ran])) for layer in names]
    like = next(module.parameters(), torch.zeros(1))
    was_training = module.training
    try:
        with torch.no_grad():
            logits = module.eval()(torch.zeros(1, 3, size, size, dtype=like.dtype, device=like.device))
    except (RuntimeError, ValueError, AssertionError, TypeError) as error:
        raise InputError(f"module: failed on an image (1, 3, {size}, {size}): {error}; name another size") from error
    finally:
        module.train(was_training)
        for hook in hooks:
            hook.remove()
    if not isinstance(logits, torch.Tensor) or logits.ndim not in (1, 2) or len(logits) != 1:
        shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise InputError(f"module: expected logits (N, K) for images (N, 3, H, W), got {shape} for N = 1")
    classes = int(logits.shape[1]) if logits.ndim == 2 else 1
    layer = ".".join(filter(None, ("backbone", order[-1]))) if order else ""
    return Classifier(Normalize(mean, std).to(like), module, None, nn.Identity(), classes, size, None, layer)
