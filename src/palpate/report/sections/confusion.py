"""Which classes are taken for which, of tasks with three classes or more: clean, and at the epsilon where half of the accuracy is lost."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palpate.core import formatting
from palpate.core.registry import SECTIONS
from palpate.report.run_data import RunData
from palpate.report.section import Section, ranked, render
from palpate.report.tables import Cell, Table
from palpate.statistics.confusion import CONFUSION
from palpate.statistics.leaderboard import Entry

WHOLE = 12
"""Up to so many classes the whole table is shown; of more the most frequent confusions."""

LISTED = 15

MODELS = 2
"""So many models are shown, the best; the file of the table holds all."""


@SECTIONS.register("confusion")
@ranked(45, scope="task")
def section(data: RunData, task: str) -> Section | None:
    """Nothing where the task has two classes or nothing was attacked."""
    found, classes = data.results.tasks[task], data.study.tasks[task].classes
    if not found.confusions or not found.leaderboards:
        return None
    board = found.leaderboards[0]
    rows = pl.DataFrame(list(found.confusions), schema=CONFUSION).filter(attack_id=board.attack_id)
    tables = [
        table
        for entry in [entry for entry in board.entries if entry.rank is not None][:MODELS]
        for table in _tables(task, entry, rows.filter(pl.col("model_id").is_in(list(entry.runs))), classes, board.norm)
    ]
    if not tables:
        return None
    return Section("Which classes are taken for which", render("tables.html", tables=tables), tables=tuple(tables))


def _tables(task: str, entry: Entry, rows: pl.DataFrame, classes: tuple[str, ...], norm: str) -> list[Table]:
    """The tables of one architecture, its runs together."""
    attacked = [point for point in entry.accuracy if point.epsilon_index > 0]
    half = min(attacked, key=lambda point: abs(point.value - entry.accuracy[0].value / 2))
    counts = [matrix(rows.filter(epsilon_index=index), len(classes)) for index in (0, half.epsilon_index)]
    where = f"at ε = {formatting.epsilon(half.epsilon, norm)}"
    name, records = f"{task}-confusion-{entry.name}", tuple(rows.to_dicts())
    if len(classes) > WHOLE:
        return [_list(name, f"{entry.name}: the most frequent confusions {where}", counts, classes, records)]
    titles = (f"{entry.name}, clean", f"{entry.name}, {where}")
    return [
        _whole(name + end, title, each, classes, records)
        for end, title, each in zip(("-clean", "-attacked"), titles, counts, strict=True)
    ]


def matrix(rows: pl.DataFrame, classes: int) -> NDArray[np.int64]:
    """Images (K, K + 1) by label and prediction; the last column holds those without a prediction."""
    found = np.zeros((classes, classes + 1), np.int64)
    for label, prediction, n in rows.select("label", "prediction", "n").iter_rows():
        found[label, classes if prediction is None else prediction] += n
    return found


def _whole(
    name: str, title: str, counts: NDArray[np.int64], classes: tuple[str, ...], records: Sequence[dict]
) -> Table:
    sums = counts.sum(1)
    return Table(
        name=name,
        caption=f"{title}: share of the images of each true class (row) that are classified as each class (column), all runs together.",
        columns=("true class", "n", *(f"as {one}" for one in classes)),
        rows=tuple(
            (
                Cell(one),
                Cell(str(sums[row]), key=int(sums[row])),
                *(
                    Cell(formatting.percent(counts[row, column] / sums[row]) if sums[row] else formatting.NO_VALUE)
                    for column in range(len(classes))
                ),
            )
            for row, one in enumerate(classes)
        ),
        records=tuple(records),
    )


def _list(
    name: str, title: str, counts: list[NDArray[np.int64]], classes: tuple[str, ...], records: Sequence[dict]
) -> Table:
    clean, attacked = counts
    pairs = [(row, column) for row in range(len(classes)) for column in range(len(classes)) if row != column]
    pairs = sorted((pair for pair in pairs if attacked[pair]), key=lambda pair: -attacked[pair])[:LISTED]

    def share(counted: NDArray[np.int64], pair: tuple[int, int]) -> Cell:
        total: Any = counted[pair[0]].sum()
        return Cell(formatting.percent(counted[pair] / total) if total else formatting.NO_VALUE)

    return Table(
        name=name,
        caption=f"{title}, all runs together.",
        columns=("true class", "classified as", "images", "share of the class", "share when clean"),
        rows=tuple(
            (
                Cell(classes[pair[0]]),
                Cell(classes[pair[1]], mark="left"),
                Cell(str(attacked[pair]), key=int(attacked[pair])),
                share(attacked, pair),
                share(clean, pair),
            )
            for pair in pairs
        ),
        records=tuple(records),
        sortable=True,
    )
