"""The JSON records of a run folder, one schema each: written by a study, read by the report, checked by both."""

import math
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from palpate.core.spec import Spec

Subject = Literal["model", "result"]
Status = Literal["fail", "warn", "not run", "pass"]
"""What a check found, the most alarming first."""


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Figure = Annotated[float | None, BeforeValidator(_finite)]
"""A number, or None where there is none: JSON knows neither infinity nor NaN."""


class VerdictRecord(Spec):
    """What one check found, in figures and in one sentence.

    A robust accuracy is an upper bound that a better attack may lower. So no verdict says that a model withstands attacks: it says that a known way
    of overestimating its robustness was found, was not found, or was not looked for.

    Attributes:
        name: the check.
        subject: "model": would a standard PGD attack overestimate its robustness? "result": can this sweep be believed?
        status: "pass", "warn", "fail" or "not run".
        figure: what was measured, in `unit`; None where nothing could be measured.
        threshold: the figure above which the check fails (with at least three images); None for information, which has none.
        unit: "points" (hundredths of accuracy), "share" (of images, in [0, 1]), or other.
        advice: one sentence: what was seen, and what to do about it.
        source: article and section that the check comes from.
        passes_forward, passes_backward: passes spent, one per image.
    """

    name: str
    subject: Subject
    status: Status
    figure: Figure
    threshold: Figure
    unit: str
    advice: str
    source: str
    passes_forward: int = 0
    passes_backward: int = 0

    @property
    def information(self) -> bool:
        """Whether this is a figure without a threshold, which can neither pass nor fail."""
        return self.threshold is None


def summarise_verdicts(verdicts: Iterable[VerdictRecord]) -> str:
    """Verdicts in one line; figures without a threshold are no checks and are not counted.

    >>> noise = VerdictRecord(name="noise", subject="model", status="pass", figure=0.0, threshold=1.0, unit="points", advice="", source="")
    >>> transfer = VerdictRecord(**{**noise.to_dict(), "name": "transfer", "status": "not run"})
    >>> summarise_verdicts([noise, noise, transfer])
    'no failure detected by 2 of 3 checks, 1 not run'
    >>> summarise_verdicts([transfer])
    'not checked: none of 1 checks was run'
    >>> summarise_verdicts([noise, VerdictRecord(**{**noise.to_dict(), "status": "fail"})])
    '1 of 2 checks failed: noise'
    """
    checks = [verdict for verdict in verdicts if not verdict.information]
    failed = [verdict.name for verdict in checks if verdict.status == "fail"]
    warned, absent = (sum(verdict.status == status for verdict in checks) for status in ("warn", "not run"))
    if not checks:
        return "no checks"
    if absent == len(checks):
        return f"not checked: none of {len(checks)} checks was run"
    if failed:
        words = f"{len(failed)} of {len(checks)} checks failed: {', '.join(failed)}"
    else:
        words = f"no failure detected by {len(checks) - absent} of {len(checks)} checks"
    extra = [f"{warned} with a warning"] * bool(warned) + [f"{absent} not run"] * bool(absent)
    return ", ".join([words, *extra])
