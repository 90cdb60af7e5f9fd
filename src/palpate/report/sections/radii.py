"""The radii of a task's models as distributions: how far apart the images of one model lie, beside the median by which models are ranked."""

from palpate.core import formatting
from palpate.core.registry import SECTIONS
from palpate.report.figures import radius_figure
from palpate.report.line_styles import line_styles
from palpate.report.run_data import RunData
from palpate.report.section import Plot, Section, caption, ranked, render
from palpate.report.tables import Cell, Table, percent, table
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
    drawn = radius_figure(board, entries, line_styles([entry.name for entry in board.entries]))
    alt = "Radii of the images classified correctly: quantiles of each model, most robust first."
    plot = Plot(f"radii-{task}", drawn, alt)
    numbers = _table(task, board, entries)
    return Section("Radii of the images", render("radii.html", figure=plot, numbers=numbers), tables=(numbers,))


def _table(task: str, board: Leaderboard, entries: list[Entry]) -> Table:
    largest = f"> {formatting.number(board.entries[0].accuracy[-1].epsilon)}"

    def quantile(place: int, entry: Entry) -> Cell:
        value = entry.radii.quantiles[place]  # pyright: ignore[reportOptionalMemberAccess]
        return Cell(largest, key=1e9) if value is None else Cell(formatting.number(value), key=value)

    return table(
        f"{task}-radii",
        caption("radii", attack=board.attack_id),
        [
            ("model", lambda entry: entry.name),
            *((f"{share:.0%}", lambda entry, place=place: quantile(place, entry)) for place, share in enumerate(SHARES)),
            ("changed by no ε", lambda entry: percent(entry.radii.beyond)),
            ("misclassified when clean", lambda entry: percent(entry.radii.incorrect)),
        ],
        entries,
        [
            {"model": entry.name, "attack_id": board.attack_id, "norm": board.norm}
            | {f"quantile_{share:.2f}": one for share, one in zip(SHARES, entry.radii.quantiles, strict=True)}
            | {"beyond": entry.radii.beyond, "incorrect": entry.radii.incorrect}
            for entry in entries
            if entry.radii
        ],
    )  # fmt: skip
