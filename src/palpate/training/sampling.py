"""Which training images an epoch sees, in which order, turned how, and what each class weighs."""

from collections.abc import Iterator

import torch
from torch import Tensor

from palpate.core.errors import InputError


def class_weights(counts: Tensor, kind: str | dict[str, float], classes: tuple[str, ...] = ()) -> Tensor:
    """Weights of the classes in the loss: "inverse" is N / (K·n_c), "sqrt-inverse" its root, "none" ones; or by name, the others 1.

    >>> class_weights(torch.tensor([1, 3]), "inverse").tolist()
    [2.0, 0.6666666865348816]

    Raises:
        InputError: a name is no class of the task.
    """
    if isinstance(kind, dict):
        unknown = sorted(kind.keys() - set(classes))
        if unknown:
            given = f"given {', '.join(unknown)}"
            raise InputError(f"class_weights must name classes of the task ({', '.join(classes)}), {given}")
        return torch.tensor([kind.get(name, 1.0) for name in classes])
    if kind == "none":
        return torch.ones(len(counts))
    inverse = counts.sum() / (len(counts) * counts.float())
    return inverse if kind == "inverse" else inverse.sqrt()


def class_counts(labels: Tensor, classes: tuple[str, ...]) -> Tensor:
    """Training images per class (K,); InputError where a class has none."""
    counts = torch.bincount(labels, minlength=len(classes))
    absent = [name for name, count in zip(classes, counts.tolist(), strict=True) if count == 0]
    if absent:
        remedy = "raise train_images or merge classes"
        raise InputError(f"every class must have training images, none for: {', '.join(absent)}; {remedy}")
    return counts


def draw(labels: Tensor, size: int, sampling: str, generator: torch.Generator) -> Tensor:
    """The epoch's images as indices (size,): a shuffle, or drawn with replacement with weight n_c^(-1/2)."""
    if sampling == "uniform":
        return torch.randperm(len(labels), generator=generator)[:size]
    chances = torch.bincount(labels).float().rsqrt()[labels]
    return torch.multinomial(chances, size, replacement=True, generator=generator)


def batches(order: Tensor, batch_size: int) -> Iterator[Tensor]:
    """Cut an epoch into batches; a last batch of one image is left out, since batch norm cannot work on it."""
    for batch in order.split(batch_size):
        if len(batch) > 1 or len(order) == 1:
            yield batch


def flips(count: int, generator: torch.Generator) -> Tensor:
    """Draw which of the three turns of `flip` each image gets (3, count)."""
    return torch.rand(3, count, generator=generator) < 0.5


def flip(images: Tensor, draws: Tensor) -> Tensor:
    """Flip and transpose those images (N, C, S, S) that are drawn (3, N): the eight symmetries of the square."""
    turns = (lambda x: x.flip(3), lambda x: x.flip(2), lambda x: x.transpose(2, 3))
    for draw, turned in zip(draws, turns, strict=True):
        images = torch.where(draw[:, None, None, None], turned(images), images)
    return images
