"""With vs. without attention: each architecture and the same without attention, on the same images."""

import dataclasses

from palpate.core import formatting
from palpate.core.registry import SECTIONS
from palpate.report.contrasts import Contrast
from palpate.report.run_data import RunData
from palpate.report.section import Section, caption, ranked, render
from palpate.report.tables import Cell, Table, percent, table
from palpate.statistics.comparison import Comparison


@SECTIONS.register("contrasts")
@ranked(30, scope="task")
def section(data: RunData, task: str) -> Section | None:
    """A sentence and a table for each pair; nothing where no architecture has results with and without attention."""
    found = data.results.tasks[task].contrasts
    if not found:
        return None
    parts = [(one, _table(task, one, one.comparison) if one.comparison else None) for one in found]
    html = render("contrasts.html", parts=parts)
    return Section("With vs. without attention", html, tables=tuple(made for _, made in parts if made))


def _table(task: str, one: Contrast, found: Comparison) -> Table:
    claim = "" if found.architectures else " One run on a side compares weight files, not architectures."
    notes = " ".join(map(formatting.sentence, found.notes))
    about = {"task": task, "finding": one.finding, "attack_id": one.attack_id, "with": found.b, "without": found.a}
    return table(
        f"{task}-attention-{one.name}-{one.attack_id}",
        f"{caption('attention', claim=claim)} {notes}".strip(),
        [
            ("ε", lambda point: Cell(formatting.epsilon(point.epsilon, found.norm) if point.epsilon else "clean", key=point.epsilon)),
            ("without attention", lambda point: percent(point.accuracy_a, found.images)),
            (f"with attention ({one.attention})", lambda point: percent(point.accuracy_b, found.images)),
            (
                "difference in points [95% interval]",
                lambda point: Cell(formatting.points_interval(point.points, point.low, point.high), key=point.points),
            ),
            ("p, adjusted", lambda point: Cell(formatting.p_value(point.p_adjusted).removeprefix("p = ").removeprefix("p "), key=point.p_adjusted)),
        ],
        found.points,
        [about | dataclasses.asdict(point) for point in found.points],
    )  # fmt: skip
