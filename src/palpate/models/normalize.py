"""Normalisation inside the classifier, so that images and epsilons outside it are in [0, 1] and mean one thing."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from palpate.core.errors import InputError

PerChannel = float | Sequence[float]

# Mean and standard deviation per channel, RGB, of images in [0, 1].
NORMALIZATIONS: dict[str, tuple[Sequence[float], Sequence[float]]] = {
    # Grey levels 0–255 less ImageNet's mean, −123.68 … 151.06, as Caffe's networks had it (there in the order BGR).
    "caffe": ((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255,) * 3),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "inception": ((0.5,) * 3, (0.5,) * 3),  # −1 … 1
}


class Normalize(torch.nn.Module):
    """(v − mean) / std per channel, where v runs over `value_range` as the image runs over [0, 1].

    Both are folded into one mean and one standard deviation in units of images in [0, 1], kept as buffers (1, C, 1, 1), so that they travel
    with the weights.

    Args:
        mean, std: a number for each channel, or one for all, in units of `value_range`; std above 0.
        value_range: the least and the greatest value that a pixel can have: (0, 255), (−1, 1), (−1024, 1024) …
        window: centre and width, in units of `value_range`, as DICOM's LINEAR_EXACT (PS3.3 C.11.2.1.3.2): values outside are cut off, and v
            becomes 0 … 1 over the window, which are then the units of mean and std. It belongs to the network: gradients go through it.
        channels: how many, where it is not the length of mean or std; 3 where nothing says.

    Raises:
        InputError: lengths that differ, a std that is not positive, a range that does not rise, or a window without width.

    >>> Normalize(*NORMALIZATIONS["inception"])(torch.tensor([0.0, 0.5, 1.0]).view(1, 3, 1, 1)).flatten()
    tensor([-1.,  0.,  1.])
    >>> Normalize(value_range=(-1024, 1024), channels=1)(torch.tensor([0.0, 0.75]).view(2, 1, 1, 1)).flatten()
    tensor([-1024.,   512.])
    >>> Normalize(value_range=(-1024, 1024), window=(40, 400), channels=1)(torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1, 1)).flatten()
    tensor([0.0000, 0.4000, 1.0000])
    """

    mean: torch.Tensor
    std: torch.Tensor
    window: torch.Tensor | None

    def __init__(
        self,
        mean: PerChannel = 0.0,
        std: PerChannel = 1.0,
        value_range: Sequence[float] = (0.0, 1.0),
        channels: int | None = None,
        window: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        counts = [len(values) for values in (mean, std) if isinstance(values, Sequence)]
        channels = channels or next(iter(counts), 3)
        low, high = _range(value_range)
        ends = None if window is None else torch.tensor(_window(window, low, high))
        self.register_buffer("window", ends)  # its ends in units of the image
        low, high = (0.0, 1.0) if window is not None else (low, high)
        for name, values in (("mean", mean), ("std", std)):
            each = list(values) if isinstance(values, Sequence) else [values] * channels
            if len(each) != channels or not all(math.isfinite(value) for value in each):
                raise InputError(f"{name}: expected a number for each of {channels} channels, got {values!r}")
            if name == "std" and min(each) <= 0:
                raise InputError(f"std: expected positive numbers, got {values!r}")
            share = [(value - low if name == "mean" else value) / (high - low) for value in each]
            self.register_buffer(name, torch.tensor(share, dtype=torch.float32).view(1, channels, 1, 1))

    @property
    def channels(self) -> int:
        """Channels of the images."""
        return self.mean.shape[1]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.window is not None:
            images = ((images - self.window[0]) / (self.window[1] - self.window[0])).clamp(0, 1)
        return (images - self.mean) / self.std


def _range(value: Sequence[float]) -> tuple[float, float]:
    if len(value) != 2 or not all(map(math.isfinite, value)) or not value[0] < value[1]:
        raise InputError(f"value_range: expected the least and the greatest value, such as (0, 255), got {value!r}")
    return float(value[0]), float(value[1])


def _window(value: Sequence[float], low: float, high: float) -> tuple[float, float]:
    """The ends of a window, given by centre and width, as shares of the value range."""
    if len(value) != 2 or not all(map(math.isfinite, value)) or value[1] <= 0:
        raise InputError(f"window: expected a centre and a width above 0, such as (40, 400), got {value!r}")
    centre, width = value
    ends = (centre - width / 2 - low) / (high - low), (centre + width / 2 - low) / (high - low)
    if ends[0] >= 1 or ends[1] <= 0:
        raise InputError(f"window: {value!r} lies outside the value range {low:g} to {high:g}; state both in one unit")
    return ends


def make_normalize(
    normalization: str | Mapping[str, Any],
    channels: int | None = None,
    pretrained: tuple[Sequence[float], Sequence[float]] | None = None,
) -> Normalize:
    """The normalisation of a name, or with the arguments of `Normalize`.

    Args:
        normalization: a key of `NORMALIZATIONS`; "pretrained", what the backbone's published weights were trained with; or a mapping with
            "mean" and "std", "value_range", or all three; with a "value_range" also "window".
        channels: of the images, where mean and std do not tell; a named normalisation of three channels is averaged for images of one.
        pretrained: mean and standard deviation of the published weights.

    Raises:
        InputError: an unknown name or key, or numbers that do not fit.
    """
    if isinstance(normalization, Mapping):
        unknown = normalization.keys() - {"mean", "std", "value_range", "window"}
        if "window" in normalization and "value_range" not in normalization:
            remedy = "state that, too, as (-1024, 3071) for Hounsfield units"
            raise InputError(f"window: is in units of value_range; {remedy}")
        if unknown or ("mean" in normalization) != ("std" in normalization) or not normalization:
            takes = "mean and std, value_range, or all three; value_range=(0, 1) for images as they are"
            given = f"given {', '.join(normalization) or 'nothing'}"
            raise InputError(f"normalization: state what the network takes: {takes}; {given}")
        return Normalize(**normalization, channels=channels)
    known = NORMALIZATIONS if pretrained is None else NORMALIZATIONS | {"pretrained": pretrained}
    if normalization not in known:
        raise InputError(f"normalization: expected one of {', '.join(known)}; got {normalization!r}")
    mean, std = known[normalization]
    if channels == 1:
        mean, std = sum(mean) / len(mean), sum(std) / len(std)
    elif channels not in (None, len(mean)):
        fault = f"{normalization!r} is of {len(mean)} channels, and the images have {channels}"
        raise InputError(f"normalization: {fault}; give mean and std of each, or value_range")
    return Normalize(mean, std, channels=channels)
