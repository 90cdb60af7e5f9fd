"""Curves for print: accuracy by epsilon with matplotlib, without pyplot's global state, legible in grey and the same bytes when made again."""

from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from palpate.core import formatting
from palpate.core.io import atomic
from palpate.report.figures import BANDS, SHOWN, lost_in, points
from palpate.report.line_styles import NEUTRAL, SYMBOLS, Axis, LineStyle, axis, line_styles
from palpate.statistics.leaderboard import Entry, Leaderboard

MARKERS: dict[str, str] = dict(zip(SYMBOLS, ("o", "s", "D", "^", "X", "*", "v", "p"), strict=True))

PRINT = Path(__file__).with_name("print.mplstyle")
"""Settings of matplotlib."""

FORMATS: dict[str, dict[str, Any]] = {
    ".pdf": {"metadata": {"CreationDate": None}},
    ".svg": {"metadata": {"Date": None}},
    ".png": {"dpi": 300, "metadata": {"Software": None}},
}


def curves(board: Leaderboard) -> Figure:
    """Accuracy by epsilon: a line per architecture with its interval, models without signal faint, the majority rate dotted."""
    styles = line_styles([entry.name for entry in board.entries])
    along = axis([point.epsilon for entry in board.entries for point in entry.accuracy])
    linf = board.norm == "linf"
    ranked = [entry for entry in board.entries if entry.rank is not None][:SHOWN]
    with rc_context(fname=PRINT):
        sheet = new_figure(3.5, 3.0 + 0.14 * max(0, len(ranked) - 3))
        axes = sheet.subplots()
        for entry in board.entries:
            _draw(axes, entry, along, styles[entry.name] if entry in ranked else None, band=len(ranked) <= BANDS)
        for rate in sorted({entry.majority_rate for entry in board.entries}):
            axes.axhline(rate, color=NEUTRAL, linestyle=(0, (1, 2)), linewidth=0.9)
            axes.text(0, rate + 0.01, "majority rate", color=NEUTRAL, fontsize=6)
        scale = formatting.scale()
        rounding = along.place(0.5 / scale.steps) if linf else None
        if rounding is not None:
            axes.axvline(rounding, color=NEUTRAL, linestyle=(0, (5, 4)), linewidth=0.6)
            near, side = (rounding + 0.01, "left") if rounding < 0.35 else (rounding - 0.01, "right")
            axes.text(near, 0, f"← lost in {lost_in(scale)}", color=NEUTRAL, fontsize=6, ha=side)
        ticks = _roomy(along)
        texts = [formatting.number(value) + (f"\n{scale.amount(value)}" if linf else "") for value in ticks]
        axes.set_xticks([along.positions[value] for value in ticks], texts, fontsize=6.5)
        unit = f"ε in [0, 1], below in {scale.name}" if linf else f"ε ({board.norm})"
        axes.set(ylim=(-0.02, 1.02), xlabel=unit, ylabel="classified correctly")
        if axes.get_legend_handles_labels()[0]:
            sheet.legend(frameon=False, fontsize=7, loc="outside upper left")
    return sheet


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, sizes in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, stem: Path, suffixes: tuple[str, ...] = tuple(FORMATS)) -> list[Path]:
    """Write a figure in several formats, whole or not at all."""
    files = [stem.with_name(stem.name + suffix) for suffix in suffixes]
    with rc_context(fname=PRINT):
        for file in files:
            with atomic(file) as draft:
                figure.savefig(draft, format=file.suffix[1:], **FORMATS[file.suffix])
    return files


def _draw(axes: Axes, entry: Entry, along: Axis, style: LineStyle | None, band: bool) -> None:
    x, y = points(entry, along)
    if style is None:
        dash = "-" if entry.rank else (0, (1, 1))
        axes.plot(x, y, color=NEUTRAL, alpha=0.45, linewidth=0.6, linestyle=dash, zorder=1)
        return
    if band:
        low, high = [point.low for point in entry.accuracy], [point.high for point in entry.accuracy]
        axes.fill_between(x, low, high, color=style.colour, alpha=0.12, lw=0)
    look = {"color": style.colour, "linestyle": _dash(style.dash), "marker": MARKERS[style.symbol]}
    axes.plot(x, y, **look, markersize=3.5, linewidth=1.2, label=entry.name)


def _roomy(along: Axis) -> list[float]:
    """The epsilons whose ticks have room for a label in a narrow figure."""
    kept: list[float] = []
    for value, place in along.positions.items():
        while kept and place - along.positions[kept[-1]] < 0.15 and place == 1:
            kept.pop()
        if not kept or place - along.positions[kept[-1]] >= 0.15:
            kept.append(value)
    return kept


def _dash(dash: str) -> tuple[int, tuple[float, ...]] | str:
    """Plotly's dash as matplotlib's, whose unit is the width of the line."""
    return dash if dash == "solid" else (0, tuple(float(part.removesuffix("px")) / 2.5 for part in dash.split(",")))
