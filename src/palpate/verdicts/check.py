"""What a check is, what it hands back, the sweep that it examines, and the rule by which a count of images becomes a status.

A check registers itself where it is defined, so a new one is one file: a function with the decorator below, in this package or in a plug-in.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

from palpate.attacks.result import Sweep
from palpate.core.io import facts_beside
from palpate.core.records import Status
from palpate.core.registry import VERDICTS

LEAST = 3
"""Images that must show a failure before it is called one: on 64 images a single image is 1.6 points."""

ATHALYE = "Athalye et al. 2018, arXiv 1802.00420, section"
CARLINI = "Carlini et al. 2019, arXiv 1902.06705, section"


_ADVICE: dict[str, list[str]] = facts_beside(__file__, "advice.toml")


class NotRun(Exception):
    """A check cannot be made; the message says why, as the end of a sentence."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """Status, figure in the check's unit, and one sentence for the reader."""

    status: Status
    figure: float | None
    advice: str


@dataclasses.dataclass(frozen=True)
class Check:
    """A registered check.

    Attributes:
        subject: "model", "result", or "either": the result where there is a sweep, else the model.
        threshold: given to the function and printed beside the figure; None for information.
        rank: checks are made in rising order, cheap ones first, so that a small budget buys as many as it can.
    """

    name: str
    subject: Literal["model", "result", "either"]
    threshold: float | None
    unit: str
    source: str
    rank: float
    function: "CheckFunction"


CheckFunction = Callable[[Any, float], Finding]
"""From a `palpate.verdicts.context.CheckContext` and the threshold to a finding."""


def check(
    name: str,
    rank: float,
    threshold: float | None,
    unit: str,
    source: str,
    subject: Literal["model", "result", "either"] = "model",
) -> Callable[[CheckFunction], CheckFunction]:
    """Decorator that registers a function (context, threshold) → Finding as a check; see `Check` for the arguments.

    The function may raise `NotRun`; any other exception becomes "not run" with its message.

    Raises:
        InputError: the name is taken.
    """

    def register(function: CheckFunction) -> CheckFunction:
        VERDICTS.add(name, Check(name, subject, threshold, unit, source, rank, function))
        return function

    return register


def checks() -> list[Check]:
    """All registered checks in the order in which they are made."""
    return sorted(VERDICTS.values(), key=lambda each: each.rank)


def status_of(figure: float, images: int, threshold: float) -> Status:
    """The status of a figure that `images` images show: above the threshold it is a failure, or a warning on fewer than three images.

    >>> status_of(4.7, 3, 1.0), status_of(3.1, 2, 1.0), status_of(0.5, 3, 1.0)
    ('fail', 'warn', 'pass')
    """
    if not images or figure <= threshold:
        return "pass"
    return "fail" if images >= LEAST else "warn"


def judge(figure: float, images: int, threshold: float, good: str, bad: str) -> Finding:
    """The finding about a figure that `images` images show: the first sentence where it passes, else the second."""
    status = status_of(figure, images, threshold)
    advice = {"pass": good, "fail": bad}.get(status, f"{bad[:-1]}; on fewer than {LEAST} images that may be chance.")
    return Finding(status, figure, advice)


def said(name: str, /, **told: Any) -> list[str]:
    """The sentences of advice.toml under a name, their places filled: what a check says where it passes and where it does not, or of one case."""
    return [sentence.format(**told) for sentence in _ADVICE[name]]


def out_of(count: int, total: int) -> str:
    """A count for a reader.

    >>> out_of(1, 64), out_of(3, 64)
    ('1 of 64 images', '3 of 64 images')
    """
    return f"{count} of {total} images"


@dataclasses.dataclass(frozen=True)
class SweepUnderTest:
    """The sweep that is examined.

    Attributes:
        sweep: its result on all images; None where it cannot belong to them.
        reason: why it cannot, or "".
        relabelled: on how many images it has another label than was given.
    """

    sweep: Sweep | None
    reason: str = ""
    relabelled: int = 0

    @property
    def whole(self) -> Sweep:
        """The sweep.

        Raises:
            NotRun: it belongs to other images.
        """
        if self.sweep is None:
            raise NotRun(self.reason)
        return self.sweep
