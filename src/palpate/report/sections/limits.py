"""Known limits: what the numbers of a run do not say. Limits that every such measurement has, and those of this run."""

from typing import Any

from palpate.core.formatting import plural
from palpate.core.registry import SECTIONS
from palpate.report.run_data import RunData
from palpate.report.section import Section, ranked, render, text

OPEN = 8
"""So many limits are shown; the others are folded."""

FEW = 100
"""Below so many attacked images intervals are wide."""

ALWAYS = (
    "An accuracy under attack is an upper bound: a stronger attack may lower it, none may raise it.",
    "An attack searches for the worst change of a given size. How often such changes occur in practice is not measured.",
    "Other scanners, sites and patients than those of the test images are not measured.",
)


@SECTIONS.register("limits")
@ranked(85)
def section(data: RunData) -> Section:
    """A list; the end of a long one is folded."""
    return Section("Known limits", render("limits.html", limits=limits(data), open=OPEN), "Limits")


def limits(data: RunData) -> list[str]:
    """One sentence each, those of this run first; limits.md says what they are."""
    told: dict[str, Any] = {"statuses": [one.status for one in data.results.checks], "few": FEW, "plural": plural}
    told["tasks"] = [(data.study.tasks[task], found) for task, found in data.results.tasks.items()]
    told["absent"] = sum(number for state, number in data.results.stages.items() if state != "complete")
    told["attacks_only"] = data.complete("attack") and not data.complete("corrupt")
    return [*text("limits.md", explained=data.complete("explain"), **told).splitlines(), *ALWAYS]
