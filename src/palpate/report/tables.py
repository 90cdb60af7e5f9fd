"""The table of a run's curves, for the terminal, for Markdown and for CSV.

Terminal and Markdown come from the same cells, and the CSV from the same points, so they cannot differ.
"""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from palpate.report import wording as words
from palpate.report.checks import checks
from palpate.report.load import Line, Material, Point, read

WIDE = 4
"""Up to so many models stand side by side, one column each, which fits 80 characters; more go down, one line each."""


def curve_table(run: Path | Material) -> RenderableType:
    """For the terminal, one table per task and attack: n, clean and balanced accuracy, majority rate, accuracy per epsilon.

    Raises:
        InputError: `run` is no run folder.
    """
    material = _material(run)
    parts: list[RenderableType] = []
    for title, lines in blocks(material):
        cells = [list(column) for column in zip(*_cells(lines), strict=True)] if len(lines) <= WIDE else _cells(lines)
        table = Table(header_style="bold", box=box.SIMPLE_HEAD)
        for place, name in enumerate(cells[0]):
            table.add_column(Text(name), justify="right" if place else "left", no_wrap=not place)
        for row in cells[1:]:
            table.add_row(*[Text(cell, style="yellow" if cell == "no signal" else "") for cell in row])
        parts += [Text(title, style="bold"), table]
    return Group(*parts, *[Text(note, style="dim") for note in notes(material)])


def curve_markdown(run: Path | Material) -> str:
    """The same tables as Markdown."""
    material = _material(run)
    parts = []
    for title, lines in blocks(material):
        header, *body = _cells(lines)
        rows = [header, ["---"] * len(header), *body]
        parts.append(f"**{title}**\n\n" + "\n".join("| " + " | ".join(row) + " |" for row in rows))
    return "\n\n".join([*parts, *notes(material)]) + "\n"


CSV_COLUMNS = [
    "task",
    "finding",
    "model_id",
    "attack_id",
    "images",
    "epsilon_index",
    "epsilon",
    "epsilon_levels_of_255",
]
CSV_COLUMNS += [
    "n",
    "groups",
    "failed",
    "accuracy",
    "low",
    "high",
    "balanced_accuracy",
    "balanced_low",
    "balanced_high",
]
CSV_COLUMNS += ["majority_rate", "chance", "signal", "note"]


def curve_csv(lines: Sequence[Line]) -> str:
    """Every point at full precision; `images` says whether a line counts the whole test split or the attacked images."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)

    def write(line: Line, images: str, point: Point) -> None:
        values = {
            "task": line.task,
            "finding": line.finding,
            "model_id": line.model_id,
            "attack_id": line.attack_id if images == "attacked" else "none",
            "images": images,
            "epsilon_levels_of_255": 255 * point.epsilon,
            "signal": line.reference.signal,  # of the model, judged on its clean predictions
        }
        writer.writerow([values.get(name, getattr(point, name, "")) for name in CSV_COLUMNS])

    done = set()
    for line in lines:
        if line.clean and (line.task, line.finding, line.model_id) not in done:
            done.add((line.task, line.finding, line.model_id))
            write(line, "test split", line.clean)
        for point in line.points:
            write(line, "attacked", point)
    return out.getvalue()


def blocks(material: Material) -> list[tuple[str, list[Line]]]:
    """Lines that belong in one table or figure, with its title: same task, finding and attack."""
    found: dict[tuple[str, str, str], list[Line]] = {}
    for line in material.lines:
        found.setdefault((line.task, line.finding, line.attack_id), []).append(line)
    titled = []
    for (task, finding, attack), lines in found.items():
        findings = {line.finding for line in material.lines if line.task == task}
        name = material.tasks.get(task, {}).get("title") or task
        subject = f"{name}, {finding}" if len(findings) > 1 else name
        titled.append((f"{subject}: {'no attack' if attack == 'none' else attack}", lines))
    return titled


def _cells(lines: Sequence[Line]) -> list[list[str]]:
    """Header and one row per model, as text, epsilons in rising order."""
    epsilons = [0.0, *epsilons_of(lines)] if any(line.points for line in lines) else []
    fixed = ["model", "test images", "clean", "majority", "balanced", "attacked"]
    found = [[*fixed, *(f"ε {words.epsilon(value)}" for value in epsilons)]]
    for line in lines:
        clean, points = line.reference, {point.epsilon: point for point in line.points}
        found.append(
            [
                line.model_id,
                str(clean.n),
                words.share(clean.accuracy, clean.n),
                words.share(clean.majority_rate, clean.n),
                " ".join(
                    (
                        words.share(clean.balanced_accuracy, clean.n),
                        words.interval(clean.balanced_low, clean.balanced_high, clean.n),
                    )
                ).strip(),
                str(line.points[0].n) if line.points else "–",
                *(_under_attack(line, points.get(value)) for value in epsilons),
            ]
        )
    return found


def epsilons_of(lines: Sequence[Line]) -> list[float]:
    """The epsilons above 0 of some lines, rising."""
    return sorted({point.epsilon for line in lines for point in line.attacked})


def notes(material: Material) -> list[str]:
    """What a reader of the table must know: how to read it, and what is missing."""
    found = []
    if any(line.attacked for line in material.lines):
        found.append(
            "Columns ε: share of the attacked images still classified correctly, with its 95% interval; epsilon in [0, 1]. "
            "Majority: accuracy of always answering the commonest class."
        )
    if any(line.reference.signal is False for line in material.lines):
        found.append(
            "no signal: the interval of balanced accuracy does not lie above chance, so no robustness is claimed."
        )
    if any(line.attacked for line in material.lines):
        verdicts = checks(material)
        found += [f"{one.title}: {one.summary}." for one in verdicts] or [
            "Attack not verified: no trust checks were run."
        ]
    for state in ("failed", "missing"):
        cells = [cell for cell in material.cells if cell.state == state]
        if cells:
            found.append(
                f"{len(cells)} of {len(material.cells)} cells {state}: {', '.join(c.title for c in cells[:4])}"
                + (", …" if len(cells) > 4 else "")
            )
    if not material.lines:
        found.append("No model has results yet.")
    return [*found, *material.problems]


def _under_attack(line: Line, point: Point | None) -> str:
    if line.reference.signal is False and (point is None or point.epsilon_index):
        return "no signal"
    if point is None or point.accuracy is None:
        return "–"
    return f"{words.share(point.accuracy, point.n)} {words.interval(point.low, point.high, point.n)}"


def _material(run: Path | Material) -> Material:
    return run if isinstance(run, Material) else read(Path(run))
