"""The result of a run for a terminal of 80 columns: a short leaderboard per task, the sentences of the comparisons, failed checks and gaps."""

import json
from collections import Counter
from pathlib import Path

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from palpate.core import formatting
from palpate.report.export import folder_of
from palpate.report.results import Results, TaskResults
from palpate.report.sections.leaderboard import CHECKED, checked, radius_text, sentence, some_steps
from palpate.report.stages import STATES
from palpate.report.tables import epsilon_column
from palpate.statistics.leaderboard import Entry, Leaderboard

ROWS = 10
"""So many models are printed per task, and so many notes; the page holds all."""


def summary(page: Path) -> RenderableType:
    """What to print of a report that was written, from the results.json that belongs to its page.

    Raises:
        InputError: results.json is of another version.
    """
    file = folder_of(page) / "results.json"
    return render(Results.read(json.loads(file.read_text(encoding="utf-8")), str(file)))


def render(results: Results) -> RenderableType:
    """The leaderboards, then what a reader must know about them."""
    parts: list[RenderableType] = []
    for task, found in results.tasks.items():
        with formatting.native(found.scale):
            parts += [Text(f"{found.title}. {sentence(found)}", style="bold")]
            parts += [_table(results, task, board) for board in found.leaderboards[:1]]
            parts += _contrasts(found)
    return Group(*parts, *(Text(note, style="dim") for note in notes(results)))


def notes(results: Results) -> list[str]:
    """How to read the tables, which checks failed, and what is missing."""
    found = []
    if any(task.leaderboards for task in results.tasks.values()):
        found.append(
            "ε: share of the attacked images classified correctly, with its 95% interval, as clean. Median radius: the ε at which half of "
            "the correctly classified images are misclassified."
        )
        found += _checks(results) or ["Attack not verified: no trust checks were run."]
    total = sum(results.stages.values())
    found += [f"{results.stages[state]} of {total} stages {state}." for state in STATES[1:] if results.stages[state]]
    return [*found, *results.problems[:ROWS]]


def _table(results: Results, task: str, board: Leaderboard) -> RenderableType:
    """Numbers are never cut: an interval stands below its value, and only the model's name may wrap."""
    steps, norm = some_steps(board), board.norm
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 0, 0, 1), pad_edge=False)
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("model", overflow="fold", min_width=12)
    for name in ("clean", *(epsilon_column(epsilon, norm).replace("|", "\n") for _, epsilon in steps), "median radius"):
        table.add_column(Text(name), justify="right", no_wrap=True)  # its unit comes from a file
    shown = board.entries[:ROWS]
    for entry in shown:
        runs = f"{len(entry.runs)} runs, " if len(entry.runs) > 1 else ""
        status = checked(results, task, entry)
        table.add_row(
            formatting.NO_VALUE if entry.rank is None else str(entry.rank),
            Text.assemble(entry.name, "\n", (runs + CHECKED[status], "red" if status == "fail" else "dim")),
            *_shares(entry, [index for index, _ in steps]),
            "\n[".join(radius_text(board, entry, norm="").split(" [", 1)) if entry.signal is not False else "",
        )
    left = len(board.entries) - len(shown)
    more = [Text(f"… and {formatting.plural(left, 'more model')} on the page.", style="dim")] if left else []
    return Group(table, *more)


def _shares(entry: Entry, indices: list[int]) -> list[str]:
    found = {point.epsilon_index: point for point in entry.accuracy}
    texts = [
        f"{formatting.percent(point.value)}\n{formatting.interval(point.low, point.high)}"
        if point
        else formatting.NO_VALUE
        for point in (found.get(index) for index in (0, *indices))
    ]
    return texts if entry.signal is not False else [texts[0], *["no signal"] * len(indices)]


def _contrasts(found: TaskResults) -> list[RenderableType]:
    return [Text(f"{one.name}: {one.sentence}.") for one in found.contrasts[:3]]


def _checks(results: Results) -> list[str]:
    """One line per model where there are few, else the failed ones and a count of the others."""
    few = len(results.checks) <= 4
    shown = [one for one in results.checks if few or one.status == "fail"][:ROWS]
    lines = [f"{one.model_id} on {results.tasks[one.task].title}: {one.summary}." for one in shown]
    others = Counter(CHECKED[one.status] for one in results.checks if one not in shown)
    if others:
        lines.append(
            "Checks of the other models: " + ", ".join(f"{number} {status}" for status, number in others.items()) + "."
        )
    return lines
