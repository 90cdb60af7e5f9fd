"""The explainers that palpate has: Grad-CAM of a feature map, integrated gradients of the image, and the map of soft attention."""

from typing import Any

import torch
from captum.attr import IntegratedGradients
from torch import Tensor, nn

from palpate.core.errors import InputError
from palpate.core.registry import EXPLAINERS
from palpate.explainers.layers import find_layer
from palpate.explainers.targets import enlarge, join, predicted, target
from palpate.explainers.trace import Reshape
from palpate.models.adapt import OneFinding
from palpate.models.classifier import Classifier
from palpate.models.outputs import Logits
from palpate.models.predict import Images, evaluating


@EXPLAINERS.register("grad-cam")
def grad_cam(
    model: nn.Module,
    images: Images,
    classes: Any = None,
    layer: str | None = None,
    batch_size: int = 32,
    reshape: Reshape | None = None,
) -> Tensor:
    """The gradient of a class's score, averaged over positions, as weights of a feature map's channels; summed, cut at 0, enlarged.

    Args:
        model, images, classes, batch_size: see `explain`.
        layer, reshape: which map, see `palpate.explainers.layers.find_layer`. The default is the same with and without soft attention.

    Returns:
        Maps (N, H, W), at least 0, not scaled. A map of zeros is empty: nothing on the layer speaks for the class.
    """
    asked = target(model, images, classes)
    found, parts = None, []
    for batch, chosen in asked.batches(batch_size):
        found = found or find_layer(asked.model, batch[0], layer, reshape)
        with evaluating(asked.model), torch.enable_grad():
            values, logits = found.forward(asked.model, batch)
            scores = asked.scores(logits, predicted(logits) if chosen is None else chosen)
            (gradient,) = torch.autograd.grad(scores.sum(), values, allow_unused=True)
        maps = found.reshape(values)
        weights = torch.zeros_like(maps) if gradient is None else found.reshape(gradient)
        coarse = (weights.mean((2, 3), keepdim=True) * maps).sum(1)
        parts.append(enlarge(coarse.clamp_min(0), batch))
    return join(parts, images)


@EXPLAINERS.register("integrated-gradients")
def integrated_gradients(
    model: nn.Module,
    images: Images,
    classes: Any = None,
    layer: str | None = None,
    batch_size: int = 32,
    steps: int = 50,
) -> Tensor:
    """The pixels' contributions, summed over channels and cut at 0.

    A pixel that is black contributes nothing, whatever it means.

    Args:
        model, images, classes: see `explain`.
        layer: refused, since the map is of the image itself.
        batch_size: images per pass; each image takes `steps` of them.
        steps: points of the integral.

    Returns:
        Maps (N, H, W), at least 0, not scaled.

    Raises:
        InputError: a layer is given, or classes do not fit.
    """
    if layer is not None:
        raise InputError(f"layer: integrated gradients are of the image itself, given {layer!r}; leave it out")
    asked, read, parts = target(model, images, classes), Logits(), []

    def score(points: Tensor, chosen: Tensor) -> Tensor:
        return asked.scores(read(asked.model(points)), chosen)

    for batch, chosen in asked.batches(batch_size):
        with evaluating(asked.model), torch.enable_grad():
            if chosen is None:
                with torch.no_grad():
                    chosen = predicted(read(asked.model(batch)))
            contributions = IntegratedGradients(score).attribute(
                batch, additional_forward_args=chosen, n_steps=steps, internal_batch_size=batch_size
            )
        parts.append(contributions.sum(1).clamp_min(0).detach().float().cpu())
    return join(parts, images)


@EXPLAINERS.register("soft-attention")
def soft_attention(
    model: nn.Module, images: Images, classes: Any = None, layer: str | None = None, batch_size: int = 32
) -> Tensor:
    """The weight that soft attention gives to each position, enlarged to the image. It is the same for every class.

    Args:
        model: a classifier built with soft attention.
        images, classes, batch_size: see `explain`.
        layer: refused, since there is one such map.

    Returns:
        Maps (N, H, W), at least 0; before enlarging they sum to the number of attention heads.

    Raises:
        InputError: the model has no soft attention, or a layer is given.
    """
    if layer is not None:
        raise InputError(f"layer: a classifier has one map of soft attention, given {layer!r}; leave it out")
    asked = target(model, images, classes)
    inner = model.model if isinstance(model, OneFinding) else model
    if not isinstance(inner, Classifier) or (attention := inner.attention) is None:
        raise InputError("method: this model has no soft attention; choose another, such as 'grad-cam'")
    parts: list[Tensor] = []
    for batch, _ in asked.batches(batch_size):
        with evaluating(asked.model), torch.no_grad():
            parts.append(enlarge(attention.attention_map(inner.features(batch)), batch))
    return join(parts, images)
