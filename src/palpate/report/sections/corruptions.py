"""Attacks and corruptions on one page: how much of each until half of the correct images are misclassified, and whether one predicts the other."""

import dataclasses
from operator import attrgetter
from typing import Any

from palpate.core import formatting
from palpate.core.records import VerdictRecord
from palpate.core.registry import SECTIONS
from palpate.report import verdicts
from palpate.report.corruptions import CorruptionResults, severity_text
from palpate.report.figures import multiples_figure, multiples_height
from palpate.report.line_styles import line_styles
from palpate.report.results import TaskResults
from palpate.report.run_data import RunData
from palpate.report.section import Plot, Section, caption, ranked, render
from palpate.report.stages import Stage
from palpate.report.tables import NONE, Cell, Column, Table, decimal, radius, rate, table
from palpate.statistics.leaderboard import Entry, Leaderboard

Line = tuple[Leaderboard, CorruptionResults | None]
"""An attack, or a corruption with what is known of it."""


@SECTIONS.register("corruptions")
@ranked(30, scope="task")
def section(data: RunData, task: str) -> Section | None:
    """Nothing where the study has no corruption."""
    found = data.results.tasks[task]
    if not found.corruptions:
        return None
    boards = [*found.leaderboards, *(one.leaderboard for one in found.corruptions)]
    names = list(dict.fromkeys(entry.name for board in boards for entry in board.entries))
    panels = [(f"{board.attack_id}, ε {board.norm}", board, {}) for board in found.leaderboards]
    panels += [(f"{one.name}<br>{one.unit}", one.leaderboard, one.anchors) for one in found.corruptions]
    alt = "Accuracy by severity, a panel for each attack and corruption."
    figure = Plot(f"severities-{task}", multiples_figure(panels, line_styles(names)), alt)
    numbers = {"severities": severity_table(task, found, names), "correlations": correlation_table(task, found)}
    details = [one for one in (check_table(data, task), error_table(task, found), about(task, found)) if one]
    shown = {"figure": figure, "height": multiples_height(len(panels)), "details": details}
    html = render("corruptions.html", **numbers, **shown)
    tables = tuple(one for one in (*numbers.values(), *details) if one)
    return Section("Attacks and corruptions: how much it takes", html, tables=tables)


def severity_table(task: str, found: TaskResults, names: list[str]) -> Table:
    """One row per attack and corruption, a column per architecture."""
    lines: list[Line] = [(board, None) for board in found.leaderboards]
    lines += [(one.leaderboard, one) for one in found.corruptions]
    columns: list[Column] = [("attack or corruption", lambda line: line[0].attack_id)]
    columns.append(("unit", lambda line: line[1].unit if line[1] else f"ε ({line[0].norm})"))
    columns += [(name, lambda line, name=name: _median(line, name)) for name in names]
    records = [_record(task, line, names) for line in lines]
    return table(f"{task}-severities", caption("severities"), columns, lines, records)


def correlation_table(task: str, found: TaskResults) -> Table | None:
    """Spearman's ρ of radius and severity: per model over its images, the mean, and over the models' medians."""
    shown = [one for one in found.corruptions if one.correlations]
    if not shown:
        return None
    models = list(dict.fromkeys(each.model_id for one in shown for each in one.correlations))
    columns: list[Column] = [("corruption", lambda one: one.name)]
    columns += [(model, lambda one, model=model: _rho(one, model)) for model in models]
    between = any(one.between_models is not None for one in shown)
    if between:
        columns.append(("between models", lambda one: decimal(one.between_models)))
    records = [{"task": task, "corruption": one.name, **each.to_dict()} for one in shown for each in one.correlations]
    last = " Last column: over the models, of their medians." * between
    words = caption("correlations", attack=shown[0].attack_id, last=last)
    return table(f"{task}-correlations", words, columns, shown, records)


def check_table(data: RunData, task: str) -> Table:
    """For each corruption and model the checks of its result that did not pass."""
    lines = [(stage, *verdicts.read(stage)) for stage in data.of("corrupt", task)]

    def seen(stage: Stage, status: str, summary: str, each: tuple[VerdictRecord, ...]) -> str:
        if not each:
            return summary
        several = f"{stage.facts['several_crossings']} of {stage.facts['images']} images changed class more than once."
        return " ".join([*(one.advice for one in each if one.status != "pass"), several])

    return table(
        f"{task}-corruption-checks",
        caption("corruption-checks"),
        [
            ("corruption", lambda line: line[0].spec["corruption"]),
            ("model", lambda line: line[0].model_id),
            ("status", lambda line: Cell(line[1], mark=f"status {line[1].replace(' ', '-')}")),
            ("what was seen", lambda line: seen(*line)),
        ],
        lines,
        [
            {"task": task, "corruption": stage.spec["corruption"], "model_id": stage.model_id, **one.to_dict()}
            for stage, _, _, each in lines
            for one in each
        ],
    )  # fmt: skip


def error_table(task: str, found: TaskResults) -> Table | None:
    """False negatives and false positives at the severity nearest to the median, of tasks of two classes."""
    rows = [row for row in found.corruption_errors if row["epsilon_index"] > 0]
    if not rows:
        return None
    kept: dict[tuple[str, str, int], dict[str, Any]] = {}
    for row in rows:  # the last one below half is kept, else the first
        key = (row["attack_id"], row["model_id"], row["label"])
        if key not in kept or row["rate"] <= 0.5:
            kept[key] = row
    columns: list[Column] = [("corruption", "attack_id"), ("model", "model_id"), ("error", "error")]
    columns.append(("severity", lambda row: Cell(formatting.number(row["epsilon"]), key=row["epsilon"])))
    columns.append(("rate", rate))
    return table(f"{task}-corruption-errors", caption("corruption-errors"), columns, kept.values(), rows)


def about(task: str, found: TaskResults) -> Table:
    """What each corruption is, and where its form comes from."""

    def largest(one: CorruptionResults) -> Cell:
        return Cell(formatting.number(one.largest), severity_text(one, one.largest), key=one.largest)

    told = {"corruption": "name", "for": "modality", "unit": "unit", "largest": largest, "source": "source"}
    columns: list[Column] = [(head, attrgetter(make) if isinstance(make, str) else make) for head, make in told.items()]
    records = [one.to_dict() for one in found.corruptions]
    return table(f"{task}-corruption-sources", caption("corruption-sources"), columns, found.corruptions, records)


def _entry(board: Leaderboard, name: str) -> Entry | None:
    return next((entry for entry in board.entries if entry.name == name), None)


def _median(line: Line, name: str) -> Cell:
    board, one = line
    entry = _entry(board, name)
    if entry is None or entry.signal is False or entry.median_radius is None:
        return Cell("no signal" if entry and entry.signal is False else formatting.NO_VALUE, mark="none")
    found = entry.median_radius
    cell = radius(found.value, found.low, found.high, max(point.epsilon for point in entry.accuracy), board.norm)
    return dataclasses.replace(cell, below=f"{cell.below} {severity_text(one, found.value)}".strip()) if one else cell


def _record(task: str, line: Line, names: list[str]) -> dict[str, Any]:
    board, one = line
    unit = one.unit if one else ""
    record: dict[str, Any] = {"task": task, "attack_id": board.attack_id, "norm": board.norm, "unit": unit}
    for name in names:
        entry = _entry(board, name)
        found = entry.median_radius if entry and entry.signal is not False else None
        record |= {f"{name} {part}": getattr(found, part, None) for part in ("value", "low", "high", "images")}
    return record


def _rho(one: CorruptionResults, model: str) -> Cell:
    each = next((each for each in one.correlations if each.model_id == model), None)
    return decimal(each.value, each.low, each.high) if each else NONE
