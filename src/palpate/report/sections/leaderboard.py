"""The opening section: for each task one sentence, the models ranked by one measure, and the main curve."""

from palpate.core import formatting
from palpate.core.registry import SECTIONS
from palpate.report import verdicts
from palpate.report.contrasts import Contrast
from palpate.report.figures import curve_figure
from palpate.report.line_styles import line_styles
from palpate.report.results import Results, TaskResults
from palpate.report.run_data import RunData
from palpate.report.section import Plot, Section, ranked, render
from palpate.report.tables import Cell, Table, epsilon_column, share
from palpate.statistics.leaderboard import Entry, Leaderboard, radius_key
from palpate.statistics.sentences import halfway

CHECKED = {"fail": "a check failed", "warn": "warning", "pass": "no failure", "not run": "not checked"}


@SECTIONS.register("leaderboard")
@ranked(10)
def section(data: RunData) -> Section:
    """A part for each task; a task without an attacked model says so."""
    parts, tables = [], []
    for task, found in data.results.tasks.items():
        board = next(iter(found.leaderboards), None)
        with formatting.native(found.scale):
            table = board_table(data.results, task, board) if board else None
            plot = board_plot(task, board) if board else None
            parts.append((task, found.title, sentence(found), table, plot))
        tables += [table] if table else []
    html = render("leaderboard.html", parts=parts, checked=bool(data.results.checks))
    return Section("Robustness at a glance", html, "Robustness", tuple(tables))


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
        text += (
            f"; the next of {len(others) + 1} models is {others[0].name} (ε {_equals(radius_text(board, others[0]))})"
        )
        if radius_key(others[0]) > radius_key(best):
            text += ", which has a larger median radius but is more accurate at no ε"
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


def some_steps(board: Leaderboard, every: bool = False) -> list[tuple[int, float]]:
    """Index and value of two or three fixed epsilons, the smallest, the middle and the largest, or of every one."""
    steps = sorted({(point.epsilon_index, point.epsilon) for entry in board.entries for point in entry.accuracy})[1:]
    return steps if every else [steps[place] for place in sorted({0, len(steps) // 2, len(steps) - 1})]


def board_plot(task: str, board: Leaderboard) -> Plot:
    """The curves of a leaderboard, with the order as its text."""
    styles = line_styles([entry.name for entry in board.entries])
    order = ", ".join(entry.name for entry in board.entries if entry.rank is not None)
    name = f"curve-{task}-{board.attack_id}".replace("#", "-")
    return Plot(
        name, curve_figure(board, styles), f"Accuracy by epsilon, most robust first: {order or 'no model has signal'}."
    )


def board_table(results: Results, task: str, board: Leaderboard, every: bool = False) -> Table:
    """A leaderboard at two or three fixed epsilons, or at every epsilon without radius, difference and checks."""
    norm, shown = board.norm, some_steps(board, every)
    several = any(len(entry.runs) > 1 or entry.left_out for entry in board.entries)
    columns = ["#", "model", *(["runs"] if several else []), "n", "clean accuracy", "balanced accuracy"]
    columns += [epsilon_column(epsilon, norm) for _, epsilon in shown]
    columns += [] if every else ["median radius", "Δ with attention|points", "checks"]
    ranked = [entry for entry in board.entries if entry.rank is not None]
    rows = []
    for entry in board.entries:
        row = _start(entry, several) + _accuracies(entry, [index for index, _ in shown])
        rows.append(tuple(row if every else [*row, *_end(results, task, board, entry)]))
    return Table(
        name=f"{task}-{'accuracy' if every else 'leaderboard'}-{board.attack_id}".replace("#", "-"),
        caption=(
            f"Under attack by {board.attack_id}. All numbers are of the attacked images{_groups(board)}, 95% intervals in brackets. "
            "Below a rank: its 95% interval. Columns ε: classified correctly under attack; ▾ below the majority rate."
        ),
        columns=tuple(columns),
        rows=tuple(rows),
        records=tuple(record(results, task, board, entry) for entry in board.entries),
        header=1,
        line=len(ranked) if len(ranked) < len(board.entries) else None,
        sortable=True,
    )


def _groups(board: Leaderboard) -> str:
    """From how many patients or lesions the images are, where they are fewer and the same for all models."""
    counts = {(entry.images, entry.groups) for entry in board.entries}
    images, groups = counts.pop()
    return f" ({groups} patients or lesions)" if not counts and groups < images else ""


def record(results: Results, task: str, board: Leaderboard, entry: Entry) -> dict[str, object]:
    """A model's line of the CSV, at full precision."""
    balanced, radius = entry.balanced_accuracy, entry.median_radius
    found: dict[str, object] = {
        "task": task,
        "finding": board.finding,
        "attack_id": board.attack_id,
        "rank": entry.rank,
        "rank_low": entry.rank_low,
        "rank_high": entry.rank_high,
        "model": entry.name,
        "runs": len(entry.runs),
        "runs_without_signal": len(entry.left_out),
        "signal": entry.signal,
        "n": entry.images,
        "groups": entry.groups,
        "failed": entry.failed,
        "no_gradient": entry.no_gradient,
        "majority_rate": entry.majority_rate,
    }
    for name, part in (("balanced_accuracy", balanced), ("median_radius", radius)):
        found |= {
            f"{name}{end}": getattr(part, field, None)
            for end, field in (("", "value"), ("_low", "low"), ("_high", "high"))
        }
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


def _start(entry: Entry, several: bool) -> list[Cell]:
    lost = ", ".join(
        f"{count} {word}" for count, word in ((entry.failed, "failed"), (entry.no_gradient, "no gradient")) if count
    )
    left_out = f"{len(entry.left_out)} without signal" if entry.left_out else ""
    clean, balanced = entry.accuracy[0], entry.balanced_accuracy
    return [
        Cell(formatting.NO_VALUE if entry.rank is None else str(entry.rank), rank_limits(entry), key=entry.rank),
        Cell(entry.name),
        *([Cell(str(len(entry.runs)), left_out, key=len(entry.runs))] if several else []),
        Cell(str(entry.images), lost, "bad" if lost else "", entry.images),
        share(clean.value, clean.low, clean.high, entry.images),
        share(balanced.value, balanced.low, balanced.high, entry.images) if balanced else Cell(formatting.NO_VALUE),
    ]


def rank_limits(entry: Entry) -> str:
    """The interval of a rank; "" where it holds the rank alone or there is none."""
    if entry.rank_low is None or entry.rank_low == entry.rank_high:
        return ""
    return f"{entry.rank_low}–{entry.rank_high}"


def _accuracies(entry: Entry, indices: list[int]) -> list[Cell]:
    if entry.signal is False:
        return [Cell("no signal: balanced accuracy is not above chance", mark="none", span=len(indices))]
    found = {point.epsilon_index: point for point in entry.accuracy}
    return [
        share(point.value, point.low, point.high, entry.images, entry.majority_rate)
        if point
        else Cell(formatting.NO_VALUE)
        for point in (found.get(index) for index in indices)
    ]


def _end(results: Results, task: str, board: Leaderboard, entry: Entry) -> list[Cell]:
    status = checked(results, task, entry)
    checks = Cell(
        CHECKED[status], "do not rely on this row" if status == "fail" else "", f"status {status.replace(' ', '-')}"
    )
    if entry.signal is False:
        return [Cell(formatting.NO_VALUE), Cell(formatting.NO_VALUE), checks]
    found = entry.median_radius
    key = None if found is None else min(radius_key(entry), 1e9)
    text, *interval = radius_text(board, entry, norm="").split(" [")
    if found and found.value and board.norm == "linf":
        text += f" ({formatting.grey_levels(found.value)})"
    below = "".join(f"[{part}" for part in interval)
    return [Cell(text, below, key=key), _difference(board, entry, results.tasks[task].contrasts), checks]


def _difference(board: Leaderboard, entry: Entry, contrasts: tuple[Contrast, ...]) -> Cell:
    """The difference that attention makes at the epsilon where both models together have lost half of their accuracy."""
    for one in contrasts:
        if (one.finding, one.attack_id, one.name) == (board.finding, board.attack_id, entry.name) and one.comparison:
            point = halfway(one.comparison.points)
            limits = f"[{formatting.points(point.low)}, {formatting.points(point.high)}]"
            where = f" at {formatting.number(point.epsilon)}" if point.epsilon else " clean"
            return Cell(formatting.points(point.points, plus=True), limits + where, key=point.points)
    return Cell(formatting.NO_VALUE)
