"""What a corruption is: a function (images, severity, generator) → images with its unit, range and source, registered by a decorator.

Severity is a number from 0, the identity, to `largest`, in the corruption's own unit. Where the literature writes the parameter another way, as
JPEG quality 100 … 1 or a contrast factor 1 … 0, it is `identity + direction · severity`, so that severities always rise.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from palpate.attacks.norms import seeded
from palpate.core.errors import InputError
from palpate.core.registry import CORRUPTIONS
from palpate.corruptions.published import stated

Function = Callable[[Tensor, float, torch.Generator], Tensor]
"""From images (N, C, H, W) in [0, 1], a severity above or equal to 0 and a generator to images of the same shape and precision in [0, 1]."""

PUBLISHED_SIDE = 224
"""Side in pixels of the images for which lengths in pixels are stated: those of MedMNIST-C and ImageNet-C."""


@dataclasses.dataclass(frozen=True)
class Corruption:
    """A registered corruption.

    Attributes:
        name: how users write it.   function: see `Function`; severity 0 must give the images to the bit.
        unit: of the severity, such as "degrees"; "px" for a length in pixels, whose range is stated for images of 224 pixels.
        largest: the end of the range of severities.
        source: where its form comes from.
        modality: what it is for: "general", "x-ray", "dermatoscopy", "fundus".
        identity, direction: the published parameter is identity + direction · severity.   parameter: what that parameter is called.
        signed: whether the function is given direction · severity, as one of two corruptions that it makes.
        step: severities are whole multiples of it; 0 where any number is allowed.
        stochastic: whether it draws random numbers.
        colour: whether it needs three channels.   eight_bit: whether it needs images of 256 grey levels.
        levels: severities at which others measure, by the name of their benchmark.
    """

    name: str
    function: Function
    unit: str
    largest: float
    source: str
    modality: str = "general"
    identity: float = 0.0
    direction: int = 1
    parameter: str = ""
    signed: bool = False
    step: float = 0.0
    stochastic: bool = False
    colour: bool = False
    eight_bit: bool = False
    levels: Mapping[str, tuple[float, ...]] = dataclasses.field(default_factory=dict)

    def range_of(self, side: int) -> float:
        """The largest severity for images of so many pixels a side."""
        return self.largest * side / PUBLISHED_SIDE if self.unit == "px" else self.largest

    def published(self, severity: float) -> float:
        """The parameter as the literature writes it.

        >>> CORRUPTIONS["jpeg"].published(40)
        60
        """
        return self.identity + self.direction * severity

    def anchors(self, side: int) -> dict[str, tuple[float, ...]]:
        """The levels of published benchmarks as severities for images of so many pixels a side."""
        scale = side / PUBLISHED_SIDE if self.unit == "px" else 1.0
        return {name: tuple(scale * level for level in levels) for name, levels in self.levels.items()}

    def default_severities(self, side: int) -> tuple[float, ...]:
        """Five severities that halve from the largest on, so that small ones are told apart as well as large ones."""
        found = {self.rounded(self.range_of(side) / 2**halving) for halving in range(5)}
        return tuple(sorted(found - {0.0}))

    def rounded(self, severity: float) -> float:
        """The nearest severity that the step allows, at least one step."""
        return max(round(severity / self.step), 1) * self.step if self.step else severity

    def __call__(self, images: Tensor, severity: float, generator: torch.Generator) -> Tensor:
        """The function itself."""
        return self.function(images, self.direction * severity if self.signed else severity, generator)


def corruption(name: str, **facts: Any) -> Callable[[Function], Function]:
    """Decorator that registers a function as a corruption; see `Corruption` for the facts, which facts.toml may hold instead.

    Raises:
        InputError: the name is taken.
    """

    def register(function: Function) -> Function:
        CORRUPTIONS.add(name, Corruption(name, function, **(stated(name) | facts)))
        return function

    return register


def find_corruption(value: "str | Corruption") -> Corruption:
    """The corruption of a name, or the corruption itself.

    Raises:
        InputError: no corruption of that name is registered, or what is registered is none.
    """
    found = CORRUPTIONS[value] if isinstance(value, str) else value
    if not isinstance(found, Corruption):
        raise InputError(f"corruption {value!r} must be a palpate.corruptions.corruption.Corruption, given {found!r}")
    return found


def severity_grid(
    corruption: Corruption, severities: Any, side: int, pixel_spacing: float | None = None
) -> tuple[float, ...]:
    """Severities as numbers in the corruption's unit, rising, without duplicates and without 0, the clean image.

    Args:
        corruption: whose range and step count.
        severities: numbers in its unit, or lengths such as "2 mm" where the unit is px; None for `default_severities`.
        side: of the images in pixels.
        pixel_spacing: millimetres per pixel; needed for lengths in mm.

    Raises:
        InputError: a severity outside the range, no whole step, not a number, or in millimetres without a pixel spacing.
    """
    if severities is None and pixel_spacing is None:
        return corruption.default_severities(side)
    given: Any = getattr(severities, "tolist", lambda: severities)()  # of an array or a tensor
    given = [given] if isinstance(given, int | float | str) else list(given or ())
    if pixel_spacing is not None:
        if not isinstance(pixel_spacing, int | float) or not 0 < pixel_spacing < float("inf"):
            raise InputError(f"pixel_spacing must be above 0, in millimetres per pixel, given {pixel_spacing!r}")
        if not any(isinstance(each, str) for each in given):
            remedy = 'write severities=["2 mm"], or leave it out'
            raise InputError(f"pixel_spacing is given without severities in mm; {remedy}")
    top, found, what = corruption.range_of(side), set(), f"severities of {corruption.name}"
    for each in given:
        value = in_pixels(each, corruption, pixel_spacing) if isinstance(each, str) else each
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
            raise InputError(f"{what} must be numbers ({corruption.unit}), given {each!r}")
        if not 0 <= value <= top * (1 + 1e-9):
            raise InputError(f"{what} must lie in [0, {top:g}] ({corruption.unit}), given {each!r}")
        if corruption.step and abs(value / corruption.step - round(value / corruption.step)) > 1e-9:
            raise InputError(f"{what} must be multiples of {corruption.step:g}, given {each!r}")
        found.add(float(value))
    if not found - {0.0}:
        raise InputError(f"{what} must hold at least one above 0, given {given}")
    return tuple(sorted(found - {0.0}))


def in_pixels(text: str, corruption: Corruption, pixel_spacing: float | None) -> float:
    """A number written as text, or a length in millimetres as pixels.

    Raises:
        InputError: as `severity_grid`.
    """
    match = re.fullmatch(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(mm)?\s*", text)
    if not match:
        raise InputError(f'severities of {corruption.name} must be numbers, or lengths such as "2 mm", given {text!r}')
    if not match[2]:
        return float(match[1])
    if corruption.unit != "px":
        raise InputError(f"severities of {corruption.name} are in {corruption.unit}, not a length, given {text!r}")
    if pixel_spacing is None:
        fault = f"{text!r} needs pixel_spacing, the millimetres per pixel of these images; give it, or write pixels"
        raise InputError(f"severities: {fault}")
    return float(match[1]) / pixel_spacing


def apply(
    corruption: Corruption, images: Tensor, severities: Any, draws: Any = 0, seed: int = 0, start: Any = 0
) -> Tensor:
    """Corrupt images one by one, so that no result depends on the others of a batch.

    An image whose channels are equal is corrupted as one of one channel, and stays grey, unless the corruption is one of colour.

    Args:
        corruption: what is done.
        images: (n, C, H, W) in [0, 1], on the CPU.
        severities: one for all, or one per image (n,); 0 for the image itself.
        draws: number of the draw, one for all or one per image (n,).
        seed: of all draws: the generator of an image depends on seed, place and draw alone.
        start: place of the first image among all; or the place of each (n,).

    Raises:
        InputError: the corruption raised, gave another shape, precision or range, or cannot be applied to such images.
    """
    count = len(images)
    severity = torch.as_tensor(severities, dtype=torch.float64).expand(count).tolist()
    draw = torch.as_tensor(draws).expand(count).tolist()
    places = torch.as_tensor(start)
    place = (places if places.ndim else places + torch.arange(count)).tolist()
    made = [_one(corruption, images[i : i + 1], severity[i], seeded(seed, place[i], draw[i])) for i in range(count)]
    return torch.cat(made) if made else images.clone()


def _one(corruption: Corruption, image: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    grey = not corruption.colour and image.shape[1] > 1 and bool((image == image[:, :1]).all())
    given = image[:, :1] if grey else image
    what = f"corruption {corruption.name!r} at severity {severity:g}"
    try:
        made = corruption(given.clone(), severity, generator)  # which may be changed in place
    except InputError:
        raise
    except Exception as error:  # whatever a stranger's code, or a codec, may raise
        reason = " ".join(str(error).split())[:200]
        fault = f"{what} raised {type(error).__name__} for images {tuple(given.shape)}: {reason}; correct it"
        raise InputError(f"{fault}, or leave it out") from error
    if not isinstance(made, Tensor) or made.shape != given.shape:
        shape = tuple(made.shape) if isinstance(made, Tensor) else type(made).__name__
        raise InputError(f"{what} must give images {tuple(given.shape)}, it gave {shape}")
    if made.dtype != given.dtype:
        raise InputError(f"{what} must give {given.dtype}, as it was given, it gave {made.dtype}")
    low, high = float(made.min()), float(made.max())
    if not (low >= 0 and high <= 1):
        raise InputError(f"{what} must give values in [0, 1], it gave {low:g} … {high:g}; clamp them")
    return made.expand_as(image) if grey else made


def check_fits(corruption: Corruption, example: Tensor) -> None:
    """Make sure that a corruption can be applied to images such as these (n, C, H, W).

    Raises:
        InputError: it needs three channels and there is one, or the images are grey; or it needs 256 grey levels and there are more.
    """
    if corruption.colour and (example.shape[1] != 3 or bool((example == example[:, :1]).all())):
        what = f"{example.shape[1]} channel{'s' * (example.shape[1] != 1)}" if example.shape[1] != 3 else "grey images"
        given = f"given {what}; leave it out"
        raise InputError(f"corruption {corruption.name!r} changes colours and needs three channels, {given}")
    if corruption.eight_bit and bool(((example.double() * 255).round() / 255 - example.double()).abs().max() > 1e-5):
        remedy = 'use "jpeg2000", which holds 16 bits, or round the images first: (images * 255).round() / 255'
        needed = "needs images of 256 grey levels, as its file format has, given finer values"
        raise InputError(f"corruption {corruption.name!r} {needed}; {remedy}")
