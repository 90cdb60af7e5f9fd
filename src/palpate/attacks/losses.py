"""Losses that an attack raises: each a function of logits (N, K) and labels (N,), one number per image, larger is closer to fooled.

Cross-entropy is what the literature uses and what saturates: in float32 with two classes its gradient is zero beyond a
margin of about 100. The margin has the same gradient direction for K = 2 and never saturates.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Loss = Callable[[Tensor, Tensor], Tensor]


def others(logits: Tensor, labels: Tensor) -> Tensor:
    """The logits with the true class at −∞."""
    return logits.scatter(1, labels[:, None], float("-inf"))


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Best wrong logit minus true logit: max_{j≠y} z_j − z_y, positive where fooled. Everywhere in palpate's numerics it has this sign.

    >>> margin(torch.tensor([[3.0, 1.0], [0.0, 2.0]]), torch.tensor([0, 0]))
    tensor([-2., 2.])
    """
    return others(logits, labels).amax(1) - logits.gather(1, labels[:, None])[:, 0]


def margin_towards(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """The margin to each image's target class, z_t − z_y (N,), or to the best wrong class where the target is −1."""
    best = margin(logits, labels)
    if bool((targets < 0).all()):
        return best
    aimed = logits.gather(1, targets.clamp(min=0)[:, None])[:, 0] - logits.gather(1, labels[:, None])[:, 0]
    return torch.where(targets < 0, best, aimed)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """−log softmax(z)_y."""
    return F.cross_entropy(logits, labels, reduction="none")


def log_odds(logits: Tensor, labels: Tensor) -> Tensor:
    """log((1 − p_y) / p_y) = logsumexp_{j≠y} z_j − z_y, of which cross-entropy is the softplus log(1 + eˣ).

    It orders images as cross-entropy does and rises in the same direction, but its gradient never fades where the model is sure.

    >>> logits = torch.tensor([[900.0, 0.0, 1.0]])
    >>> cross_entropy(logits, torch.tensor([0])).item() == 0, round(log_odds(logits, torch.tensor([0])).item(), 3)
    (True, -898.687)
    """
    return others(logits, labels).logsumexp(1) - logits.gather(1, labels[:, None])[:, 0]


def rounding_tolerance(logits: Tensor, scale: float = 0.0) -> Tensor:
    """How far rounding may move a margin (N,): 2⁻¹⁶ (2⁻⁴⁰ in float64) of the image's largest logit, or of `scale` where that is larger.

    Logits of one image differ in their last digits with batch size, memory layout and fused layers, by a share of what was summed up
    to them. 2⁻¹⁶ is 128 units in the last place of float32, twice what `fuse.TOLERANCE` lets a fused network differ. What was summed up
    may be far larger than the image's own logits, hence `scale`, the usual size of the model's logits.
    """
    return (2.0**-40 if logits.dtype == torch.float64 else 2.0**-16) * logits.abs().amax(1).clamp(min=scale)


def certain_margin(logits: Tensor, labels: Tensor, scale: float = 0.0) -> Tensor:
    """The margin less its `rounding_tolerance` (N,): above 0 only where the image is still adversarial when predicted again."""
    return margin(logits, labels) - rounding_tolerance(logits, scale)


LOSSES: dict[str, Loss] = {"cross-entropy": cross_entropy, "log-odds": log_odds, "margin": margin}
