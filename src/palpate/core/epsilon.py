"""Epsilon, the radius of an attack: always a share of the image range [0, 1], however it was written."""

import math
import re
from typing import Any

from palpate.core.errors import InputError


def parse_epsilon(value: Any, norm: str = "linf") -> float:
    """Read an epsilon given as a number or as a fraction such as "2/255".

    Args:
        value: the epsilon, of images in [0, 1].
        norm: in "linf" no epsilon is above 1; in the others it may be any finite number.

    >>> parse_epsilon("2/255") == 2 / 255
    True

    Raises:
        InputError: not a number or fraction, negative, or in l∞ above 1 (images lie in [0, 1], so 8 grey levels are "8/255").
    """
    number: float | None = None
    if getattr(value, "ndim", None) == 0:  # a 0-d array or tensor
        value = value.item()
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value)
    elif isinstance(value, str):
        match = re.fullmatch(r"\s*([0-9.eE+-]+)\s*(?:/\s*([0-9.eE+-]+)\s*)?", value)
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
        raise InputError(
            f"epsilon must lie in [0, 1], the range of the images, given {value!r}; "
            f'write grey levels as a fraction, for example "{value}/255"'
        )
    return number


def epsilon_grid(epsilons: Any, norm: str = "linf") -> tuple[float, ...]:
    """Epsilons as `parse_epsilon` reads them, rising, without duplicates and without 0, at which the clean prediction always is.

    >>> epsilon_grid(["2/255", 0.25, 0, 0.25]) == (2 / 255, 0.25)
    True

    Raises:
        InputError: one of them cannot be read, or none is above 0.
    """
    if isinstance(epsilons, int | float | str) or getattr(epsilons, "ndim", None) == 0:
        epsilons = [epsilons]
    given = list(epsilons)
    grid = tuple(sorted({parse_epsilon(each, norm) for each in given} - {0.0}))
    if not grid:
        raise InputError(f'epsilons must hold at least one value above 0, such as "2/255", given {given}')
    return grid
