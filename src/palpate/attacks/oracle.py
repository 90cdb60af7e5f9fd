"""The model as an attack sees it: logits and gradients, counted per image and split into batches that fit.

Passes are the currency in which attacks are compared, so they are counted here and nowhere else, at the only door to the model.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from palpate.attacks.losses import Loss
from palpate.attacks.steps import input_gradient


class Oracle:
    """Answers for points (n, C, H, W) of images that are named by their place in the whole set.

    Args:
        model: frozen, in evaluation mode, on `device`.
        count: images in the whole set.
        batch: points per call of the model; it halves when memory runs out.
        draws: calls averaged per answer, for models that are not deterministic (expectation over transformation).
        exact: the same function in full precision, for answers on which a success rests; `model` when absent.

    Attributes:
        passes: forward and backward passes so far, per image (N, 2).
    """

    def __init__(
        self,
        model: Callable[[Tensor], Tensor],
        count: int,
        batch: int,
        draws: int = 1,
        exact: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.model, self.batch, self.draws, self.exact = model, batch, draws, exact
        self.passes = torch.zeros(count, 2, dtype=torch.long)

    def logits(self, points: Tensor, indices: Tensor) -> Tensor:
        """Logits (n, K), for one forward pass each, in full precision."""
        model = self.exact or self.model

        def ask(start: int, stop: int) -> tuple[Tensor, ...]:
            with torch.no_grad():
                return (sum_of(model(points[start:stop]) for _ in range(self.draws)) / self.draws,)

        self.passes[indices, 0] += self.draws
        return self._in_parts(len(points), ask)[0]

    def gradient(self, points: Tensor, labels: Tensor, indices: Tensor, loss: Loss) -> tuple[Tensor, Tensor]:
        """Logits (n, K) and the gradient of each image's loss (n, C, H, W), for one forward and one backward pass each."""

        def ask(start: int, stop: int) -> tuple[Tensor, ...]:
            part = slice(start, stop)
            answers = [input_gradient(self.model, points[part], labels[part], loss) for _ in range(self.draws)]
            if self.draws == 1:
                return answers[0][0], answers[0][2]
            return tuple(sum_of(answer[place] for answer in answers) / self.draws for place in (0, 2))

        self.passes[indices] += self.draws
        logits, gradient = self._in_parts(len(points), ask)
        return logits, gradient

    def _in_parts(self, count: int, ask: Callable[[int, int], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        parts, start = [], 0
        while start < count:
            try:
                parts.append(ask(start, min(start + self.batch, count)))
            except torch.OutOfMemoryError:
                if self.batch == 1:
                    raise
                self.batch = self.batch // 2
                torch.cuda.empty_cache()
                continue
            start += self.batch if start + self.batch < count else count
        return parts[0] if len(parts) == 1 else tuple(torch.cat(column) for column in zip(*parts, strict=True))


def sum_of(tensors) -> Tensor:
    """The sum of at least one tensor."""
    tensors = iter(tensors)
    total = next(tensors)
    for tensor in tensors:
        total = total + tensor
    return total
