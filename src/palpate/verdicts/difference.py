"""Whether two answers to one image are the same, whatever the scale of the logits and a number added to all of them."""

import torch
from torch import Tensor

ROUNDED = 1e-3
"""Share of the usual margin up to which two answers to one image are the same."""


def differ(logits: Tensor, others: Tensor, share: float) -> Tensor:
    """Which images (n,) have other logits (n, K) than `others`, by more than a share of the usual margin.

    Compared are differences of logits, so neither the scale of all logits nor a number added to all of them matters, and what float32 rounds away
    is no difference.
    """
    one, other = decisive(logits), decisive(others)
    usual = other.abs().amax(1).nan_to_num(0.0, 0.0, 0.0).median()
    rounding = 8 * torch.finfo(others.dtype).eps * others.abs().nan_to_num(0.0, 0.0, 0.0).amax(1, keepdim=True)
    allowed = share * (usual + other.abs()) + rounding
    same = (one == other) | ((one - other).abs() <= allowed) | (one.isnan() & other.isnan())
    return ~same.all(1)


def decisive(logits: Tensor) -> Tensor:
    """Logits (n, K) less the second largest of each image, where it is finite; a single column as it is."""
    if logits.shape[1] == 1:
        return logits
    return logits - logits.topk(2, dim=1).values[:, 1:].nan_to_num(0.0, 0.0, 0.0)
