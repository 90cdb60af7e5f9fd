"""How numbers are written: epsilons, percentages, intervals, differences, p-values, counts and times.

The page, the terminal, the tables, messages and figures all call these functions, so a number is written in one way wherever it is read.
"""

import contextlib
import re
from collections.abc import Iterator
from contextvars import ContextVar

from palpate.core.epsilon import Scale

_SCALE: ContextVar[Scale] = ContextVar("scale", default=Scale())  # noqa: B039

NO_VALUE = "–"
"""What is written where there is no number."""

DECIMAL_FROM = 500
"""From so many images on a percentage has a decimal; below, one image is more than a fifth of a percent."""


def number(value: float) -> str:
    """A number from 0 on in three significant digits, without an exponent where it is readable without.

    >>> number(0.00125), number(2 / 255), number(2.5), number(12.345), number(2345.6), number(0.000012), number(0)
    ('0.00125', '0.00784', '2.5', '12.3', '2,346', '1.20e-05', '0')
    """
    if value >= 999.5:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value == 0 or value >= 1e-4 else f"{value:.2e}"


@contextlib.contextmanager
def native(scale: Scale) -> Iterator[None]:
    """While it lasts, epsilons are written in the unit or the levels of these images beside their share of [0, 1], not in those of 8-bit files.

    >>> with native(Scale(-1024, 3071, "HU", 4096)):
    ...     epsilon(8 / 4095)
    '0.00195 (8 HU)'
    """
    token = _SCALE.set(scale)
    try:
        yield
    finally:
        _SCALE.reset(token)


def scale() -> Scale:
    """Of the images that numbers are written for: that of `native`, or of 8-bit files."""
    return _SCALE.get()


def grey_levels(value: float) -> str:
    """An epsilon in [0, 1] as grey levels of 255, or as `native` says.

    >>> grey_levels(2 / 255), grey_levels(0.01), grey_levels(0.32)
    ('2/255', '2.55/255', '81.6/255')
    """
    return scale().written(value)


def epsilon(value: float, norm: str = "linf") -> str:
    """A radius of an attack in the unit of its norm: an l∞ radius, which lies in [0, 1], in grey levels too.

    Args:
        value: the radius, images in [0, 1]; an l2 or l1 radius may be above 1.
        norm: "linf", "l2" or "l1".

    >>> epsilon(2 / 255), epsilon(0), epsilon(3.25, "l2"), epsilon(120.0, "l1")
    ('0.00784 (2/255)', '0', '3.25', '120')
    """
    return f"{number(value)} ({grey_levels(value)})" if norm == "linf" and value else number(value)


def percent(value: float | None, n: int = 0) -> str:
    """A share in [0, 1] as a percentage, with a decimal from DECIMAL_FROM images on.

    >>> percent(0.405), percent(0.405, n=600), percent(None)
    ('41%', '40.5%', '–')
    """
    return NO_VALUE if value is None else f"{100 * value + 1e-9:.{_digits(n)}f}%"


def interval(low: float | None, high: float | None, n: int = 0) -> str:
    """An interval of a share, in percent as `percent` writes it; "" where there is none.

    >>> interval(0.281, 0.5499), interval(0.281, 0.5499, n=600)
    ('[28, 55]', '[28.1, 55.0]')
    """
    digits = _digits(n)
    return "" if low is None or high is None else f"[{100 * low:.{digits}f}, {100 * high:.{digits}f}]"


def percent_interval(value: float | None, low: float | None, high: float | None, n: int = 0) -> str:
    """A share with its interval.

    >>> percent_interval(0.405, 0.281, 0.5499), percent_interval(None, None, None)
    ('41% [28, 55]', '–')
    """
    return f"{percent(value, n)} {interval(low, high, n)}".strip()


def epsilon_interval(
    value: float | None, low: float | None, high: float | None, largest: float, norm: str = "linf"
) -> str:
    """A radius with its interval; None stands for a radius above the largest epsilon tried.

    >>> epsilon_interval(2 / 255, 1 / 255, None, 8 / 255), epsilon_interval(None, None, None, 0.25)
    ('0.00784 [0.00392, > 0.0314] (2/255)', '> 0.25')
    >>> epsilon_interval(1.5, 0.75, 2.25, 4, norm="l2")
    '1.5 [0.75, 2.25]'
    """
    middle, *limits = [f"> {number(largest)}" if radius is None else number(radius) for radius in (value, low, high)]
    unit = f" ({grey_levels(value)})" if norm == "linf" and value else ""
    return (middle if limits == [middle] * 2 else f"{middle} [{', '.join(limits)}]") + unit


def points(value: float, plus: bool = False) -> str:
    """A difference in percentage points, with a true minus sign and never "−0.0".

    >>> points(-1.24), points(3.06, plus=True), points(-0.01, plus=True)
    ('−1.2', '+3.1', '0.0')
    """
    shown, sign = f"{abs(value):.1f}", "−" if value < 0 else "+" if plus else ""
    return shown if shown == "0.0" else sign + shown


def points_interval(value: float, low: float, high: float) -> str:
    """A difference in percentage points with its interval.

    >>> points_interval(3.06, -1.24, 7.3)
    '+3.1 [−1.2, 7.3]'
    """
    return f"{points(value, plus=True)} [{points(low)}, {points(high)}]"


def p_value(p: float) -> str:
    """A p-value: two digits from 0.1 on, three below, and no value under 0.001.

    >>> p_value(0.214), p_value(0.0004), p_value(1.0), p_value(0.049)
    ('p = 0.21', 'p < 0.001', 'p = 1.00', 'p = 0.049')
    """
    return "p < 0.001" if p < 0.001 else f"p = {p:.2f}" if p >= 0.0995 else f"p = {p:.3f}"


def count(value: int) -> str:
    """A large count in three digits.

    >>> count(950), count(23_545_200), count(49_200)
    ('950', '23.5 M', '49.2 k')
    """
    for unit, size in (("M", 1_000_000), ("k", 1_000)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return str(value)


def plural(value: int, noun: str) -> str:
    """A number of things.

    >>> plural(1, "image"), plural(12000, "image")
    ('1 image', '12,000 images')
    """
    return f"{value:,} {noun}{'' if value == 1 else 's'}"


def span(seconds: float) -> str:
    """A time in the largest unit that fits.

    >>> span(30), span(600), span(20_000), span(500_000)
    ('30 s', '10 min', '5.6 h', '5.8 days')
    """
    for unit, size, digits in (("days", 86_400, 1), ("h", 3_600, 1), ("min", 60, 0)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.{digits}f} {unit}"
    return f"{seconds:.0f} s"


def plain_name(text: str) -> str:
    """A text as the name of a data set, of which files are named.

    >>> plain_name("my skin images (2024)")
    'my-skin-images-2024'
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._") or "images"


def sentence(note: str) -> str:
    """A note as a sentence.

    >>> sentence("left out: 3"), sentence("HAM10000 is skin.")
    ('Left out: 3.', 'HAM10000 is skin.')
    """
    return note[:1].upper() + note[1:].rstrip(".") + "."


def _digits(n: int) -> int:
    return 1 if n >= DECIMAL_FROM else 0
