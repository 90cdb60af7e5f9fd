"""The feature map that a class activation map is of: the one that the classifier pools, or one that is named."""

import dataclasses
import difflib
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from palpate.core.errors import InputError
from palpate.explainers.trace import Call, Keep, Reshape, layout, pooled_map
from palpate.models.adapt import OneFinding
from palpate.models.classifier import Classifier
from palpate.models.outputs import Logits
from palpate.models.predict import evaluating, one_message


class NoMap(InputError):
    """A network has no feature map through which all of its paths go."""


@dataclasses.dataclass(frozen=True)
class FeatureLayer:
    """A feature map inside a network.

    Attributes:
        name: the module that returns it, or the operation that makes it.
        shape: of the map (C, h, w).
        reshape: from what the network computes there to the map (N, C, h, w).
        module: the module that returns it, or None.
        call: the operation that makes it, where no module was named.
    """

    name: str
    shape: tuple[int, int, int]
    reshape: Reshape
    module: nn.Module | None
    call: Call | None = None

    def __str__(self) -> str:
        channels, height, width = self.shape
        return f"{self.name} ({channels} channels, {height} × {width})"

    def forward(self, model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
        """What the network computes there, as a leaf that takes a gradient, and the logits (N, K) computed from it.

        Parameters must be frozen. Nothing before the leaf is kept for a gradient.

        Raises:
            InputError: the module does not run, or returns no tensor.
        """
        kept: list[Tensor] = []

        def keep(output: Any, in_place: bool = False) -> Tensor:
            if not isinstance(output, Tensor):
                raise InputError(f"layer: {self.name!r} returns a {type(output).__name__}; name a layer inside it")
            kept.append((output.detach_() if in_place else output.detach()).requires_grad_())
            return kept[-1] if in_place else kept[-1].clone()  # so that no later operation in place changes it

        # A network may compute otherwise where the image takes a gradient, as it did when it was traced.
        for tracked in (False, True):
            with ExitStack() as stack, torch.enable_grad():
                given = images.detach().requires_grad_(tracked).clone()
                if self.call is not None:
                    stack.enter_context(Keep(self.call, keep))
                elif self.module is not None:
                    hook = self.module.register_forward_hook(lambda _module, _given, output: keep(output))
                    stack.callback(hook.remove)
                logits = Logits()(model(given))
            if kept:
                return kept[-1], logits  # of a module that runs twice the last output
        raise InputError(f"layer: {self.name!r} does not run; name another")


@one_message("layer: no feature map was found")
def find_layer(
    model: nn.Module, image: Tensor, name: str | None = None, reshape: Reshape | None = None
) -> FeatureLayer:
    """The feature map of a name, or the last one that the classifier pools.

    The latter is the last map through which every path from the image to the logits goes and of which every position counts: of a CNN what
    feeds the pooling, wherever in the code it is made; of a transformer that reads its class token, the tokens before the last attention,
    since behind it only the class token has a gradient.

    Args:
        model: from images (N, C, H, W) in [0, 1] to logits (N, K).
        image: one (C, H, W), for its size.
        name: "backbone" or None for the map that is pooled; "attention" for the map after soft attention; else the name of a module.
        reshape: from the output of the module named to a map (N, C, h, w), where its layout is none of (N, C, h, w), (N, h, w, C) and
            (N, L, C) with or without class tokens in front.

    Raises:
        InputError: no such module, no map, or an output whose layout is not known.
    """
    generator = torch.Generator().manual_seed(0)
    probe = torch.rand(2, *image.shape, generator=generator).to(image)
    with evaluating(model):
        module = _named(model, name)
        if module is None:
            if reshape is not None:
                raise InputError("reshape: is of the output of a layer; name the layer too")
            if (found := pooled_map(model, probe)) is None:
                fault = "no feature map that all of the network's paths go through was found"
                raise NoMap(f"layer: {fault}; name a layer, or use another method")
            node, laid = found
            return FeatureLayer(node.name, _shape(laid(node.tensor)), laid, node.module, node.call)
        layer = FeatureLayer(name or "backbone", (0, 0, 0), nn.Identity(), module)
        output, _ = layer.forward(model, probe)
    laid = reshape or layout(output, probe)
    if laid is None and output.ndim == 4 and output.shape[2:].numel() == 1:
        fault = f"the map of {layer.name!r} has one position for {image.shape[1]} × {image.shape[2]} px"
        why = "so that a class activation map of it is the same everywhere"
        remedy = "use larger images, an output_stride of 16 or 8, another layer, or method integrated-gradients"
        raise InputError(f"layer: {fault}, {why}; {remedy}")
    if laid is None:
        fault = f"the output {tuple(output.shape)} of {layer.name!r} has no known layout of a map; give reshape"
        raise InputError(f"layer: {fault}")
    maps = laid(output)
    if not isinstance(maps, Tensor) or maps.ndim != 4 or len(maps) != len(probe):
        fault = f"expected a map (N, C, h, w) of the output {tuple(output.shape)}, got {getattr(maps, 'shape', maps)}"
        raise InputError(f"reshape: {fault}")
    return dataclasses.replace(layer, shape=_shape(maps), reshape=laid)


def _shape(maps: Tensor) -> tuple[int, int, int]:
    _, channels, height, width = maps.shape
    return channels, height, width


def _named(model: nn.Module, name: str | None) -> nn.Module | None:
    """The module of a name; None where the map is to be found."""
    model = model.model if isinstance(model, OneFinding) else model
    built = isinstance(model, Classifier) and not isinstance(model.head, Logits)
    if name in (None, "backbone"):
        return model.get_submodule("backbone") if built else None
    modules = dict(model.named_modules())
    if isinstance(model, Classifier):
        modules = modules | dict(model.backbone.named_modules())
    found = modules.get(name)
    if found is not None:
        return found
    if name == "attention":
        raise InputError("layer: 'attention' is the map after soft attention, and this model has none; use 'backbone'")
    near = difflib.get_close_matches(name, modules, n=3)
    hint = f"near matches: {', '.join(near)}" if near else "see model.named_modules()"
    raise InputError(f"layer: expected 'backbone', 'attention' or the name of a module, given {name!r}; {hint}")
