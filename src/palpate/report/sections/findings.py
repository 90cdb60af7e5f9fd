"""The findings of a task side by side: of each model and finding the clean and the robust accuracy under the first attack."""

from palpate.core import formatting
from palpate.core.registry import SECTIONS
from palpate.report.run_data import RunData
from palpate.report.section import Section, ranked, render
from palpate.report.sections.leaderboard import radius_text, some_steps
from palpate.report.tables import Cell, Table, epsilon_column, share
from palpate.statistics.leaderboard import Entry


@SECTIONS.register("findings")
@ranked(15)
def section(data: RunData) -> Section | None:
    """A table for each task with several findings; nothing where no task has them."""
    parents = dict.fromkeys(record.part_of for record in data.study.tasks.values() if record.part_of)
    tables = tuple(table for parent in parents if (table := _table(data, parent)))
    if not tables:
        return None
    return Section("Findings side by side", render("tables.html", tables=tables), "Findings", tables)


def _table(data: RunData, parent: str) -> Table | None:
    tasks = [task for task, record in data.study.tasks.items() if record.part_of == parent]
    boards = {task: board for task in tasks for board in data.results.tasks[task].leaderboards[:1]}
    if not boards:
        return None
    first = next(iter(boards.values()))
    steps = some_steps(first)
    rows, records = [], []
    with formatting.native(data.results.tasks[tasks[0]].scale):
        columns = [epsilon_column(epsilon, first.norm) for _, epsilon in steps]
        for task, board in boards.items():
            auroc = {row["model_id"]: row["auroc"] for row in data.results.tasks[task].operating_points}
            for entry in board.entries:
                areas = [auroc[run] for run in entry.runs if auroc.get(run) is not None]
                area = sum(areas) / len(areas) if areas else None
                points = {point.epsilon_index: point for point in entry.accuracy}
                shown = [points[index] for index in (0, *(index for index, _ in steps)) if index in points]
                silent = entry.signal is False
                rows.append(
                    (
                        Cell(data.study.tasks[task].finding),
                        Cell(entry.name, mark="left"),
                        Cell(str(entry.images), key=entry.images),
                        Cell(formatting.NO_VALUE if area is None else f"{area:.2f}", key=area),
                        _balanced(entry),
                        *(
                            share(point.value, point.low, point.high, entry.images, entry.majority_rate)
                            for point in shown
                        ),
                        Cell("no signal", mark="none") if silent else Cell(radius_text(board, entry, norm="")),
                    )
                )
                about = {
                    "task": parent,
                    "finding": data.study.tasks[task].finding,
                    "model": entry.name,
                    "n": entry.images,
                }
                accuracies = {f"accuracy_at_{point.epsilon:.6g}": point.value for point in shown}
                records.append(about | {"auroc": area, "signal": entry.signal} | accuracies)
    return Table(
        name=f"{parent}-findings",
        caption=f"Under attack by {first.attack_id}. AUROC of the whole test split (the mean over runs), all other numbers of the attacked images; "
        "unknown labels count nowhere. 95% intervals in brackets.",
        columns=("finding", "model", "n", "AUROC", "balanced accuracy", "clean", *columns, "median radius"),
        rows=tuple(rows),
        records=tuple(records),
        sortable=True,
    )


def _balanced(entry: Entry) -> Cell:
    found = entry.balanced_accuracy
    return share(found.value, found.low, found.high, entry.images) if found else Cell(formatting.NO_VALUE)
