"""Missed disease and false alarm in subgroups of the images: of sex, age, site or whatever else their metadata say.

All numbers are those of `palpate.statistics.subgroups`.
"""

from typing import Any

from palpate.core import formatting
from palpate.core.registry import SECTIONS
from palpate.report.results import NO_ATTACK
from palpate.report.run_data import RunData
from palpate.report.section import Section, ranked, render
from palpate.report.tables import Cell, Table, epsilon_column, share


@SECTIONS.register("subgroups")
@ranked(45, scope="task")
def section(data: RunData, task: str) -> Section | None:
    """A table for each attack and error; nothing where the images have no metadata."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in data.results.tasks[task].subgroups:
        found.setdefault((row["attack_id"], row["error"]), []).append(row)
    if not found:
        return None
    record = data.study.tasks[task]
    disease = ", ".join(record.classes[label] for label in record.disease)
    tables = tuple(_table(task, attack, error, disease, rows) for (attack, error), rows in found.items())
    return Section("Subgroups of the images", render("tables.html", tables=tables), tables=tables)


def _table(task: str, attack: str, error: str, disease: str, rows: list[dict[str, Any]]) -> Table:
    clean = attack == NO_ATTACK
    steps = dict(sorted((row["epsilon_index"], row["epsilon"]) for row in rows))
    lines: dict[tuple, dict[int, dict[str, Any]]] = {}
    for row in rows:
        lines.setdefault((row["model_id"], row["column"], row["value"]), {})[row["epsilon_index"]] = row
    means = {
        "missed disease": f"Missed disease: images of {disease} of which another class was found",
        "false alarm": f"False alarm: images of other classes in which {disease} was found",
        "misclassified": "Misclassified images",
    }
    by = {
        "threshold": "at the threshold fixed on the clean validation images",
        "model": "by the largest logit, because no other threshold means anything where this attack leaves its images",
    }
    decision = (
        by[rows[0]["decision"]]
        if disease and not (clean and rows[0]["decision"] == "model")
        else "by the largest logit"
    )
    where = "clean images of the whole test split" if clean else f"attacked by {attack}"
    return Table(
        name=f"{task}-subgroups-{attack}-{error}".replace("#", "-").replace(" ", "-"),
        caption=f"{means[error]}; {where}, {decision}. 95% intervals in brackets; no rate of too few images.",
        columns=(
            "model",
            "subgroup",
            "n",
            *(epsilon_column(epsilon, rows[-1]["norm"] or "linf") for epsilon in steps.values()),
        ),
        rows=tuple(
            (
                Cell(model),
                Cell(f"{column}: {value}", mark="left"),
                Cell(str(next(iter(points.values()))["n"]), key=next(iter(points.values()))["n"]),
                *(_rate(points.get(index)) for index in steps),
            )
            for (model, column, value), points in lines.items()
        ),
        records=tuple(rows),
        sortable=True,
    )


def _rate(row: dict[str, Any] | None) -> Cell:
    if row is None or row["rate"] is None:
        return Cell(formatting.NO_VALUE, "" if row is None else row["note"])
    return share(row["rate"], row["low"], row["high"], row["n"])
