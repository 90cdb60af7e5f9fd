"""The verdicts of a run for the page: per model one line, what is wrong in words, and the whole table behind it.

Only what the checks wrote is shown. No line says more than "no failure detected": an attack that fails shows that this attack failed.
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from palpate.report.load import Cell, Material

ORDER = ("fail", "warn", "not run", "pass")


@dataclasses.dataclass(frozen=True)
class Checks:
    """The verdicts on one model."""

    task: str
    model_id: str
    title: str
    status: str  # the worst of its checks: "fail", "warn" or "pass"; "not run" where nothing could be read or run
    summary: str
    verdicts: tuple[Mapping[str, Any], ...]  # with a threshold, worst first
    information: tuple[Mapping[str, Any], ...]  # figures without a threshold

    @property
    def alarming(self) -> list[Mapping[str, Any]]:
        """The checks that failed or warned: their advice is shown unasked."""
        return [verdict for verdict in self.verdicts if verdict["status"] in ("fail", "warn")]


def checks(material: Material) -> list[Checks]:
    """The verdicts of every trust cell; cells that failed or are missing are lines too, because what was not checked must show."""
    return [
        _read(material, cell) if cell.state == "complete" else _absent(material, cell) for cell in material.of("trust")
    ]


def _of(material: Material, cell: Cell) -> tuple[str, str, str]:
    return cell.task, cell.model_id, f"{cell.model_id} on {material.tasks.get(cell.task, {}).get('title') or cell.task}"


def _absent(material: Material, cell: Cell) -> Checks:
    why = f"failed: {cell.error}" if cell.state == "failed" else "not run yet"
    return Checks(*_of(material, cell), "not run", f"attack not verified: the checks {why}", (), ())


def _read(material: Material, cell: Cell) -> Checks:
    subject = _of(material, cell)
    try:
        found = json.loads((cell.folder / "verdicts.json").read_text())
        ranked = sorted(found, key=lambda verdict: ORDER.index(verdict["status"]))
        judged = tuple(verdict for verdict in ranked if verdict["threshold"] is not None)
        figures = tuple(verdict for verdict in ranked if verdict["threshold"] is None)
        summary = cell.record.get("facts", {}).get("summary") or summarise(judged)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Checks(*subject, "not run", f"attack not verified: its verdicts cannot be read ({error})", (), ())
    met = [verdict["status"] for verdict in judged if verdict["status"] != "not run"]
    return Checks(*subject, min(met, key=ORDER.index, default="not run"), summary, judged, figures)


def summarise(judged: tuple[Mapping[str, Any], ...]) -> str:
    """Checks in one line.

    >>> summarise(({"name": "noise", "status": "pass"}, {"name": "square", "status": "not run"}))
    'no failure detected by 1 of 2 checks, 1 not run'
    """
    count = {status: sum(verdict["status"] == status for verdict in judged) for status in ORDER}
    if count["not run"] == len(judged):
        return f"not checked: none of {len(judged)} checks was run"
    if count["fail"]:
        names = ", ".join(verdict["name"] for verdict in judged if verdict["status"] == "fail")
        words = f"{count['fail']} of {len(judged)} checks failed: {names}"
    else:
        words = f"no failure detected by {count['pass'] + count['warn']} of {len(judged)} checks"
    extra = ((count["warn"], "with a warning"), (count["not run"], "not run"))
    return ", ".join([words, *(f"{number} {word}" for number, word in extra if number)])


def amount(verdict: Mapping[str, Any], name: str) -> str:
    """A figure or threshold with its unit; "–" where there is none.

    >>> amount({"figure": 0.12345, "unit": "share"}, "figure"), amount({"figure": None}, "figure")
    ('0.123 share', '–')
    """
    value = verdict.get(name)
    return "–" if value is None else f"{value:.3g} {verdict.get('unit', '')}".strip()
