"""False negatives and false positives of two-class tasks under attack, and the clinical operating point on clean images.

Accuracy mixes two errors that do different harm. All numbers are those of `palpate.statistics.clinical`.
"""

from collections.abc import Mapping
from typing import Any

from palpate.core.grouping import grouped
from palpate.core.registry import SECTIONS
from palpate.report.results import NO_ATTACK, TaskResults
from palpate.report.run_data import RunData
from palpate.report.section import Section, caption, of_tables, ranked
from palpate.report.sections.leaderboard import counted
from palpate.report.tables import NONE, Cell, Column, Table, by_epsilon, decimal, epsilon_columns, radius, rate, table
from palpate.statistics.clinical import DIRECTIONS


@SECTIONS.register("errors")
@ranked(40, scope="task")
def section(data: RunData, task: str) -> Section | None:
    """Nothing where the task has not two classes, or no model has been evaluated."""
    found, classes = data.results.tasks[task], data.study.tasks[task].classes
    made = errors(task, found, classes), directed_radii(task, found, classes), operating_points(task, found)
    return of_tables("False negatives and false positives", [*made[0], *made[1:]])


def errors(task: str, found: TaskResults, classes: tuple[str, ...]) -> list[Table]:
    """Rates of both errors at every epsilon, of models with signal: a table for all attacks that share their norm and epsilons."""
    rows = [row for row in found.errors if row["model_id"] not in _silent(found) and row["attack_id"] != NO_ATTACK]
    grids: dict[str, dict[int, tuple[float, str]]] = {}
    for row in rows:
        if row["epsilon_index"]:  # the clean prediction has no norm
            grids.setdefault(row["attack_id"], {0: (0.0, "")})[row["epsilon_index"]] = row["epsilon"], row["norm"]
    shared = grouped((tuple(sorted(grid.items())), attack) for attack, grid in grids.items())
    return [
        _errors(f"{task}-errors{f'-{place}' * bool(place)}", [row for row in rows if row["attack_id"] in attacks], dict(grid), classes)
        for place, (grid, attacks) in enumerate(shared.items())
    ]  # fmt: skip


def _errors(name: str, rows: list[Any], grid: dict[int, tuple[float, str]], classes: tuple[str, ...]) -> Table:
    ordered = sorted(rows, key=lambda row: (row["attack_id"], row["model_id"], -row["label"]))
    columns: list[Column] = [("model", "model_id"), ("attack", "attack_id")]
    columns += [("error", lambda line: f"{line['error']}s"), ("n", "n"), *epsilon_columns(grid)]
    lines = by_epsilon(ordered, "model_id", "attack_id", "error")
    return table(name, caption("errors", classes=classes), columns, lines, rows)


def directed_radii(task: str, found: TaskResults, classes: tuple[str, ...]) -> Table | None:
    """The median radius to a missed disease and to a false alarm, of models with signal."""
    rows = [row for row in found.directed_radii if row["model_id"] not in _silent(found)]
    lines: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: (row["attack_id"], row["model_id"])):
        lines.setdefault((row["model_id"], row["attack_id"]), {})[row["direction"]] = row
    if not lines:
        return None
    columns: list[Column] = [("model", lambda line: line[0][0]), ("attack", lambda line: line[0][1])]
    for name in DIRECTIONS.values():
        columns.append((name, lambda line, name=name: _median(line[1].get(name))))
        columns.append(("n", lambda line, name=name: _images(line[1].get(name))))
    words = caption("directed-radii", classes=classes)
    return table(f"{task}-directed-radii", words, columns, lines.items(), rows)


def operating_points(task: str, found: TaskResults) -> Table | None:
    """AUROC, sensitivity, specificity, Brier score and calibration error of each model."""
    rows = found.operating_points
    if not rows:
        return None
    notes = "".join(f" {row['model_id']}: {row['note']}." for row in rows if row["note"])
    columns: list[Column] = [("model", "model_id"), ("n", "n"), ("AUROC", lambda row: _decimal(row, "auroc"))]
    shares = ("sensitivity", "specificity")
    columns += [(name, lambda row, name=name: rate({**row, "note": ""}, name)) for name in shares]
    columns.append(("Brier score", lambda row: _decimal(row, "brier")))
    columns.append(("calibration error", lambda row: _decimal(row, "calibration_error")))
    return table(f"{task}-operating-points", caption("operating-points", notes=notes), columns, rows, rows)


def _silent(found: TaskResults) -> set[str]:
    """The models without signal."""
    return {one.model_id for one in found.curves if one.signal is False}


def _median(row: Mapping[str, Any] | None) -> Cell:
    return NONE if row is None else radius(row["median_radius"], row["low"], row["high"], row["largest"], row["norm"])


def _images(row: Mapping[str, Any] | None) -> Cell:
    return counted(row["n"], row["failed"], 0) if row else counted(0, 0, 0)


def _decimal(row: Mapping[str, Any], name: str) -> Cell:
    return decimal(row[name], row[f"{name}_low"], row[f"{name}_high"])
