"""The opening section: for each task one sentence, the models ranked by one measure, and the main curve."""

import dataclasses

from palpate.core import formatting
from palpate.core.registry import SECTIONS
from palpate.report import verdicts
from palpate.report.contrasts import Contrast
from palpate.report.figures import curve_figure
from palpate.report.line_styles import line_styles
from palpate.report.results import Results, TaskResults
from palpate.report.run_data import RunData
from palpate.report.section import Plot, Section, caption, ranked, render
from palpate.report.tables import NONE, Cell, Column, Table, epsilon_columns, radius, share, table
from palpate.statistics.leaderboard import Entry, Leaderboard, radius_key
from palpate.statistics.paired import halfway

CHECKED = {"fail": "a check failed", "warn": "warning", "pass": "no failure", "not run": "not checked"}


@SECTIONS.register("leaderboard")
@ranked(10)
def section(data: RunData) -> Section:
    """A part for each task; a task without an attacked model says so."""
    parts, tables = [], []
    for task, found in data.results.tasks.items():
        board = next(iter(found.leaderboards), None)
        with formatting.native(found.scale):
            made = board_table(data.results, task, board) if board else None
            plot = board_plot(task, board) if board else None
            parts.append((task, found.title, sentence(found), made, plot))
        tables += [made] if made else []
    html = render("leaderboard.html", parts=parts, checked=bool(data.results.checks))
    return Section("Up to which ε does each model keep its predictions?", html, "Robustness", tuple(tables))


def sentence(found: TaskResults) -> str:
    """The result of a task in one sentence; it names the first model and calls none robust."""
    if not found.leaderboards:
        return "No model of this task has been attacked yet."
    board = found.leaderboards[0]
    ranked = [entry for entry in board.entries if entry.rank is not None]
    if not ranked:
        return "No model predicts better than chance on clean images, so no robustness is stated."
    best, *others = ranked
    text = f"Attacked by {board.attack_id} on {formatting.plural(best.images, 'image')}, {_half(board, best)}"
    if others:
        radius = _equals(radius_text(board, others[0]))
        text += f"; the next of {len(others) + 1} models is {others[0].name} (ε {radius})"
        if radius_key(others[0]) > radius_key(best):
            text += ", which has a larger median radius but is more accurate at no ε"
        first = sum(entry.rank_low == 1 for entry in ranked)
        if first > 1:
            text += f". These images do not tell {'them' if first == len(ranked) else f'the first {first}'} apart"
    return text + "."


def _half(board: Leaderboard, entry: Entry) -> str:
    found = entry.median_radius
    if found is None:
        return f"{entry.name} classifies no image correctly"
    last = formatting.epsilon(entry.accuracy[-1].epsilon, board.norm)
    if found.value is None:
        return f"{entry.name} keeps more than half of its correct predictions up to the largest ε tried, {last}"
    return f"{entry.name} loses half of its correct predictions at ε {_equals(radius_text(board, entry))}"


def _equals(text: str) -> str:
    return text if text[0] in "≤>" else f"= {text}"


def radius_text(board: Leaderboard, entry: Entry, norm: str | None = None) -> str:
    """The median radius with its interval; "≤" where radii are only known to lie at or below an epsilon tried; norm "" leaves grey levels out."""
    found = entry.median_radius
    if found is None:
        return formatting.NO_VALUE
    last, norm = entry.accuracy[-1].epsilon, board.norm if norm is None else norm
    text = formatting.epsilon_interval(found.value, found.low, found.high, last, norm)
    return text if board.continuous or found.value is None else f"≤ {text}"


def some_steps(board: Leaderboard, every: bool = False) -> dict[int, tuple[float, str]]:
    """By index value and norm of two or three fixed epsilons, the smallest, the middle and the largest, or of every one."""
    points = {(point.epsilon_index, point.epsilon) for entry in board.entries for point in entry.accuracy}
    steps = [(index, (epsilon, board.norm)) for index, epsilon in sorted(points)][1:]
    return dict(steps if every else [steps[place] for place in sorted({0, len(steps) // 2, len(steps) - 1})])


def board_plot(task: str, board: Leaderboard) -> Plot:
    """The curves of a leaderboard, with the order as its text."""
    styles = line_styles([entry.name for entry in board.entries])
    order = ", ".join(entry.name for entry in board.entries if entry.rank is not None) or "no model has signal"
    name = f"curve-{task}-{board.attack_id}".replace("#", "-")
    return Plot(name, curve_figure(board, styles), f"Accuracy by epsilon, most robust first: {order}.")


def board_table(results: Results, task: str, board: Leaderboard, every: bool = False) -> Table:
    """A leaderboard at two or three fixed epsilons, or at every epsilon without radius, difference and checks."""
    several = any(len(entry.runs) > 1 or entry.left_out for entry in board.entries)
    ranked = [entry for entry in board.entries if entry.rank is not None]
    silent = "; no signal: balanced accuracy is not above chance" * any(one.signal is False for one in board.entries)
    contrasts = results.tasks[task].contrasts
    columns: list[Column] = [
        ("#", rank),
        ("model", lambda one: one.name),
        *([("runs", runs)] if several else []),
        ("n", lambda one: counted(one.images, one.failed, one.no_gradient)),
        ("clean accuracy", lambda one: accuracy(one, 0)),
        ("balanced accuracy", balanced),
        *epsilon_columns(some_steps(board, every), accuracy),
    ]
    if not every:
        columns += [
            ("median radius", lambda one: median_radius(board, one)),
            ("Δ with attention|points", lambda one: _difference(board, one, contrasts)),
            ("checks", lambda one: status_cell(checked(results, task, one))),
        ]
    return table(
        f"{task}-{'accuracy' if every else 'leaderboard'}-{board.attack_id}",
        caption("leaderboard", attack=board.attack_id, groups=_groups(board), silent=silent),
        columns,
        board.entries,
        [record(results, task, board, entry) for entry in board.entries],
        header=1,
        line=len(ranked) if len(ranked) < len(board.entries) else None,
    )  # fmt: skip


def _groups(board: Leaderboard) -> str:
    """From how many patients or lesions the images are, where they are fewer and the same for all models."""
    counts = {(entry.images, entry.groups) for entry in board.entries}
    images, groups = counts.pop()
    return f" ({groups} patients or lesions)" if not counts and groups < images else ""


def record(results: Results, task: str, board: Leaderboard, entry: Entry) -> dict[str, object]:
    """A model's line of the CSV, at full precision."""
    found: dict[str, object] = {"task": task, "finding": board.finding, "attack_id": board.attack_id}
    found |= {name: getattr(entry, name) for name in ("rank", "rank_low", "rank_high")} | {"model": entry.name}
    found |= {"runs": len(entry.runs), "runs_without_signal": len(entry.left_out)}
    found |= {"signal": entry.signal, "n": entry.images}
    found |= {name: getattr(entry, name) for name in ("groups", "failed", "no_gradient", "majority_rate")}
    ends = {"": "value", "_low": "low", "_high": "high"}
    for name in ("balanced_accuracy", "median_radius"):
        found |= {name + end: getattr(getattr(entry, name), field, None) for end, field in ends.items()}
    for point in entry.accuracy:
        name = "clean_accuracy" if point.epsilon_index == 0 else f"accuracy_at_{point.epsilon:.6g}"
        found |= {name: point.value, f"{name}_low": point.low, f"{name}_high": point.high}
    return found | {"checks": checked(results, task, entry)}


def checked(results: Results, task: str, entry: Entry) -> str:
    """The worst status of the checks of an entry's runs; "not run" where one of them was not checked."""
    found = [one.status for one in results.checks if one.task == task and one.model_id in entry.runs]
    if "fail" not in found and (len(found) < len(entry.runs) or "not run" in found):
        return "not run"
    return verdicts.worst(found)


def rank(entry: Entry) -> Cell:
    """The rank, and below its interval unless it holds the rank alone."""
    alone = entry.rank_low is None or entry.rank_low == entry.rank_high
    limits = "" if alone else f"{entry.rank_low}–{entry.rank_high}"
    return Cell(formatting.NO_VALUE if entry.rank is None else str(entry.rank), limits, key=entry.rank)


def runs(entry: Entry) -> Cell:
    """How many trainings are counted, and below how many are not."""
    left_out = f"{len(entry.left_out)} without signal" if entry.left_out else ""
    return Cell(str(len(entry.runs)), left_out, key=len(entry.runs))


def counted(images: int, failed: int, no_gradient: int) -> Cell:
    """A number of images, and below those that were attacked in vain or not at all."""
    lost = ", ".join(f"{count} {word}" for count, word in ((failed, "failed"), (no_gradient, "no gradient")) if count)
    return Cell(str(images), lost, "bad" if lost else "", images)


def balanced(entry: Entry) -> Cell:
    """Clean balanced accuracy; of images of one class there is none."""
    found = entry.balanced_accuracy
    return share(found.value, found.low, found.high, entry.images) if found else NONE


def accuracy(entry: Entry, index: int, decimals: bool = True) -> Cell:
    """The accuracy at an epsilon, by its index; one without signal has none but the clean one."""
    if index and entry.signal is False:
        return Cell("no signal", mark="none")
    point = next((one for one in entry.accuracy if one.epsilon_index == index), None)
    majority = entry.majority_rate if index else None
    n = entry.images if decimals else 0
    return share(point.value, point.low, point.high, n, majority) if point else NONE


def median_radius(board: Leaderboard, entry: Entry) -> Cell:
    """With its interval below; "≤" where radii are only known to lie at or below an epsilon tried."""
    found = entry.median_radius
    if found is None or entry.signal is False:
        return NONE
    cell = radius(found.value, found.low, found.high, entry.accuracy[-1].epsilon, board.norm)
    return cell if board.continuous or found.value is None else dataclasses.replace(cell, text=f"≤ {cell.text}")


def status_cell(status: str) -> Cell:
    """The worst status of checks, in words."""
    return Cell(CHECKED[status], "do not rely on this row" * (status == "fail"), f"status {status.replace(' ', '-')}")


def _difference(board: Leaderboard, entry: Entry, contrasts: tuple[Contrast, ...]) -> Cell:
    """The difference that attention makes at the epsilon where both models together have lost half of their accuracy."""
    for one in contrasts:
        if (one.finding, one.attack_id, one.name) == (board.finding, board.attack_id, entry.name) and one.comparison:
            point = halfway(one.comparison.points)
            limits = f"[{formatting.points(point.low)}, {formatting.points(point.high)}]"
            where = f" at {formatting.number(point.epsilon)}" if point.epsilon else " clean"
            return Cell(formatting.points(point.points, plus=True), limits + where, key=point.points)
    return NONE
