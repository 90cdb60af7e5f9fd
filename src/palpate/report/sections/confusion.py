"""Which classes are taken for which, of tasks with three classes or more: clean, and at the epsilon where half of the accuracy is lost."""

from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palpate.core import formatting
from palpate.core.registry import SECTIONS
from palpate.report.run_data import RunData
from palpate.report.section import Section, caption, of_tables, ranked
from palpate.report.tables import NONE, Cell, Column, Table, percent, table
from palpate.statistics.clinical import CONFUSION
from palpate.statistics.leaderboard import Entry

WHOLE = 12
"""Up to so many classes the whole table is shown; of more the most frequent confusions."""

LISTED = 15

Records = Iterable[Mapping[str, Any]]

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
    tables: list[Table] = []
    for entry in [entry for entry in board.entries if entry.rank is not None][:MODELS]:
        tables += _tables(task, entry, rows.filter(pl.col("model_id").is_in(entry.runs)), classes, board.norm)
    return of_tables("Which classes are taken for which", tables)


def _tables(task: str, entry: Entry, rows: pl.DataFrame, classes: tuple[str, ...], norm: str) -> list[Table]:
    """The tables of one architecture, its runs together."""
    attacked = [point for point in entry.accuracy if point.epsilon_index > 0]
    half = min(attacked, key=lambda point: abs(point.value - entry.accuracy[0].value / 2))
    counts = [matrix(rows.filter(epsilon_index=index), len(classes)) for index in (0, half.epsilon_index)]
    where = f"at ε = {formatting.epsilon(half.epsilon, norm)}"
    name, records = f"{task}-confusion-{entry.name}", tuple(rows.to_dicts())
    if len(classes) > WHOLE:
        return [_list(name, f"{entry.name}: the most frequent confusions {where}", counts, classes, records)]
    clean = _whole(f"{name}-clean", f"{entry.name}, clean", counts[0], classes, records)
    return [clean, _whole(f"{name}-attacked", f"{entry.name}, {where}", counts[1], classes, records)]


def matrix(rows: pl.DataFrame, classes: int) -> NDArray[np.int64]:
    """Images (K, K + 1) by label and prediction; the last column holds those without a prediction."""
    found = np.zeros((classes, classes + 1), np.int64)
    for label, prediction, n in rows.select("label", "prediction", "n").iter_rows():
        found[label, classes if prediction is None else prediction] += n
    return found


def _whole(name: str, title: str, counts: NDArray[np.int64], classes: tuple[str, ...], records: Records) -> Table:
    columns: list[Column] = [("true class", lambda row: classes[row]), ("n", lambda row: int(counts[row].sum()))]
    columns += [(f"as {one}", lambda row, place=place: _part(counts, row, place)) for place, one in enumerate(classes)]
    return table(name, caption("confusions", title=title), columns, range(len(classes)), records)


def _list(name: str, title: str, counts: list[NDArray[np.int64]], classes: tuple[str, ...], records: Records) -> Table:
    clean, attacked = counts
    pairs = [pair for pair in product(range(len(classes)), repeat=2) if pair[0] != pair[1] and attacked[pair]]
    columns: list[Column] = [
        ("true class", lambda pair: classes[pair[0]]),
        ("classified as", lambda pair: classes[pair[1]]),
        ("images", lambda pair: int(attacked[pair])),
        ("share of the class", lambda pair: _part(attacked, *pair)),
        ("share when clean", lambda pair: _part(clean, *pair)),
    ]
    most = sorted(pairs, key=lambda pair: -attacked[pair])[:LISTED]
    return table(name, caption("confusion-list", title=title), columns, most, records)


def _part(counts: NDArray[np.int64], row: int, column: int) -> Cell:
    total = int(counts[row].sum())
    return percent(counts[row, column] / total) if total else NONE
