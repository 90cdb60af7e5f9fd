"""The accuracy of a task's models at every epsilon: architectures with their seeds together, and each run by itself."""

from palpate.core import formatting
from palpate.core.registry import SECTIONS
from palpate.report.results import NO_ATTACK, Curve
from palpate.report.run_data import RunData
from palpate.report.section import Section, ranked, render
from palpate.report.sections.leaderboard import board_plot, board_table
from palpate.report.tables import Cell, Table, epsilon_column, share

LOST = {"failed": "failed", "no_gradient": "no gradient"}
"""Images that were attacked in vain or not at all, as a field of `Point` or `Entry`, and in words."""


@SECTIONS.register("curves")
@ranked(20, scope="task")
def section(data: RunData, task: str) -> Section | None:
    """A figure for each attack but the first, which opens the report, and two tables for each."""
    found = data.results.tasks[task]
    if not found.curves:
        return None
    parts = [
        (board_plot(task, board) if place else None, board_table(data.results, task, board, every=True))
        for place, board in enumerate(found.leaderboards)
    ]
    runs = run_tables(task, found.curves)
    html = render("curves.html", parts=parts, runs=runs)
    return Section("Accuracy at every ε", html, tables=(*(table for _, table in parts), *runs))


def run_tables(task: str, curves: tuple[Curve, ...]) -> list[Table]:
    """One table for each finding and attack, a row per run."""
    found: dict[tuple[str, str], list[Curve]] = {}
    for one in curves:
        found.setdefault((one.finding, one.attack_id), []).append(one)
    several = len({finding for finding, _ in found}) > 1
    return [_table(task, finding if several else "", attack, lines) for (finding, attack), lines in found.items()]


def _table(task: str, finding: str, attack: str, curves: list[Curve]) -> Table:
    norm, attacked = curves[0].norm, attack != NO_ATTACK
    steps = sorted({(point.epsilon_index, point.epsilon) for one in curves for point in one.attacked})
    subject = (
        f"{finding}, {'not attacked' if not attacked else attack}"
        if finding
        else attack
        if attacked
        else "not attacked"
    )
    return Table(
        name=f"{task}-runs-{subject}".replace("#", "-").replace(" ", "-").replace(",", ""),
        caption=f"Each run by itself ({subject}). "
        + ("All numbers are of the attacked images." if attacked else "All numbers are of the test images."),
        columns=(
            *("model", "n", "clean accuracy", "majority rate", "balanced accuracy"),
            *(epsilon_column(epsilon, norm) for _, epsilon in steps),
        ),
        rows=tuple(_row(one, [index for index, _ in steps]) for one in curves),
        records=tuple(record for one in curves for record in _records(task, one)),
        sortable=True,
    )


def _row(one: Curve, indices: list[int]) -> tuple[Cell, ...]:
    start, points = one.start, {point.epsilon_index: point for point in one.points}
    points_or_start = one.points or (start,)
    counts = {word: max(getattr(point, name) for point in points_or_start) for name, word in LOST.items()}
    lost = ", ".join(f"{number} {word}" for word, number in counts.items() if number)
    cells = [
        Cell(one.model_id),
        Cell(str(start.n), lost, "bad" if lost else "", start.n),
        share(start.accuracy, start.low, start.high, start.n),
        Cell(formatting.percent(start.majority_rate, start.n), key=start.majority_rate),
        share(start.balanced_accuracy, start.balanced_low, start.balanced_high, start.n),
    ]
    if indices and one.signal is False:
        text = f"no signal: balanced accuracy is not above chance ({formatting.percent(start.chance, start.n)})"
        return (*cells, Cell(text, mark="none", span=len(indices)))
    return (
        *cells,
        *(
            share(point.accuracy, point.low, point.high, point.n, point.majority_rate)
            if point
            else Cell(formatting.NO_VALUE)
            for point in (points.get(index) for index in indices)
        ),
    )


def _records(task: str, one: Curve) -> list[dict[str, object]]:
    """Every point; `images` says whether it counts the whole test split or the attacked images."""
    about = {"task": task, "finding": one.finding, "model_id": one.model_id}
    every = [("test split", NO_ATTACK, one.clean)] if one.clean else []
    every += [("attacked", one.attack_id, point) for point in one.points]
    return [
        {**about, "attack_id": attack, "images": images, **point.to_dict(), "signal": one.signal}
        for images, attack, point in every
    ]
