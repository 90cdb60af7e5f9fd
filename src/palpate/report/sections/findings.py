"""The findings of a task side by side: of each model and finding the clean and the robust accuracy under the first attack."""

from palpate.core import formatting
from palpate.core.registry import SECTIONS
from palpate.report.results import TaskResults
from palpate.report.run_data import RunData
from palpate.report.section import Section, caption, of_tables, ranked
from palpate.report.sections.leaderboard import accuracy, balanced, median_radius, some_steps
from palpate.report.tables import Table, decimal, epsilon_columns, table
from palpate.statistics.leaderboard import Entry


@SECTIONS.register("findings")
@ranked(15)
def section(data: RunData) -> Section | None:
    """A table for each task with several findings; nothing where no task has them."""
    parents = dict.fromkeys(record.part_of for record in data.study.tasks.values() if record.part_of)
    return of_tables("Findings side by side", [_table(data, parent) for parent in parents], "Findings")


def _table(data: RunData, parent: str) -> Table | None:
    tasks = [task for task, record in data.study.tasks.items() if record.part_of == parent]
    every = [(task, data.results.tasks[task]) for task in tasks if data.results.tasks[task].leaderboards]
    named = [(data.study.tasks[task].finding, found) for task, found in every]
    lines = [(finding, found, entry) for finding, found in named for entry in found.leaderboards[0].entries]
    if not lines:
        return None
    first = every[0][1].leaderboards[0]
    steps = {0: (0.0, first.norm), **some_steps(first)}
    with formatting.native(every[0][1].scale):
        return table(
            f"{parent}-findings",
            caption("findings", attack=first.attack_id),
            [
                ("finding", lambda line: line[0]),
                ("model", lambda line: line[2].name),
                ("n", lambda line: line[2].images),
                ("AUROC", lambda line: decimal(_auroc(*line[1:]))),
                ("balanced accuracy", lambda line: balanced(line[2])),
                *epsilon_columns(steps, lambda line, index: accuracy(line[2], index)),
                ("median radius", lambda line: median_radius(line[1].leaderboards[0], line[2])),
            ],
            lines,
            [
                {"task": parent, "finding": finding, "model": entry.name, "n": entry.images, "auroc": _auroc(found, entry), "signal": entry.signal}
                | {f"accuracy_at_{point.epsilon:.6g}": point.value for point in entry.accuracy if point.epsilon_index in steps}
                for finding, found, entry in lines
            ],
        )  # fmt: skip


def _auroc(found: TaskResults, entry: Entry) -> float | None:
    """The mean over the runs."""
    areas = [row["auroc"] for row in found.operating_points if row["model_id"] in entry.runs]
    known = [area for area in areas if area is not None]
    return sum(known) / len(known) if known else None
