"""Heads of other shapes as logits of classes: one sigmoid logit, or one finding of a multi-label head, becomes two classes."""

import torch
from torch import Tensor, nn


class OneFinding(nn.Module):
    """A sigmoid head as two logits (0, z), which have the same decision (class 1 where z > 0), margin and cross-entropy.

    Args:
        model: images (n, C, H, W) to logits (n, K), (n, 1) or (n,).
        column: the finding of a multi-label head. When absent, a single logit becomes two and K ≥ 2 logits stay as they are.

    >>> OneFinding(nn.Flatten())(torch.tensor([[[2.0]], [[-1.0]]]))
    tensor([[ 0.,  2.],
            [ 0., -1.]])
    """

    def __init__(self, model: nn.Module, column: int | None = None) -> None:
        super().__init__()
        self.model, self.column = model, column

    def forward(self, images: Tensor) -> Tensor:
        """(n, C, H, W) to (n, K), K ≥ 2."""
        output = self.model(images)
        if output.ndim == 2 and output.shape[1] > 1:
            if self.column is None:
                return output
            output = output[:, self.column]
        logit = output if output.ndim == 1 else output[:, 0]
        return torch.stack([torch.zeros_like(logit), logit], 1)


def as_logits_model(model: nn.Module, finding: int | None = None) -> nn.Module:
    """The model with K ≥ 2 logits, whatever its head: the one adapter that attacks and checks share.

    Args:
        model: images (n, C, H, W) to logits (n, K), (n, 1) or (n,).
        finding: column of a multi-label (sigmoid) head: class 1 where its logit is above 0.
    """
    return OneFinding(model, finding)
