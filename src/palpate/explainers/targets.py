"""Whose score a map explains: a class, a finding or its absence; and how a coarse map becomes one of the image's size."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from palpate.core.errors import InputError
from palpate.models.adapt import OneFinding
from palpate.models.predict import Images, as_tensor, device_of


@dataclasses.dataclass(frozen=True)
class Target:
    """What to explain, image by image.

    Attributes:
        model: from images (N, C, H, W) to logits (N, K).
        column: the finding of a multi-label head that is explained as two classes, or None.
        images: (N, C, H, W) in [0, 1].
        classes: (N,), or None for those predicted.
    """

    model: nn.Module
    column: int | None
    images: Images
    classes: Tensor | None

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Images on the model's device with their classes, `size` at a time; none of an empty set."""
        device = device_of(self.model)
        for start in range(0, len(self.images), size):
            part = slice(start, start + size)
            classes = None if self.classes is None else self.classes[part].to(device)
            yield as_tensor(self.images[part]).to(device), classes

    def predicted(self, logits: Tensor) -> Tensor:
        """The predicted classes (n,) of logits (n, K)."""
        logits = self._column(logits)
        return (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(1)

    def scores(self, logits: Tensor, classes: Tensor) -> Tensor:
        """The score (n,) of each image's class: its logit; of a single logit z, z for class 1 and −z for class 0.

        Raises:
            InputError: a class that the model does not have.
        """
        logits = self._column(logits)
        count = max(logits.shape[1], 2)
        if not 0 <= int(classes.min()) <= int(classes.max()) < count:
            raise InputError(f"classes must lie in 0…{count - 1}, given {int(classes.min())}…{int(classes.max())}")
        return logits[:, 0] * (2 * classes - 1) if logits.shape[1] == 1 else logits.gather(1, classes[:, None])[:, 0]

    def _column(self, logits: Tensor) -> Tensor:
        return logits if self.column is None or logits.shape[1] == 1 else logits[:, [self.column]]


def target(model: nn.Module, images: Images, classes: Any) -> Target:
    """Check and join what is to be explained.

    Raises:
        InputError: the model is no module, or classes are not one whole number per image.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"model must be a torch.nn.Module, given {type(model).__name__}")
    if classes is not None:
        try:
            classes = torch.as_tensor(classes)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"classes must be whole numbers, one per image: {error}") from error
        if classes.shape != (len(images),) or classes.is_floating_point() or classes.dtype == torch.bool:
            raise InputError(
                f"classes must be whole numbers, one for each of {len(images)} images, given {classes.dtype} {tuple(classes.shape)}"
            )
        classes = classes.long()
    if isinstance(model, OneFinding):
        return Target(model.model, model.column, images, classes)
    return Target(model, None, images, classes)


def join(parts: list[Tensor], images: Images) -> Tensor:
    """The maps of all batches as (N, H, W) on the CPU; (0, H, W) where there are no images."""
    return torch.cat(parts) if parts else torch.zeros(0, *as_tensor(images[0:0]).shape[2:])


def enlarge(maps: Tensor, images: Tensor) -> Tensor:
    """Coarse maps (n, h, w) to the size of the images (n, C, H, W), bilinearly, as float32 on the CPU."""
    return F.interpolate(maps[:, None].float(), images.shape[-2:], mode="bilinear")[:, 0].detach().cpu()
