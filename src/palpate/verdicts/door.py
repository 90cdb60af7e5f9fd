"""The only door through which checks reach a model: it counts passes, keeps the budget, and speaks of classes where a head has one logit.

A check that looks at the model without being counted would make the budget a lie, so none can.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from palpate.attacks.losses import Loss


class NotRun(Exception):
    """A check cannot be made; the message says why, as the end of a sentence."""


class Ledger:
    """Passes spent, forward and backward apart, and how many of both together may be.

    >>> ledger = Ledger(10)
    >>> ledger.spend(6, 2)
    >>> ledger.left
    2
    """

    def __init__(self, budget: int) -> None:
        self.budget, self.forward, self.backward = budget, 0, 0

    @property
    def left(self) -> int:
        """Passes that may still be spent."""
        return self.budget - self.forward - self.backward

    def need(self, passes: int) -> None:
        """Stop a check before it starts what it could not finish.

        Raises:
            NotRun: fewer passes are left.
        """
        if passes > self.left:
            raise NotRun(f"it needs up to {passes} passes and {self.left} of {self.budget} are left; raise budget")

    def spend(self, forward: int, backward: int = 0) -> None:
        """Count passes, one per image.

        Raises:
            NotRun: they would exceed the budget; nothing is counted.
        """
        self.need(forward + backward)
        self.forward += forward
        self.backward += backward


class Door:
    """A model as the checks see it: logits (n, K) with K ≥ 2, and gradients, both counted.

    Args:
        model: frozen, images (n, C, H, W) to logits (n, K), (n, 1) or (n,). A single logit z becomes the pair (0, z), which has the same
            decision, margin and cross-entropy.
        ledger: where passes are counted.
        batch: images per call.
    """

    def __init__(self, model: Callable[[Tensor], Tensor], ledger: Ledger, batch: int = 64) -> None:
        self.model, self.ledger, self.batch = model, ledger, batch

    def raw(self, points: Tensor) -> Tensor:
        """The model's own outputs, on its device, for one forward pass each."""
        self.ledger.spend(len(points))
        with torch.no_grad():
            return torch.cat([self.model(part) for part in points.split(self.batch)])

    def logits(self, points: Tensor) -> Tensor:
        """Logits (n, K), for one forward pass each."""
        return as_classes(self.raw(points))

    def gradient(self, points: Tensor, labels: Tensor, loss: Loss) -> tuple[Tensor, Tensor]:
        """Logits (n, K) and the gradient of each image's loss (n, C, H, W), for one forward and one backward pass each.

        Where the output does not depend on the input in a differentiable way the gradient is zero, as it is for an attack.
        """
        self.ledger.spend(len(points), len(points))
        answers, gradients = [], []
        for part, truth in zip(points.split(self.batch), labels.split(self.batch), strict=True):
            with torch.enable_grad():
                leaf = part.detach().requires_grad_(True)
                logits = as_classes(self.model(leaf))
                values = loss(logits, truth)
                if values.requires_grad:
                    (slope,) = torch.autograd.grad(values.sum(), leaf, allow_unused=True)
                else:
                    slope = None
            answers.append(logits.detach())
            gradients.append(torch.zeros_like(part) if slope is None else slope)
        return torch.cat(answers), torch.cat(gradients)


def as_classes(outputs: Tensor) -> Tensor:
    """Logits (n, K), K ≥ 2, from what a model returned: a single logit z (n,) or (n, 1) becomes (0, z).

    >>> as_classes(torch.tensor([[2.0], [-1.0]]))
    tensor([[ 0.,  2.],
            [ 0., -1.]])
    """
    if outputs.ndim == 1:
        outputs = outputs[:, None]
    if outputs.shape[1] > 1:
        return outputs
    return torch.cat([torch.zeros_like(outputs), outputs], 1)
