"""Attacks and corruptions on one page: how much of each until half of the correct images are misclassified, and whether one predicts the other."""

from collections.abc import Iterable
from typing import Any

from palpate.core import formatting
from palpate.core.registry import SECTIONS
from palpate.report import verdicts
from palpate.report.corruptions import CorruptionResults, severity_text
from palpate.report.line_styles import line_styles
from palpate.report.multiples import height, multiples_figure
from palpate.report.results import TaskResults
from palpate.report.run_data import RunData
from palpate.report.section import Plot, Section, ranked, render
from palpate.report.tables import Cell, Table
from palpate.statistics.leaderboard import Entry, Leaderboard


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
    figure = Plot(
        f"severities-{task}", multiples_figure(panels, line_styles(names)), "Accuracy by severity, a panel for each attack and corruption."
    )  # fmt: skip
    severities, correlations = severity_table(task, found, names), correlation_table(task, found)
    details = [table for table in (check_table(data, task), error_table(task, found), about(task, found)) if table]
    html = render(
        "corruptions.html", severities=severities, figure=figure, height=height(len(panels)), correlations=correlations, details=details
    )  # fmt: skip
    tables = tuple(table for table in (severities, correlations, *details) if table)
    return Section("Attacks and corruptions: how much it takes", html, tables=tables)


def severity_table(task: str, found: TaskResults, names: list[str]) -> Table:
    """One row per attack and corruption, a column per architecture."""
    lines: list[tuple[Leaderboard, CorruptionResults | None]] = [(board, None) for board in found.leaderboards]
    lines += [(one.leaderboard, one) for one in found.corruptions]
    return Table(
        name=f"{task}-severities",
        caption="How much until half of the correct images are misclassified: the median of the smallest radius or severity per image, over "
        "the images that each model classifies correctly, with its 95% interval; “>”: not up to there. Of a corruption the first "
        "severity at which the class changes counts.",
        columns=("attack or corruption", "unit", *names),
        rows=tuple(
            (
                Cell(board.attack_id),
                Cell(one.unit if one else f"ε ({board.norm})", mark="left"),
                *(_median(board, one, entry) for entry in _entries(board, names)),
            )
            for board, one in lines
        ),
        records=tuple(_record(task, board, one, names) for board, one in lines),
        sortable=True,
    )


def correlation_table(task: str, found: TaskResults) -> Table | None:
    """Spearman's ρ of radius and severity: per model over its images, the mean, and over the models' medians."""
    shown = [one for one in found.corruptions if one.correlations]
    if not shown:
        return None
    models = list(dict.fromkeys(each.model_id for one in shown for each in one.correlations))
    between = any(one.between_models is not None for one in shown)
    return Table(
        name=f"{task}-correlations",
        caption=f"Does the radius under {shown[0].attack_id} predict the severity under a corruption? Spearman's ρ over the images "
        "that a model classifies correctly, 95% intervals by drawing patients; 0: no relation, 1: the same order of images."
        + (" Last column: over the models, of their medians." if between else ""),
        columns=("corruption", *models, *(["between models"] if between else [])),
        rows=tuple(
            (
                Cell(one.name),
                *(_rho(one, model) for model in models),
                *([_number(one.between_models)] if between else []),
            )
            for one in shown
        ),
        records=tuple({"task": task, "corruption": one.name, **each.to_dict()} for one in shown for each in one.correlations),
        sortable=True,
    )  # fmt: skip


def check_table(data: RunData, task: str) -> Table:
    """For each corruption and model the checks of its result that did not pass."""
    rows, records = [], []
    for stage in data.of("corrupt", task):
        status, summary, each = verdicts.read(stage)
        name, facts = stage.planned.spec["corruption"], stage.facts
        seen = [one.advice for one in each if one.status != "pass"]
        if each:
            seen.append(f"{facts['several_crossings']} of {facts['images']} images changed class more than once.")
        mark = f"status {status.replace(' ', '-')}"
        words = Cell(" ".join(seen) or summary, mark="left")
        rows.append((Cell(name), Cell(stage.model_id, mark="left"), Cell(status, mark=mark), words))
        records += [{"task": task, "corruption": name, "model_id": stage.model_id, **one.to_dict()} for one in each]
    return Table(
        name=f"{task}-corruption-checks",
        caption="Checks of each corruption's result: severity 0 leaves the image, seeds repeat, values stay in [0, 1], the network sees "
        "the change, the severity still grows.",
        columns=("corruption", "model", "status", "what was seen"),
        rows=tuple(rows),
        records=tuple(records),
        sortable=True,
    )


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
    return Table(
        name=f"{task}-corruption-errors",
        caption="Errors of each class at the largest severity tried at which they are not more than half; all severities are in the CSV.",
        columns=("corruption", "model", "error", "severity", "rate"),
        rows=tuple(
            (
                Cell(row["attack_id"]),
                Cell(row["model_id"], mark="left"),
                Cell(row["error"], mark="left"),
                Cell(formatting.number(row["epsilon"]), key=row["epsilon"]),
                Cell(formatting.percent(row["rate"], row["n"]), formatting.interval(row["low"], row["high"], row["n"]), key=row["rate"]),
            )
            for row in kept.values()
        ),
        records=tuple(rows),
        sortable=True,
    )  # fmt: skip


def about(task: str, found: TaskResults) -> Table:
    """What each corruption is, and where its form comes from."""
    return Table(
        name=f"{task}-corruption-sources",
        caption="What the corruptions are; docs/corruptions.md shows each.",
        columns=("corruption", "for", "unit", "largest", "source"),
        rows=tuple(
            (
                Cell(one.name),
                Cell(one.modality, mark="left"),
                Cell(one.unit, mark="left"),
                Cell(formatting.number(one.largest), severity_text(one, one.largest)),
                Cell(one.source, mark="left"),
            )
            for one in found.corruptions
        ),
        records=tuple(one.to_dict() for one in found.corruptions),
    )


def _entries(board: Leaderboard, names: list[str]) -> Iterable[Entry | None]:
    entries = {entry.name: entry for entry in board.entries}
    return (entries.get(name) for name in names)


def _median(board: Leaderboard, one: CorruptionResults | None, entry: Entry | None) -> Cell:
    if entry is None or entry.signal is False or entry.median_radius is None:
        return Cell("no signal" if entry and entry.signal is False else formatting.NO_VALUE, mark="none")
    found, top = entry.median_radius, max(point.epsilon for point in entry.accuracy)
    text, _, rest = formatting.epsilon_interval(found.value, found.low, found.high, top, board.norm).partition(" [")
    below = f"[{rest} " if rest else ""
    below += severity_text(one, found.value) if one else ""
    return Cell(text, below.strip(), key=top * 2 if found.value is None else found.value)


def _record(task: str, board: Leaderboard, one: CorruptionResults | None, names: list[str]) -> dict[str, Any]:
    record: dict[str, Any] = {
        "task": task,
        "attack_id": board.attack_id,
        "norm": board.norm,
        "unit": one.unit if one else "",
    }
    for name, entry in zip(names, _entries(board, names), strict=True):
        found = entry.median_radius if entry and entry.signal is not False else None
        record |= {
            f"{name} {part}": getattr(found, part) if found else None for part in ("value", "low", "high", "images")
        }
    return record


def _rho(one: CorruptionResults, model: str) -> Cell:
    each = next((each for each in one.correlations if each.model_id == model), None)
    if each is None:
        return Cell(formatting.NO_VALUE)
    return Cell(f"{each.value:.2f}", f"[{each.low:.2f}, {each.high:.2f}]", key=each.value)


def _number(value: float | None) -> Cell:
    return Cell(formatting.NO_VALUE if value is None else f"{value:.2f}", key=value)
