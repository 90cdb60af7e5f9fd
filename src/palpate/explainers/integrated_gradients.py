"""Integrated Gradients (arXiv 1703.01365) through Captum: how much each pixel adds to the class's score on the way from a black image."""

from typing import Any

import torch
from captum.attr import IntegratedGradients
from torch import Tensor, nn

from palpate.core.errors import InputError
from palpate.core.registry import EXPLAINERS
from palpate.explainers.targets import join, predicted, target
from palpate.models.outputs import Logits
from palpate.models.predict import Images, evaluating


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
