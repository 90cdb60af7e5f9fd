"""False negatives and false positives of two-class tasks under attack, and the clinical operating point on clean images.

Accuracy mixes two errors that do different harm. All numbers are those of `palpate.statistics.clinical`.
"""

from typing import Any

from palpate.core import formatting
from palpate.core.registry import SECTIONS
from palpate.report.results import NO_ATTACK, TaskResults
from palpate.report.run_data import RunData
from palpate.report.section import Section, ranked, render
from palpate.report.tables import Cell, Table, epsilon_column, share

MEASURES = ("auroc", "sensitivity", "specificity", "brier", "calibration_error")


@SECTIONS.register("errors")
@ranked(40, scope="task")
def section(data: RunData, task: str) -> Section | None:
    """Nothing where the task has not two classes, or no model has been evaluated."""
    found, classes = data.results.tasks[task], data.study.tasks[task].classes
    tables = [table for table in (errors(task, found, classes), operating_points(task, found)) if table]
    if not tables:
        return None
    return Section("False negatives and false positives", render("tables.html", tables=tables), tables=tuple(tables))


def errors(task: str, found: TaskResults, classes: tuple[str, ...]) -> Table | None:
    """Rates of both errors at every epsilon, of models with signal."""
    silent = {one.model_id for one in found.curves if one.signal is False}
    rows = [row for row in found.errors if row["model_id"] not in silent and row["attack_id"] != NO_ATTACK]
    lines: dict[tuple, dict[int, dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: (row["attack_id"], row["model_id"], -row["label"], row["epsilon_index"])):
        lines.setdefault((row["model_id"], row["attack_id"], row["error"]), {})[row["epsilon_index"]] = row
    if not lines:
        return None
    steps = dict(sorted((row["epsilon_index"], row["epsilon"]) for row in rows))
    return Table(
        name=f"{task}-errors",
        caption=f"False negatives: images of “{classes[1]}” classified as “{classes[0]}”; false positives: the reverse. "
        "Of the attacked images, 95% intervals in brackets.",
        columns=(
            *("model", "attack", "error", "n"),
            *(epsilon_column(epsilon, rows[-1]["norm"]) for epsilon in steps.values()),
        ),
        rows=tuple(
            (
                Cell(model),
                Cell(attack, mark="left"),
                Cell(error + "s", mark="left"),
                Cell(str(points[0]["n"]), key=points[0]["n"]),
                *(_rate(points.get(index)) for index in steps),
            )
            for (model, attack, error), points in lines.items()
        ),
        records=tuple(rows),
        sortable=True,
    )


def operating_points(task: str, found: TaskResults) -> Table | None:
    """AUROC, sensitivity, specificity, Brier score and calibration error of each model."""
    if not found.operating_points:
        return None
    notes = "".join(f" {row['model_id']}: {row['note']}." for row in found.operating_points if row["note"])
    return Table(
        name=f"{task}-operating-points",
        caption="Clean images of the whole test split: AUROC; sensitivity and specificity at the threshold fixed on the validation images; "
        f"Brier score and calibration error (smaller is better). 95% intervals in brackets.{notes}",
        columns=("model", "n", "AUROC", "sensitivity", "specificity", "Brier score", "calibration error"),
        rows=tuple(
            (Cell(row["model_id"]), Cell(str(row["n"]), key=row["n"]), *(_measure(row, name) for name in MEASURES))
            for row in found.operating_points
        ),
        records=found.operating_points,
        sortable=True,
    )


def _rate(row: dict[str, Any] | None) -> Cell:
    return Cell(formatting.NO_VALUE) if row is None else share(row["rate"], row["low"], row["high"], row["n"])


def _measure(row: dict[str, Any], name: str) -> Cell:
    """AUROC, Brier score and calibration error as decimals, shares in percent."""
    value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    if value is None:
        return Cell(formatting.NO_VALUE)
    if name in ("sensitivity", "specificity"):
        return share(value, low, high, row["n"])
    return Cell(f"{value:.2f}", "" if low is None or high is None else f"[{low:.2f}, {high:.2f}]", key=value)
