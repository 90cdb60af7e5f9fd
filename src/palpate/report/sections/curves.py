"""The accuracy of a task's models at every epsilon: architectures with their seeds together, and each run by itself."""

from typing import Any

from palpate.core import formatting
from palpate.core.grouping import grouped
from palpate.core.registry import SECTIONS
from palpate.report.results import NO_ATTACK, Curve, Point
from palpate.report.run_data import RunData
from palpate.report.section import Section, caption, ranked, render
from palpate.report.sections.leaderboard import board_plot, board_table, counted
from palpate.report.tables import NONE, Cell, Column, Table, epsilon_columns, percent, share, table


@SECTIONS.register("curves")
@ranked(20, scope="task")
def section(data: RunData, task: str) -> Section | None:
    """A figure for each attack but the first, which opens the report, and two tables for each."""
    found = data.results.tasks[task]
    if not found.curves:
        return None
    made = [board_table(data.results, task, board, every=True) for board in found.leaderboards]
    plots = [board_plot(task, board) if place else None for place, board in enumerate(found.leaderboards)]
    runs = run_tables(task, found.curves)
    html = render("curves.html", parts=list(zip(plots, made, strict=True)), runs=runs)
    return Section("Accuracy at every ε", html, tables=(*made, *runs))


def run_tables(task: str, curves: tuple[Curve, ...]) -> list[Table]:
    """One table for each finding and attack, a row per run."""
    found = grouped(((one.finding, one.attack_id), one) for one in curves)
    several = len({finding for finding, _ in found}) > 1
    return [_table(task, finding if several else "", attack, lines) for (finding, attack), lines in found.items()]


def _table(task: str, finding: str, attack: str, curves: list[Curve]) -> Table:
    steps = {point.epsilon_index: (point.epsilon, curves[0].norm) for one in curves for point in one.attacked}
    subject = ", ".join(part for part in (finding, "not attacked" if attack == NO_ATTACK else attack) if part)
    silent = [formatting.percent(one.start.chance) for one in curves if one.signal is False]
    chance = f" No signal: balanced accuracy is not above chance ({silent[0]})." if silent else ""
    columns: list[Column] = [
        ("model", lambda one: one.model_id),
        ("n", _images),
        ("clean accuracy", lambda one: share(one.start.accuracy, one.start.low, one.start.high, one.start.n)),
        ("majority rate", lambda one: percent(one.start.majority_rate, one.start.n)),
        ("balanced accuracy", lambda one: _balanced(one.start)),
        *epsilon_columns(steps, _accuracy),
    ]
    which = "test" if attack == NO_ATTACK else "attacked"
    records = [each for one in curves for each in _records(task, one)]
    words = caption("runs", subject=subject, which=which, chance=chance)
    return table(f"{task}-runs-{subject}", words, columns, curves, records)


def _images(one: Curve) -> Cell:
    points = one.points or (one.start,)
    return counted(one.start.n, max(point.failed for point in points), max(point.no_gradient for point in points))


def _balanced(start: Point) -> Cell:
    return share(start.balanced_accuracy, start.balanced_low, start.balanced_high, start.n)


def _accuracy(one: Curve, index: int) -> Cell:
    if one.signal is False:
        return Cell("no signal", mark="none")
    point = next((point for point in one.points if point.epsilon_index == index), None)
    return share(point.accuracy, point.low, point.high, point.n, point.majority_rate) if point else NONE


def _records(task: str, one: Curve) -> list[dict[str, Any]]:
    """Every point; `images` says whether it counts the whole test split or the attacked images."""
    about = {"task": task, "finding": one.finding, "model_id": one.model_id}
    every = [(one.clean, {"attack_id": NO_ATTACK, "images": "test split"})] if one.clean else []
    every += [(point, {"attack_id": one.attack_id, "images": "attacked"}) for point in one.points]
    return [about | where | point.to_dict() | {"signal": one.signal} for point, where in every]
