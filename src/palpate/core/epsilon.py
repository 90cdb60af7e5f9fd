"""Epsilon, the radius of an attack: always a share of the image range [0, 1], however it was written; and what it is in the unit of the files."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Real
from typing import Any

from palpate.core.errors import InputError

_NUMBER = r"[0-9.eE+-]+"
_IN_UNIT = re.compile(rf"\s*({_NUMBER})\s*([^\W\d_][\w%]*)\s*")


@dataclass(frozen=True)
class Scale:
    """What images in [0, 1] mean in the values of their files.

    Attributes:
        low, high: the values that became 0 and 1.   unit: their unit, "HU" for example, or "".
        levels: how many values the files can hold from 0 to 1; None of floating point numbers.

    >>> Scale(-1024, 3071, "HU", 4096).written(8 / 4095), Scale().written(2 / 255), Scale(0, 4095, "", 4096).written(16 / 4095)
    ('8 HU', '2/255', '16/4095')
    """

    low: float = 0.0
    high: float = 255.0
    unit: str = ""
    levels: int | None = 256

    @property
    def steps(self) -> int:
        """Between 0 and 1; 255 where the files hold floating point numbers."""
        return (self.levels or 256) - 1

    @property
    def name(self) -> str:
        """What `amount` counts."""
        return self.unit or f"grey levels of {self.steps}"

    def amount(self, epsilon: float) -> str:
        """An epsilon as a number of the unit, or of levels where there is none."""
        return f"{epsilon * ((self.high - self.low) if self.unit else self.steps):.3g}"

    def written(self, epsilon: float) -> str:
        """An epsilon in the unit of the files, or in their levels."""
        return f"{self.amount(epsilon)} {self.unit}" if self.unit else f"{self.amount(epsilon)}/{self.steps}"


def scale_of(images: Any) -> Scale | None:
    """The scale of the images of a data set, or None of images that do not know theirs, such as a tensor."""
    return getattr(images, "scale", None)


def in_unit(value: Any) -> bool:
    """Whether an epsilon is written in a unit, as "8 HU" is."""
    return isinstance(value, str) and _IN_UNIT.fullmatch(value) is not None


def parse_epsilon(value: Any, norm: str = "linf", scale: Scale | None = None) -> float:
    """Read an epsilon given as a number, as a fraction such as "2/255", or in the unit of the images such as "8 HU".

    Args:
        value: the epsilon, of images in [0, 1] unless it has a unit.
        norm: in "linf" no epsilon is above 1; in all others, or "any", it may be any finite number.
        scale: of the images, where it is known; an epsilon in a unit needs it.

    >>> parse_epsilon("2/255") == 2 / 255, parse_epsilon("8 HU", scale=Scale(-1024, 3071, "HU", 4096)) == 8 / 4095
    (True, True)

    Raises:
        InputError: not a number or fraction, negative, or in l∞ above 1 (images lie in [0, 1], so 8 grey levels are "8/255"); a unit that is not
            that of the images.
    """
    if in_unit(value):
        return parse_epsilon(_from_unit(value, scale), norm)
    number: float | None = None
    if getattr(value, "ndim", None) == 0:  # a 0-d array or tensor
        value = value.item()
    if isinstance(value, Real) and not isinstance(value, bool):
        number = float(value)
    elif isinstance(value, str):
        match = re.fullmatch(rf"\s*({_NUMBER})\s*(?:/\s*({_NUMBER})\s*)?", value)
        try:
            if match:
                number = float(match[1]) / float(match[2] or 1)
        except (ValueError, ZeroDivisionError):
            number = None
    if number is None or number != number:
        raise InputError(f'epsilon must be a number in [0, 1] or a fraction such as "2/255", given {value!r}')
    if norm != "linf" and not (number >= 0 and math.isfinite(number)):
        raise InputError(f"epsilon must be finite and not negative, given {value!r}")
    if norm == "linf" and not 0 <= number <= 1:
        levels = f"{value:g}" if isinstance(value, float) else value
        remedy = f'write grey levels as a fraction, for example "{levels}/255"'
        raise InputError(f"epsilon must lie in [0, 1], the range of the images, given {value!r}; {remedy}")
    return number


def _from_unit(value: str, scale: Scale | None) -> float:
    """An epsilon in a unit as a share of the images' range."""
    match = _IN_UNIT.fullmatch(value)
    assert match is not None
    unit = scale.unit if scale else ""
    if scale is None or match[2].casefold() != unit.casefold():
        known = f"the unit of these images is {unit or 'not known'}"
        share = f'a share of their range, such as "{match[1]}/4095", or state unit=…'
        remedy = f'"{match[1]} {unit}"' if unit else share
        raise InputError(f"epsilon is in {match[2]} and {known}; write {remedy}, given {value!r}")
    try:
        return float(match[1]) / (scale.high - scale.low)
    except ValueError:
        raise InputError(f'epsilon must be a number before its unit, such as "8 {unit}", given {value!r}') from None


def epsilon_grid(epsilons: Any, norm: str = "linf", scale: Scale | None = None) -> tuple[float, ...]:
    """Epsilons as `parse_epsilon` reads them, rising, without duplicates and without 0, at which the clean prediction always is.

    >>> epsilon_grid(["2/255", 0.25, 0, 0.25]) == (2 / 255, 0.25)
    True

    Raises:
        InputError: one of them cannot be read, or none is above 0.
    """
    if isinstance(epsilons, Real | str) or getattr(epsilons, "ndim", None) == 0:
        epsilons = [epsilons]
    if not isinstance(epsilons, Iterable):
        raise InputError(f'epsilons must be numbers or fractions such as "2/255", given {epsilons!r}')
    given = list(epsilons)
    grid = tuple(sorted({parse_epsilon(each, norm, scale) for each in given} - {0.0}))
    if not grid:
        raise InputError(f'epsilons must hold at least one value above 0, such as "2/255", given {given}')
    return grid
