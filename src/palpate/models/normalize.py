"""Normalisation inside the classifier, so that images and epsilons outside it are in [0, 1] and mean one thing."""

from collections.abc import Sequence

import torch
from torch import nn

from palpate.core.errors import InputError

# Mean and standard deviation per channel, RGB, of images in [0, 1].
NORMALIZATIONS = {
    # Grey levels 0–255 less ImageNet's mean, −123.68 … 151.06, as Caffe's networks had it (there in the order BGR).
    "caffe": ((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255,) * 3),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "inception": ((0.5,) * 3, (0.5,) * 3),  # −1 … 1
}


class Normalize(nn.Module):
    """(image − mean) / std per channel, as buffers, so that they travel with the weights.

    >>> Normalize(*NORMALIZATIONS["inception"])(torch.tensor([0.0, 0.5, 1.0]).view(1, 3, 1, 1)).flatten()
    tensor([-1.,  0.,  1.])
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        for name, values in (("mean", mean), ("std", std)):
            if len(values) != 3:
                raise InputError(f"{name}: expected three numbers, one per RGB channel in [0, 1] units, got {values!r}")
        if min(std) <= 0:
            raise InputError(f"std: expected three positive numbers, got {std!r}")
        self.register_buffer("mean", torch.tensor(list(mean), dtype=torch.float32).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(list(std), dtype=torch.float32).view(1, 3, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (images - self.mean) / self.std


def normalization_by_name(name: str, pretrained: tuple[Sequence[float], Sequence[float]] | None = None) -> Normalize:
    """The normalisation of that name; "pretrained" is what the backbone's published weights were trained with.

    Raises:
        InputError: an unknown name, or "pretrained" for a backbone without published weights.
    """
    known = NORMALIZATIONS if pretrained is None else NORMALIZATIONS | {"pretrained": pretrained}
    if name not in known:
        raise InputError(f"normalization: expected one of {', '.join(known)}; got {name!r}")
    return Normalize(*known[name])
