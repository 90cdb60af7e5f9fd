"""The verdict: what one check found, in figures and in one sentence.

A robust accuracy is an upper bound that a better attack may lower at any time. So no verdict ever says that a model withstands attacks: it says
that a known way of being misled was found, was not found, or was not looked for.
"""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any, Literal

Subject = Literal["model", "result"]
Status = Literal["pass", "warn", "fail", "not run"]

LEAST = 3
"""Images that must show a failure before it is called one: on 64 images a single image is 1.6 points."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What one check found.

    Attributes:
        name: the check.
        subject: "model": would the usual cross-entropy PGD be misled by it? "result": can this sweep be believed?
        status: "pass", "warn", "fail" or "not run".
        figure: what was measured, in `unit`; None where nothing could be measured.
        threshold: the figure from which the check fails (with at least three images); None for information that has none.
        unit: "points" (hundredths of accuracy), "share" (of images, in [0, 1]), "images", "cosine" or other.
        advice: one sentence: what was seen, and what to do about it.
        source: paper and section that the check comes from.
        passes: forward and backward passes spent, in images.
    """

    name: str
    subject: Subject
    status: Status
    figure: float | None
    threshold: float | None
    unit: str
    advice: str
    source: str
    passes: tuple[int, int] = (0, 0)

    @property
    def information(self) -> bool:
        """Whether this is a figure without a threshold, which can neither pass nor fail."""
        return self.threshold is None

    def to_dict(self) -> dict[str, Any]:
        """The verdict as JSON-able values; a figure that is no number becomes null.

        >>> Verdict("noise", "model", "not run", float("nan"), 1.0, "points", "None.", "-").to_dict()["figure"] is None
        True
        """
        values = dataclasses.asdict(self)
        for key in ("figure", "threshold"):
            value = values[key]
            values[key] = None if value is None or not math.isfinite(value) else float(value)
        values["passes"] = {"forward": self.passes[0], "backward": self.passes[1]}
        return values


def summary(verdicts: Iterable[Verdict]) -> str:
    """One line for an exit summary; figures without a threshold are no checks and are not counted.

    >>> one = Verdict("noise", "model", "pass", 0.0, 1.0, "points", "", "")
    >>> summary([one, one, dataclasses.replace(one, name="transfer", status="not run")])
    'no failure detected by 2 of 3 checks, 1 not run'
    >>> summary([dataclasses.replace(one, status="not run")])
    'not checked: none of 1 checks was run'
    >>> summary([one, dataclasses.replace(one, name="gradients", status="fail")])
    '1 of 2 checks failed: gradients'
    """
    checks = [verdict for verdict in verdicts if not verdict.information]
    if not checks:
        return "no checks"
    count = {
        status: sum(verdict.status == status for verdict in checks) for status in ("pass", "warn", "fail", "not run")
    }
    if count["not run"] == len(checks):
        return f"not checked: none of {len(checks)} checks was run"
    if count["fail"]:
        names = ", ".join(verdict.name for verdict in checks if verdict.status == "fail")
        words = f"{count['fail']} of {len(checks)} checks failed: {names}"
    else:
        words = f"no failure detected by {count['pass'] + count['warn']} of {len(checks)} checks"
    extra = [f"{count['warn']} with a warning"] * bool(count["warn"])
    extra += [f"{count['not run']} not run"] * bool(count["not run"])
    return ", ".join([words, *extra])
