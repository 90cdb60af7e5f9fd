"""With vs. without attention: each architecture and the same without attention, on the same images."""

import dataclasses

from palpate.core import formatting
from palpate.core.registry import SECTIONS
from palpate.report.contrasts import Contrast
from palpate.report.run_data import RunData
from palpate.report.section import Section, ranked, render
from palpate.report.tables import Cell, Table


@SECTIONS.register("contrasts")
@ranked(30, scope="task")
def section(data: RunData, task: str) -> Section | None:
    """A sentence and a table for each pair; nothing where no architecture has results with and without attention."""
    found = data.results.tasks[task].contrasts
    if not found:
        return None
    parts = [(one, _table(task, one) if one.comparison else None) for one in found]
    html = render("contrasts.html", parts=parts)
    return Section("With vs. without attention", html, tables=tuple(table for _, table in parts if table))


def _table(task: str, one: Contrast) -> Table:
    assert one.comparison is not None
    norm, n = one.comparison.norm, one.comparison.images
    rows = [
        (
            Cell(formatting.epsilon(point.epsilon, norm) if point.epsilon else "clean"),
            Cell(formatting.percent(point.accuracy_a, n)),
            Cell(formatting.percent(point.accuracy_b, n)),
            Cell(formatting.points_interval(point.points, point.low, point.high)),
            Cell(formatting.p_value(point.p_adjusted).removeprefix("p = ").removeprefix("p ")),
        )
        for point in one.comparison.points
    ]
    claim = "" if one.comparison.architectures else " One run on a side compares weight files, not architectures."
    notes = " ".join(map(formatting.sentence, one.comparison.notes))
    about = {"task": task, "finding": one.finding, "attack_id": one.attack_id}
    about |= {"with": one.comparison.b, "without": one.comparison.a}
    return Table(
        name=f"{task}-attention-{one.name}-{one.attack_id}".replace("#", "-"),
        caption=f"The same images under both; p is adjusted over the epsilons (Holm).{claim} {notes}".strip(),
        columns=(
            "ε",
            "without attention",
            f"with attention ({one.attention})",
            "difference in points [95% interval]",
            "p, adjusted",
        ),
        rows=tuple(rows),
        records=tuple(about | dataclasses.asdict(point) for point in one.comparison.points),
    )
