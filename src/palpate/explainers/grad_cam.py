"""Grad-CAM (arXiv 1610.02391, equations 1 and 2): which part of a feature map speaks for a class."""

from typing import Any

import torch
from torch import Tensor, nn

from palpate.core.registry import EXPLAINERS
from palpate.explainers.layers import find_layer
from palpate.explainers.targets import enlarge, join, predicted, target
from palpate.explainers.trace import Reshape
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
