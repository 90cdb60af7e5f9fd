"""Classifier: images in [0, 1] in, logits out, with its normalisation inside, so that an epsilon means one thing."""

from typing import Any

import torch
from torch import nn

from palpate.core.errors import InputError
from palpate.models.checkpoint import name_architecture
from palpate.models.normalize import Normalize
from palpate.models.soft_attention import SoftAttention


class Classifier(nn.Module):
    """Normalize → backbone → [SoftAttention] → head.

    Attributes:
        num_classes: number of logits K (1 for a wrapped network with a single logit).
        size: side of the images in pixels.
        backbone: module whose output is the last map (N, C, h, w); of a wrapped network, the whole network.
        attention: module whose output is the map after soft attention (N, C, h, w), or None.
        head: the backbone's output (and the map after attention) to logits.
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
        x = self.backbone(self.normalize(images))
        return self.head(x) if self.attention is None else self.head(x, self.attention(x))

    def feature_layer(self, name: str = "backbone") -> nn.Module:
        """The module whose output Grad-CAM explains: "backbone", the last convolutional map, or "attention", the map after soft attention."""
        if name == "backbone":
            if not self.map_layer:
                raise InputError("layer: this wrapped network has no convolution; name a layer yourself")
            return self.get_submodule(self.map_layer)
        if name != "attention":
            raise InputError(f"layer: expected 'backbone' or 'attention', got {name!r}")
        if self.attention is None:
            raise InputError(
                "layer: 'attention' is the map after soft attention, and this classifier has none; use 'backbone'"
            )
        return self.attention

    def describe(self) -> str:
        """One line that names the architecture, for messages."""
        return f"the wrapped {type(self.backbone).__name__}" if self.spec is None else name_architecture(self.spec)
