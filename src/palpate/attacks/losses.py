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


def unusable(logits: Tensor) -> Tensor:
    """Which answers (N,) are none: NaN, or +∞, next to which nothing compares. −∞ is a legal logit, of a class that cannot win."""
    return ~(logits < float("inf")).all(1)


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Best wrong logit minus true logit: max_{j≠y} z_j − z_y, positive where fooled. Everywhere in palpate's numerics it has this sign.

    >>> margin(torch.tensor([[3.0, 1.0], [0.0, 2.0]]), torch.tensor([0, 0]))
    tensor([-2., 2.])
    """
    return others(logits, labels).amax(1) - logits.gather(1, labels[:, None])[:, 0]


def one_against_rest(logits: Tensor, targets: Tensor) -> Tensor:
    """Logits (N, 2): the best of all other classes, and the target class. Class 1 has the larger one where the prediction is the target.

    >>> one_against_rest(torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([2]))
    tensor([[3., 2.]])
    """
    return torch.stack([others(logits, targets).amax(1), logits.gather(1, targets[:, None])[:, 0]], 1)


def wrong_by_logit(logits: Tensor, labels: Tensor, most: int, still: Tensor | None = None) -> Tensor:
    """The wrong classes to aim at (N, k), at most so many, by descending logit.

    Args:
        logits: (N, K).
        labels: (N,).
        most: how many.
        still: (K,) classes that are never aimed at, unless one is the best wrong class; none when absent.

    >>> wrong_by_logit(torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([0]), 9).tolist()
    [[2, 1]]
    """
    least = torch.finfo(logits.dtype).min  # of a class at −∞, too, so that it comes before the true one
    wrong = logits.detach().nan_to_num(nan=least, neginf=least).scatter(1, labels[:, None], float("-inf"))
    count = logits.shape[1] - 1
    if still is not None:
        count -= int(still.sum())
        never = still.to(wrong.device).expand_as(wrong).scatter(1, wrong.argmax(1, keepdim=True), False)
        wrong = wrong.masked_fill(never, least).scatter(1, labels[:, None], float("-inf"))
    return wrong.topk(min(most, count), dim=1).indices


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


LEAD = 8.0
"""By how much the true logit leads at the clean image after `scaled_log_odds` has scaled it: about as in trained networks of two to ten classes."""


def scaled_log_odds(logits: Tensor, labels: Tensor, lead: Tensor) -> Tensor:
    """The log-odds of logits that are scaled so that the true one leads by `LEAD` at the clean image, where it leads by `lead` (N,), above 0.

    Of more than two classes the log-odds of the logits themselves rise along other directions when all logits are multiplied by a number.
    """
    return log_odds(logits * (LEAD / lead).to(logits)[:, None], labels)


def rounding_tolerance(logits: Tensor, labels: Tensor) -> Tensor:
    """How far rounding may move a margin (N,), float64: half a unit in the last place of the larger of the two logits that form it.

    Nothing else counts: neither a logit that cannot win, such as a masked class at −1e9 or −∞, nor the size of other images' logits. A difference
    of batch, memory layout or fused layers may be larger; it is dealt with where a result is predicted again.
    """
    best, true = others(logits, labels).amax(1), logits.gather(1, labels[:, None])[:, 0]
    larger = torch.maximum(*(each.double().abs().nan_to_num(posinf=0.0) for each in (best, true)))
    return torch.finfo(logits.dtype).eps / 2 * larger


def certain_margin(logits: Tensor, labels: Tensor) -> Tensor:
    """The margin less its `rounding_tolerance` (N,), float64: above 0 only where the best wrong logit is really the larger one."""
    return margin(logits.double(), labels) - rounding_tolerance(logits, labels)


LOSSES: dict[str, Loss] = {"cross-entropy": cross_entropy, "log-odds": log_odds, "margin": margin}
