"""Classifier: images in [0, 1] in, logits out, with its normalisation inside, so that an epsilon means one thing.

`build` makes one by name, `wrap` makes one of somebody's own network; everything else in palpate sees only `Classifier`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from timm.models import get_pretrained_cfg
from torch import nn

from palpate.errors import InputError
from palpate.models import backbones
from palpate.models.checkpoint import fill, read_tensors
from palpate.models.heads import Head
from palpate.models.soft_attention import SMALLEST_MAP, SoftAttention

# Mean and standard deviation per channel, RGB, of images in [0, 1].
NORMALIZATIONS = {
    "caffe": ((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255,) * 3),  # Keras' ResNet50: −123.68 … 151.06
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "inception": ((0.5,) * 3, (0.5,) * 3),  # −1 … 1
}


class Normalize(nn.Module):
    """(image − mean) / std per channel, as buffers, so that they travel with the weights."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        for name, values in (("mean", mean), ("std", std)):
            if len(values) != 3:
                raise InputError(f"{name}: expected three numbers, one per RGB channel in [0, 1] units, got {values!r}")
        if min(std) <= 0:
            raise InputError(f"std: expected three positive numbers, got {std!r}")
        self.register_buffer("mean", torch.tensor(list(mean), dtype=torch.float32).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(list(std), dtype=torch.float32).view(1, 3, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (images - self.mean) / self.std


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
    """A classifier by the name of its backbone.

    Args:
        backbone: any timm model; "resnet50.keras" (Keras' v1 strides and batch norms); "inception_resnet_v2" and
            "inception_resnet_v2.keras" (cut where the paper cuts it, flat heads).
        attention: None; "full" or True; "released" (see `SoftAttention`).
        gamma: None, "fixed" or "learned": a scale on the attended map.
        num_classes: number of logits.
        weights: None for random weights; "imagenet" for timm's from its hub, or Keras' file for a ".keras" backbone;
            else a safetensors file written by `save_weights` for this very architecture.
        size: side of the square images in pixels.
        output_stride: 32, or 16 or 8 where the network can trade strides for dilation, for small images.
        heads, window, relu: see `SoftAttention`.
        dropout: probability before the dense layer (a pooled head without attention has none).
        normalization: "caffe" (the paper's for every model, the default), "imagenet", "inception" (−1 … 1) or
            "pretrained" (what timm's weights were trained with; the default with timm's weights).

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
    special = backbones.resolve(backbone)
    normalization = normalization or "caffe"
    module = backbones.create(backbone, size, output_stride)
    channels, height, width = backbones.map_shape(module, size)
    if attention is not None and min(height, width) < SMALLEST_MAP:
        raise InputError(f"attention: {backbone} at size {size} and output_stride {output_stride}: {height}×{width}")
    spec = {
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
    mean, std = _normalization(normalization, special.timm_name)
    model = Classifier(Normalize(mean, std), module, block, head, num_classes, size, spec)
    if weights is not None:
        fill(model, read_tensors(Path(weights)), Path(weights), f"{backbone} with attention {attention}")
    return model


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
    names = {layer: name for name, layer in module.named_modules() if isinstance(layer, nn.Conv2d)}
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


def _normalization(name: str, timm_name: str) -> tuple[Sequence[float], Sequence[float]]:
    if name in NORMALIZATIONS:
        return NORMALIZATIONS[name]
    cfg = get_pretrained_cfg(timm_name)
    if name != "pretrained" or cfg is None:
        raise InputError(f"normalization: expected one of {', '.join(NORMALIZATIONS)}, pretrained; got {name!r}")
    return cfg.mean, cfg.std
