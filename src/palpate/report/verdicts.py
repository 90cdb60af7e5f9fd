"""The verdicts of a run: per model the worst status, one sentence and each check, worst first.

Only what the checks wrote is shown. No line says more than "no failure detected": an attack that fails shows only that this attack failed.
"""

import json
from collections.abc import Iterable
from typing import get_args

from palpate.core import formatting
from palpate.core.records import Status, VerdictRecord, summarise_verdicts
from palpate.report.stages import UNREADABLE, Stage

ORDER: tuple[str, ...] = get_args(Status)


def read(stage: Stage) -> tuple[str, str, tuple[VerdictRecord, ...]]:
    """The worst status, a summary and the verdicts of a trust stage; one that failed or is missing verifies nothing, and says so."""
    if stage.state != "complete":
        told = {"missing": "were not run yet", "failed": f"failed: {stage.error}"}
        why = told.get(stage.state, f"are {stage.state}: {stage.error}")
        return "not run", f"attack not verified: the checks {why}", ()
    try:
        file = stage.file("verdicts.json")
        found = [VerdictRecord.read(one, str(file)) for one in json.loads(file.read_text(encoding="utf-8"))]
    except (*UNREADABLE, TypeError) as error:
        return "not run", f"attack not verified: its verdicts cannot be read ({error})", ()
    ranked = sorted(found, key=lambda verdict: ORDER.index(verdict.status))
    return worst(one.status for one in ranked if not one.information), summarise_verdicts(ranked), tuple(ranked)


def worst(statuses: Iterable[str]) -> str:
    """The most alarming status of checks that were run; "not run" where none was.

    >>> worst(["pass", "not run", "warn"]), worst([])
    ('warn', 'not run')
    """
    return min((status for status in statuses if status != "not run"), key=ORDER.index, default="not run")


def amount(verdict: VerdictRecord, name: str) -> str:
    """A figure or threshold with its unit; "–" where there is none."""
    value = getattr(verdict, name)
    return formatting.NO_VALUE if value is None else f"{value:.3g} {verdict.unit}".strip()
