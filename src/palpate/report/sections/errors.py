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
from palpate.statistics.clinical import DIRECTIONS

MEASURES = ("auroc", "sensitivity", "specificity", "brier", "calibration_error")


@SECTIONS.register("errors")
@ranked(40, scope="task")
def section(data: RunData, task: str) -> Section | None:
    """Nothing where the task has not two classes, or no model has been evaluated."""
    found, classes = data.results.tasks[task], data.study.tasks[task].classes
    made = (directed_radii(task, found, classes), operating_points(task, found))
    tables = [*errors(task, found, classes), *(table for table in made if table)]
    if not tables:
        return None
    return Section("False negatives and false positives", render("tables.html", tables=tables), tables=tuple(tables))


def errors(task: str, found: TaskResults, classes: tuple[str, ...]) -> list[Table]:
    """Rates of both errors at every epsilon, of models with signal: a table for all attacks that share their norm and epsilons."""
    silent = {one.model_id for one in found.curves if one.signal is False}
    rows = [row for row in found.errors if row["model_id"] not in silent and row["attack_id"] != NO_ATTACK]
    grids: dict[str, dict[int, tuple[str | None, float]]] = {}
    for row in rows:
        if row["epsilon_index"]:  # the clean prediction has no norm
            grids.setdefault(row["attack_id"], {})[row["epsilon_index"]] = row["norm"], row["epsilon"]
    shared: dict[tuple, list[str]] = {}
    for attack, grid in grids.items():
        shared.setdefault(tuple(sorted(grid.items())), []).append(attack)
    return [
        _errors(
            f"{task}-errors{f'-{place}' * bool(place)}", [row for row in rows if row["attack_id"] in attacks], classes
        )
        for place, attacks in enumerate(shared.values())
    ]


def _errors(name: str, rows: list[dict[str, Any]], classes: tuple[str, ...]) -> Table:
    lines: dict[tuple, dict[int, dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: (row["attack_id"], row["model_id"], -row["label"], row["epsilon_index"])):
        lines.setdefault((row["model_id"], row["attack_id"], row["error"]), {})[row["epsilon_index"]] = row
    steps = dict(sorted((row["epsilon_index"], (row["epsilon"], row["norm"] or "linf")) for row in rows))
    return Table(
        name=name,
        caption=f"False negatives: images of “{classes[1]}” classified as “{classes[0]}”; false positives: the reverse. "
        "Of the attacked images, 95% intervals in brackets.",
        columns=("model", "attack", "error", "n", *(epsilon_column(*step) for step in steps.values())),
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


def directed_radii(task: str, found: TaskResults, classes: tuple[str, ...]) -> Table | None:
    """The median radius to a missed disease and to a false alarm, of models with signal."""
    silent = {one.model_id for one in found.curves if one.signal is False}
    rows = [row for row in found.directed_radii if row["model_id"] not in silent]
    lines: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for row in rows:
        lines.setdefault((row["model_id"], row["attack_id"]), {})[row["direction"]] = row
    if not lines:
        return None
    return Table(
        name=f"{task}-directed-radii",
        caption=f"Median radius to a missed disease, of images of “{classes[1]}” that are classified correctly, and to a false alarm, of those of "
        f"“{classes[0]}”; n images each, 95% intervals in brackets.",
        columns=("model", "attack", *(head for name in DIRECTIONS.values() for head in (name, "n"))),
        rows=tuple(
            (
                Cell(model),
                Cell(attack, mark="left"),
                *(cell for name in DIRECTIONS.values() for cell in _radius(both.get(name))),
            )
            for (model, attack), both in sorted(lines.items(), key=lambda line: line[0][::-1])
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


def _radius(row: dict[str, Any] | None) -> tuple[Cell, Cell]:
    if row is None:
        return Cell(formatting.NO_VALUE), Cell("0", key=0)
    text = formatting.epsilon_interval(row["median_radius"], row["low"], row["high"], row["largest"], row["norm"])
    value = float("inf") if row["median_radius"] is None else row["median_radius"]
    return Cell(text, key=min(value, 1e9)), Cell(
        str(row["n"]), f"{row['failed']} failed" if row["failed"] else "", key=row["n"]
    )


def _measure(row: dict[str, Any], name: str) -> Cell:
    """AUROC, Brier score and calibration error as decimals, shares in percent."""
    value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    if value is None:
        return Cell(formatting.NO_VALUE)
    if name in ("sensitivity", "specificity"):
        return share(value, low, high, row["n"])
    return Cell(f"{value:.2f}", "" if low is None or high is None else f"[{low:.2f}, {high:.2f}]", key=value)
