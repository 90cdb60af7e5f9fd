"""Whose score a map explains, image by image; and how a coarse map becomes one of the image's size."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from palpate.core.errors import InputError
from palpate.models.predict import Images, as_tensor, device_of
from palpate.models.wrap import check_inputs


@dataclasses.dataclass(frozen=True)
class Target:
    """What to explain.

    Attributes:
        model: from images (N, C, H, W) to logits (N, K).
        images: (N, C, H, W) in [0, 1].
        classes: (N,), or None for those predicted.
    """

    model: nn.Module
    images: Images
    classes: Tensor | None

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Images on the model's device with their classes, `size` at a time; none of an empty set.

        Raises:
            InputError: the images cannot be sliced, or are not float (N, C, H, W).
        """
        device = device_of(self.model)
        for start in range(0, len(self.images), size):
            part = slice(start, start + size)
            try:
                batch = as_tensor(self.images[part])
            except TypeError as error:
                fault = "images must be a tensor or an array (N, C, H, W), or a sequence whose slices are such"
                raise InputError(f"{fault}, given {type(self.images).__name__}") from error
            if batch.ndim != 4 or not batch.is_floating_point():
                given = f"given {batch.dtype} {tuple(batch.shape)}; divide bytes by 255"
                raise InputError(f"images must be floats (N, C, H, W) in [0, 1], {given}")
            yield batch.to(device), None if self.classes is None else self.classes[part].to(device)

    def scores(self, logits: Tensor, classes: Tensor) -> Tensor:
        """The score (n,) of each image's class: its logit.

        A single logit z stands for two classes, whose scores are −z and z; so do the two logits (0, z), the first of which says nothing.

        Raises:
            InputError: a class that the model does not have.
        """
        count = max(logits.shape[1], 2)
        if not 0 <= int(classes.min()) <= int(classes.max()) < count:
            raise InputError(f"classes must lie in 0…{count - 1}, given {int(classes.min())}…{int(classes.max())}")
        if logits.shape[1] == 1:
            return logits[:, 0] * (2 * classes - 1)
        own = logits.gather(1, classes[:, None])[:, 0]
        if count > 2:
            return own
        return torch.where(own == 0, -logits.gather(1, 1 - classes[:, None])[:, 0], own)


def predicted(logits: Tensor) -> Tensor:
    """The predicted classes (n,) of logits (n, K)."""
    return (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(1)


def target(model: nn.Module, images: Images, classes: Any) -> Target:
    """Check and join what is to be explained.

    Raises:
        InputError: the model is no module or needs more than images, or classes are not one whole number per image.
    """
    check_inputs(model)
    if classes is not None:
        try:
            classes = torch.as_tensor(classes)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"classes must be whole numbers, one per image: {error}") from error
        if classes.shape != (len(images),) or classes.is_floating_point() or classes.dtype == torch.bool:
            given = f"given {classes.dtype} {tuple(classes.shape)}"
            raise InputError(f"classes must be whole numbers, one for each of {len(images)} images, {given}")
        classes = classes.long()
    return Target(model, images, classes)


def join(parts: list[Tensor], images: Images) -> Tensor:
    """The maps of all batches as (N, H, W) on the CPU; (0, H, W) where there are no images."""
    return torch.cat(parts) if parts else torch.zeros(0, *as_tensor(images[0:0]).shape[2:])


def enlarge(maps: Tensor, images: Tensor) -> Tensor:
    """Coarse maps (n, h, w) to the size of the images (n, C, H, W), bilinearly, as float32 on the CPU."""
    return nn.functional.interpolate(maps[:, None].float(), images.shape[-2:], mode="bilinear")[:, 0].detach().cpu()
