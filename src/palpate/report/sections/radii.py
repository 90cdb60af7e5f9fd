"""The radii of a task's models as distributions: how far apart the images of one model lie, beside the median by which models are ranked."""

from palpate.core import formatting
from palpate.core.registry import SECTIONS
from palpate.report.figures import radius_figure
from palpate.report.line_styles import line_styles
from palpate.report.run_data import RunData
from palpate.report.section import Plot, Section, ranked, render
from palpate.report.tables import Cell, Table
from palpate.statistics.leaderboard import Entry, Leaderboard
from palpate.statistics.radius import SHARES


@SECTIONS.register("radii")
@ranked(25, scope="task")
def section(data: RunData, task: str) -> Section | None:
    """Nothing where no model with signal was attacked."""
    board = next(iter(data.results.tasks[task].leaderboards), None)
    entries = [entry for entry in board.entries if entry.rank is not None and entry.radii] if board else []
    if board is None or not entries:
        return None
    styles = line_styles([entry.name for entry in board.entries])
    plot = Plot(
        f"radii-{task}",
        radius_figure(board, entries, styles),
        "Radii of the images classified correctly: quantiles of each model, most robust first.",
    )
    table = _table(task, board, entries)
    return Section("Radii of the images", render("radii.html", figure=plot, numbers=table), tables=(table,))


def _table(task: str, board: Leaderboard, entries: list[Entry]) -> Table:
    last = board.entries[0].accuracy[-1].epsilon
    return Table(
        name=f"{task}-radii",
        caption=f"Under {board.attack_id}: the radius below which the stated share of the correct images is misclassified; all runs together.",
        columns=("model", *(f"{share:.0%}" for share in SHARES), "changed by no ε", "misclassified when clean"),
        rows=tuple(
            (
                Cell(entry.name),
                *(_radius(one, last) for one in entry.radii.quantiles),
                Cell(formatting.percent(entry.radii.beyond), key=entry.radii.beyond),
                Cell(formatting.percent(entry.radii.incorrect), key=entry.radii.incorrect),
            )
            for entry in entries
            if entry.radii
        ),
        records=tuple(
            {"model": entry.name, "attack_id": board.attack_id, "norm": board.norm}
            | {f"quantile_{share:.2f}": one for share, one in zip(SHARES, entry.radii.quantiles, strict=True)}
            | {"beyond": entry.radii.beyond, "incorrect": entry.radii.incorrect}
            for entry in entries
            if entry.radii
        ),
        sortable=True,
    )


def _radius(value: float | None, last: float) -> Cell:
    return Cell(f"> {formatting.number(last)}", key=1e9) if value is None else Cell(formatting.number(value), key=value)
