"""Normalisation inside the classifier, so that images and epsilons outside it are in [0, 1] and mean one thing."""

from collections.abc import Sequence

import torch
from timm.models import get_pretrained_cfg
from torch import nn

from palpate.core.errors import InputError

# Mean and standard deviation per channel, RGB, of images in [0, 1].
NORMALIZATIONS = {
    # Keras' ResNet50, −123.68 … 151.06. Its BGR order is folded into the first convolution where weights are Keras'.
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


def by_name(name: str, timm_name: str) -> Normalize:
    """The normalisation of that name; "pretrained" is what timm's weights for `timm_name` were trained with."""
    if name in NORMALIZATIONS:
        return Normalize(*NORMALIZATIONS[name])
    cfg = get_pretrained_cfg(timm_name)
    if name != "pretrained" or cfg is None:
        raise InputError(f"normalization: expected one of {', '.join(NORMALIZATIONS)}, pretrained; got {name!r}")
    return Normalize(cfg.mean, cfg.std)
