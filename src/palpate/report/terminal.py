"""The result of a run for a terminal of 80 columns: a short leaderboard per task, the sentences of the comparisons, failed checks and gaps."""

import json
import re
from collections import Counter
from pathlib import Path

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from palpate.core import formatting
from palpate.report.export import folder_of
from palpate.report.results import Results
from palpate.report.sections.leaderboard import CHECKED, accuracy, checked, median_radius, rank, sentence, some_steps
from palpate.report.stages import STATES
from palpate.report.tables import epsilon_column
from palpate.statistics.leaderboard import Leaderboard

ROWS = 10
"""So many models are printed per task, and so many notes; the page holds all."""

NAME = 14
"""Characters of a model's name on a line; what the numbers leave of 80 columns."""


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
            parts += [Text(f"{one.name}: {one.sentence}.") for one in found.contrasts[:3]]
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
    """Numbers are never cut: an interval stands below its value, and a model's name is broken where its parts meet."""
    steps = {0: (0.0, board.norm), **some_steps(board)}
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=0, pad_edge=False)
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("model", overflow="fold", min_width=12)
    for name in (*(epsilon_column(*step) for step in steps.values()), "median radius"):
        table.add_column(Text(name.replace("|", "\n")), justify="right", no_wrap=True)  # its unit comes from a file
    shown = board.entries[:ROWS]
    for entry in shown:
        runs = f"{len(entry.runs)} runs, " if len(entry.runs) > 1 else ""
        status = checked(results, task, entry)
        cells = [accuracy(entry, index, decimals=False) for index in steps] + [median_radius(board, entry)]
        told = runs + CHECKED[status], "red" if status == "fail" else "dim"
        numbers = [Text(f"{cell.text}\n{cell.below}".rstrip()) for cell in cells]
        table.add_row(rank(entry).text, Text.assemble(folded(entry.name), "\n", told), *numbers)
    left = len(board.entries) - len(shown)
    more = [Text(f"… and {formatting.plural(left, 'more model')} on the page.", style="dim")] if left else []
    return Group(table, *more)


def folded(name: str, width: int = NAME) -> str:
    """A name in lines of at most `width` characters where its parts allow it.

    >>> folded("test_efficientnet+full").split("\\n"), folded("resnet10t+full")
    (['test_', 'efficientnet', '+full'], 'resnet10t+full')
    """
    lines = [""]
    for part in re.findall(r"[+#]?[^-+#_. ]*[-_. ]?", name):
        if lines[-1] and len(lines[-1] + part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def _checks(results: Results) -> list[str]:
    """One line per model where there are few, else the failed ones and a count of the others."""
    few = len(results.checks) <= 4
    shown = [one for one in results.checks if few or one.status == "fail"][:ROWS]
    lines = [f"{one.model_id} on {results.tasks[one.task].title}: {one.summary}." for one in shown]
    others = Counter(CHECKED[one.status] for one in results.checks if one not in shown)
    if others:
        counts = ", ".join(f"{number} {status}" for status, number in others.items())
        lines.append(f"Checks of the other models: {counts}.")
    return lines
