"""Classifier: images in [0, 1] in, logits out, with its normalisation inside, so that an epsilon means one thing."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from palpate.core.errors import InputError
from palpate.models.checkpoint import name_architecture
from palpate.models.normalize import Normalize
from palpate.models.outputs import Logits
from palpate.models.soft_attention import SoftAttention


class Classifier(nn.Module):
    """Normalize → backbone → [SoftAttention] → head.

    Attributes:
        num_classes: number of logits K (1 for a wrapped network with a single logit).
        classes: names of the logits in their order, or None where nobody said.
        size: side of the images in pixels.
        backbone: module whose output is the last map (N, C, h, w); of a wrapped network, the whole network.
        attention: module whose output is the map after soft attention (N, C, h, w), or None.
        head: the backbone's output (and the map after attention) to logits.
        spec: the arguments of `build`, JSON-able, or None for a wrapped network.
        trained: False where `build` left weights random, so that the classifier means nothing before it is trained.
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
    ) -> None:
        super().__init__()
        self.normalize, self.backbone, self.attention, self.head = normalize, backbone, attention, head
        self.num_classes, self.size, self.spec = num_classes, size, spec
        self.classes: tuple[str, ...] | None = None
        self.trained = True

    @property
    def channels(self) -> int:
        """Channels C of the images."""
        return self.normalize.channels

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images (N, C, H, W), float in [0, 1] → logits (N, K)."""
        x = self.features(images)
        return self.head(x) if self.attention is None else self.head(x, self.attention(x))

    def features(self, images: torch.Tensor) -> Any:
        """Images → the backbone's output: the last map (N, C, h, w), or what a wrapped network returns."""
        if images.ndim != 4 or images.shape[1] != self.channels or not images.is_floating_point():
            given = f"got {images.dtype} {tuple(images.shape)}"
            remedy = "divide bytes by 255, and repeat grey images three times for a network of three channels"
            raise InputError(f"images: expected a float tensor (N, {self.channels}, H, W) in [0, 1], {given}; {remedy}")
        if self.spec is not None and images.shape[2:] != (self.size, self.size):
            fault = f"this classifier was built for {self.size} × {self.size} px, got {tuple(images.shape[2:])}"
            raise InputError(f"images: {fault}; resize them or build with size={images.shape[-1]}")
        precision = next((part.dtype for part in self.backbone.parameters() if part.is_floating_point()), images.dtype)
        return self.backbone(self.normalize(images).to(precision))

    def in_order(self, classes: Sequence[str]) -> None:
        """Put the logits into the order of `classes`, by name.

        Raises:
            InputError: the network's classes are not known, or are others.
        """
        if self.classes is None:
            remedy = f"state them, to put them into the order {', '.join(classes)}"
            raise InputError(f"classes: the network's own names are not known; {remedy}")
        if not isinstance(self.head, Logits) or sorted(self.classes) != sorted(classes):
            why = f"and asked for are {', '.join(classes)}"
            raise InputError(f"classes: the network knows {', '.join(self.classes)}, {why}")
        order = [self.classes.index(name) for name in classes]
        self.head.reorder(order, single=self.num_classes == 1 and len(order) == 2)
        self.classes = tuple(classes)
        if self.spec is not None:
            self.spec["order"] = list(classes)

    def describe(self) -> str:
        """One line that names the architecture, for messages."""
        return f"the wrapped {type(self.backbone).__name__}" if self.spec is None else name_architecture(self.spec)
