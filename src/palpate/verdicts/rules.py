"""What a check's function hands back, and the rules by which a count becomes a status.

All comparisons of attacks share one rule, so that a threshold means the same everywhere: more points than the threshold, on at least three
images, is a failure; more points on fewer images is a warning.
"""

import dataclasses
from collections.abc import Callable

from palpate.verdicts.context import Case
from palpate.verdicts.verdict import LEAST, Status, Subject


@dataclasses.dataclass(frozen=True)
class Finding:
    """Status, figure and the sentence for the reader."""

    status: Status
    figure: float | None
    advice: str


@dataclasses.dataclass(frozen=True)
class Check:
    """A row of the table of checks.

    Attributes:
        subject: "either": the result where there is a sweep, else the model.
        threshold: given to the function, printed beside the figure; None for information.
    """

    name: str
    subject: Subject | str
    threshold: float | None
    unit: str
    source: str
    function: Callable[[Case, float], Finding]


def rule(figure: float, images: int, threshold: float) -> Status:
    """The status of a figure that `images` images show.

    >>> rule(4.7, 3, 1.0), rule(3.1, 2, 1.0), rule(0.5, 3, 1.0)
    ('fail', 'warn', 'pass')
    """
    if not images or figure <= threshold:
        return "pass"
    return "fail" if images >= LEAST else "warn"


def grey(epsilon: float) -> str:
    """An epsilon for a reader: both of its units.

    >>> grey(8 / 255), grey(0.004)
    ('0.0314 (8/255)', '0.004 (1.02/255)')
    """
    return f"{epsilon:.3g} ({epsilon * 255:.3g}/255)"


def of(count: int, total: int) -> str:
    """A count for a reader.

    >>> of(1, 64), of(3, 64)
    ('1 of 64 images', '3 of 64 images')
    """
    return f"{count} of {total} images"
