"""The model as an attack sees it: logits and gradients, counted per image and split into batches that fit.

Passes are the currency in which attacks are compared, so they are counted here and nowhere else, at the only door to the model.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from palpate.attacks.losses import sure_margin

Model = Callable[[Tensor], Tensor]


class Oracle:
    """Answers for points (n, C, H, W) of images that are named by their place in a chunk.

    Args:
        model: from images (n, C, H, W) to logits (n, K), K ≥ 2; frozen, in evaluation mode.
        count: images in the chunk.
        batch: points per call of the model; it halves when memory runs out.
        draws: calls averaged per answer, for models that are not deterministic (expectation over transformation).
        exact: the same function in full precision, where `model` is not; on it every success rests.
        scale: the usual size of the model's logits, for `sure`.

    Attributes:
        passes: forward and backward passes so far, per image (N, 2), on the CPU.
    """

    def __init__(
        self, model: Model, count: int, batch: int, draws: int = 1, exact: Model | None = None, scale: float = 0.0
    ) -> None:
        self.model, self.batch, self.draws, self.exact, self.scale = model, batch, draws, exact, scale
        self.passes = torch.zeros(count, 2, dtype=torch.long)

    def _count(self, image: Tensor, forward: int, backward: int) -> None:
        rows = torch.bincount(image.cpu(), minlength=len(self.passes))
        self.passes += rows[:, None] * torch.tensor([forward, backward]) * self.draws

    def sure(self, logits: Tensor, label: Tensor) -> Tensor:
        """The margin (n,) less the doubt of rounding: above 0 only where the image is still adversarial when predicted again."""
        return sure_margin(logits, label, self.scale)

    def logits(self, points: Tensor, image: Tensor) -> Tensor:
        """Logits (n, K) in full precision, for one forward pass each."""
        model = self.exact or self.model

        def ask(part: slice) -> tuple[Tensor, ...]:
            with torch.no_grad():
                return (_mean([model(points[part]) for _ in range(self.draws)]),)

        self._count(image, 1, 0)
        return self._in_parts(len(points), ask)[0]

    def gradient(
        self, points: Tensor, image: Tensor, loss: Callable[..., Tensor], *given: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (n, K), losses loss(logits, *given) (n,) and their gradients (n, C, H, W): one forward, one backward pass each.

        The tensors in `given`, labels for example, have an entry per point.
        """

        def ask(part: slice) -> tuple[Tensor, ...]:
            answers = []
            for _ in range(self.draws):
                leaf = points[part].detach().requires_grad_(True)
                logits = self.model(leaf)
                values = loss(logits, *(each[part] for each in given))
                (gradient,) = torch.autograd.grad(values.sum(), leaf)
                answers.append((logits.detach(), values.detach(), gradient))
            return tuple(_mean(list(column)) for column in zip(*answers, strict=True))

        self._count(image, 1, 1)
        logits, values, gradient = self._in_parts(len(points), ask)
        return logits, values, gradient

    def class_gradients(self, points: Tensor, label: Tensor, image: Tensor, most: int) -> tuple[Tensor, Tensor, Tensor]:
        """Towards the wrong classes of largest logit: logits (n, K), classes (n, k) and gradients of z_class − z_label (k, n, C, H, W).

        One forward and k = min(most, K − 1) backward passes each.
        """

        def ask(part: slice) -> tuple[Tensor, ...]:
            answers = []
            for _ in range(self.draws):
                leaf = points[part].detach().requires_grad_(True)
                logits = self.model(leaf)
                count = min(most, logits.shape[1] - 1)
                true = logits.gather(1, label[part][:, None])
                if not answers:  # the classes must stay the same for every draw
                    wrong = logits.detach().nan_to_num(nan=-1e30).scatter(1, label[part][:, None], float("-inf"))
                    classes = wrong.topk(count, dim=1).indices
                gaps = (logits.gather(1, classes) - true).sum(0)
                gradients = [
                    torch.autograd.grad(gap, leaf, retain_graph=rank + 1 < count)[0] for rank, gap in enumerate(gaps)
                ]
                answers.append((logits.detach(), torch.stack(gradients, 1)))
            logits, gradients = (_mean(list(column)) for column in zip(*answers, strict=True))
            return logits, classes, gradients

        logits, classes, gradients = self._in_parts(len(points), ask)
        self._count(image, 1, classes.shape[1])
        return logits, classes, gradients.transpose(0, 1)

    def confirmed(
        self, points: Tensor, fooled: Tensor, image: Tensor, check: Callable[[Tensor, Tensor], Tensor]
    ) -> Tensor:
        """Of the rows that seem to fool, those that do so in full precision; one more forward pass for each of them."""
        if self.exact is None or not bool(fooled.any()):
            return fooled
        rows = fooled.nonzero()[:, 0]
        result = fooled.clone()
        result[rows] = check(self.logits(points[rows], image[rows]), rows)
        return result

    def _in_parts(self, count: int, ask: Callable[[slice], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        parts, start = [], 0
        while start < count:
            stop = min(start + self.batch, count)
            try:
                parts.append(ask(slice(start, stop)))
            except torch.OutOfMemoryError:
                if self.batch == 1:
                    raise
                self.batch //= 2
                torch.cuda.empty_cache()
                continue
            start = stop
        return parts[0] if len(parts) == 1 else tuple(torch.cat(column) for column in zip(*parts, strict=True))


def _mean(tensors: list[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.stack(tensors).mean(0)
