"""Missed disease and false alarm in subgroups of the images: of sex, age, site or whatever else their metadata say.

All numbers are those of `palpate.statistics.subgroups`.
"""

from typing import Any

from palpate.core.grouping import grouped
from palpate.core.registry import SECTIONS
from palpate.report.results import NO_ATTACK
from palpate.report.run_data import RunData
from palpate.report.section import Section, caption, of_tables, ranked
from palpate.report.tables import Column, Table, by_epsilon, epsilon_columns, table


@SECTIONS.register("subgroups")
@ranked(45, scope="task")
def section(data: RunData, task: str) -> Section | None:
    """A table for each attack and error; nothing where the images have no metadata."""
    found = grouped(((row["attack_id"], row["error"]), row) for row in data.results.tasks[task].subgroups)
    record = data.study.tasks[task]
    disease = ", ".join(record.classes[label] for label in record.disease)
    tables = [_table(task, attack, error, disease, rows) for (attack, error), rows in found.items()]
    return of_tables("Subgroups of the images", tables)


def _table(task: str, attack: str, error: str, disease: str, rows: list[dict[str, Any]]) -> Table:
    clean = attack == NO_ATTACK
    decision = "by the largest logit"
    if disease and rows[0]["decision"] == "threshold":
        decision = "at the threshold fixed on the clean validation images"
    elif disease and not clean:
        decision += ", because no other threshold means anything where this attack leaves its images"
    done = "corrupted" if rows[-1]["norm"] == "severity" else "attacked"
    where = "clean images of the whole test split" if clean else f"{done} by {attack}"
    steps = {row["epsilon_index"]: (row["epsilon"], rows[-1]["norm"] or "linf") for row in rows}
    columns: list[Column] = [("model", "model_id"), ("subgroup", lambda line: f"{line['column']}: {line['value']}")]
    columns += [("n", "n"), *epsilon_columns(steps)]
    words = caption("subgroups", what=caption(error, disease=disease), where=where, decision=decision)
    lines = by_epsilon(rows, "model_id", "column", "value")
    return table(f"{task}-subgroups-{attack}-{error}", words, columns, lines, rows)
