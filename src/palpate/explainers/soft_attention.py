"""The map of a classifier's own soft attention (arXiv 2105.03358)."""

from typing import Any

import torch
from torch import Tensor, nn

from palpate.core.errors import InputError
from palpate.core.registry import EXPLAINERS
from palpate.explainers.targets import enlarge, join, target
from palpate.models.adapt import OneFinding
from palpate.models.classifier import Classifier
from palpate.models.predict import Images, evaluating


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
