"""Epsilon, the radius of an attack: always a share of the image range [0, 1], however it was written."""

import re
from typing import Any

from palpate.core.errors import InputError

READINGS: dict[str, float] = {"A": 1.0, "B": 0.5, "C": 1 / 255}
"""What an epsilon of a study file is multiplied by to lie in [0, 1], for studies that repeat a paper which does not name its unit:
A, images in [0, 1]; B, images in [-1, 1]; C, images in grey levels."""


def parse_epsilon(value: Any) -> float:
    """Read an epsilon given as a number in [0, 1] or as a fraction such as "2/255".

    >>> parse_epsilon("2/255") == 2 / 255
    True

    Raises:
        InputError: not a number or fraction, negative, or above 1 (images live in [0, 1], so 8 grey levels are "8/255").
    """
    number: float | None = None
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
    if not 0 <= number <= 1:
        raise InputError(
            f"epsilon must lie in [0, 1], the range of the images, given {value!r}; "
            f'write grey levels as a fraction, for example "{value}/255"'
        )
    return number


def rising(epsilons: tuple[float, ...]) -> tuple[float, ...]:
    """Sort epsilons and drop duplicates and zero: the clean prediction is always made.

    Raises:
        ValueError: none above zero is left.
    """
    result = tuple(sorted({epsilon for epsilon in epsilons if epsilon > 0}))
    if not result:
        raise ValueError("epsilons must hold at least one value above 0")
    return result
