"""Plotly figures as JSON: curves of accuracy, a panel for each attack and corruption, radii, and training histories.

Text and grid lines are coloured by the page's style sheet.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from palpate.core import formatting
from palpate.core.epsilon import Scale
from palpate.report.line_styles import NEUTRAL, Axis, LineStyle, axis
from palpate.report.section import source
from palpate.statistics.leaderboard import Entry, Leaderboard

SHOWN = 8
"""So many models are drawn in colour, the best; the others as thin grey lines."""

BANDS = 4
"""Up to so many models are drawn with their interval as a band."""

COLUMNS, PANEL, TITLE = 4, 190, 40
"""Panels side by side, and the height of one and of its title in pixels."""


def curve_figure(board: Leaderboard, styles: dict[str, LineStyle]) -> str:
    """Accuracy by epsilon: a line per architecture with its interval, models without signal faint, the majority rate dotted."""
    along = axis([point.epsilon for entry in board.entries for point in entry.accuracy])
    figure, norm = go.Figure(), board.norm
    drawn = [entry for entry in board.entries if entry.rank is not None][:SHOWN]
    for entry in drawn if len(drawn) <= BANDS else ():
        _band(figure, entry, along, styles[entry.name])
    for entry in board.entries:
        if entry not in drawn:
            _faint(figure, entry, along)
    for entry in drawn:
        curve(figure, entry, along, styles[entry.name], norm)
    for rate in sorted({entry.majority_rate for entry in board.entries}):
        figure.add_shape(type="line", x0=-0.03, x1=1.03, y0=rate, y1=rate, line=_line(NEUTRAL, "2px,3px", 1.5))
        _label(figure, -0.03, rate, f"majority rate {formatting.percent(rate)}", "left", "top")
    scale = formatting.scale()
    rounding = along.place(0.5 / scale.steps) if norm == "linf" else None
    if rounding is not None:
        figure.add_shape(type="line", x0=rounding, x1=rounding, y0=-0.03, y1=1.04, line=_line(NEUTRAL, "6px,4px", 1))
        _label(figure, rounding, 0, f"← lost in {lost_in(scale)}", "right" if rounding > 0.5 else "left", "bottom")
    title = {"text": "classified correctly", "font": {"size": 12}, "standoff": 6}
    shares = {"range": [-0.03, 1.04], "tickformat": ".0%", "title": title, "automargin": True}
    figure.update_layout(xaxis=_epsilons(along, norm), yaxis=shares)
    return figure_json(figure)


def _epsilons(along: Axis, norm: str) -> dict:
    """The horizontal axis of epsilons, grey levels below."""
    scale, linf = formatting.scale(), norm == "linf"
    texts = [formatting.number(value) + (f"<br>{scale.amount(value)}" if linf else "") for value in along.positions]
    title = {"text": f"ε in [0, 1], below in {scale.name}" if linf else f"ε ({norm})", "font": {"size": 12}}
    ticks = {"tickvals": list(along.positions.values()), "ticktext": texts, "tickangle": 0}
    return {"range": [-0.03, 1.03], **ticks, "title": title}


def lost_in(scale: Scale) -> str:
    """The file in which half a level is lost."""
    return "an 8-bit file" if scale.steps == 255 else f"a file of {scale.steps + 1} levels"


def history_figures(history: pl.DataFrame, styles: dict[str, LineStyle]) -> list[tuple[str, str]]:
    """Titles and figures of a task's trainings: losses, and balanced accuracy on validation images, by epoch."""
    found = []
    losses, accuracy = (("val_loss", 2.0), ("train_loss", 1.0)), (("val_balanced_accuracy", 2.0),)
    titles = "Loss: validation, and thin: training", "Balanced accuracy on validation images"
    for title, columns in zip(titles, (losses, accuracy), strict=True):
        figure = go.Figure()
        for (model,), part in history.sort("epoch").group_by("model_id", maintain_order=True):
            style, mode = styles[str(model)], "lines+markers" if len(part) <= 2 else "lines"
            for column, width in columns:
                line = _line(style.colour, style.dash if width == 2 else "2px,2px", width)
                hover = f"%{{fullData.name}}<br>epoch %{{x}}: {column.replace('_', ' ')} %{{y:.3g}}<extra></extra>"
                legend = width == 2 and len(styles) <= 2 * SHOWN
                named = {"name": str(model), "legendgroup": str(model), "showlegend": legend, "hovertemplate": hover}
                figure.add_scatter(x=part["epoch"].to_list(), y=_finite(part[column]), mode=mode, line=line, **named)
        whole = 1 if history["epoch"].max() < 10 else None  # pyright: ignore[reportOptionalOperand, reportOperatorIssue]
        figure.update_layout(xaxis={"title": {"text": "epoch"}, "dtick": whole}, yaxis={"rangemode": "tozero"})
        if columns is accuracy:
            figure.update_layout(yaxis={"tickformat": ".0%", "range": [0, 1.04]})
        found.append((title, figure_json(figure)))
    return found


def radius_figure(board: Leaderboard, entries: list[Entry], styles: dict[str, LineStyle]) -> str:
    """Quantiles of the radii, a row per model: 5 to 95 %, the middle half, and the median; on the axis of the curves."""
    along = axis([point.epsilon for entry in board.entries for point in entry.accuracy])
    figure = go.Figure()
    for row, entry in enumerate(entries):
        assert entry.radii is not None
        places = [along.within(value) for value in entry.radii.quantiles]
        style = styles[entry.name]
        for (first, last), width in (((0, 4), 1.5), ((1, 3), 6)):
            x = [places[first], places[last]]
            line = _line(style.colour, "solid", width)
            figure.add_scatter(x=x, y=[row, row], mode="lines", line=line, hoverinfo="skip", showlegend=False)
        beyond = f"> {formatting.epsilon(board.entries[0].accuracy[-1].epsilon, board.norm)}"
        texts = [beyond if one is None else formatting.epsilon(one, board.norm) for one in entry.radii.quantiles]
        hover = f"%{{fullData.name}}<br>median {texts[2]}<br>middle half {texts[1]} to {texts[3]}<extra></extra>"
        marker = {"symbol": style.symbol, "size": 10, "color": style.colour, "line": {"width": 1, "color": "#fff"}}
        named = {"name": entry.name, "showlegend": False, "hovertemplate": hover}
        figure.add_scatter(x=[places[2]], y=[row], mode="markers", marker=marker, **named)
    names = {"tickvals": list(range(len(entries))), "ticktext": [_short(entry.name) for entry in entries]}
    rows = {"range": [len(entries) - 0.5, -0.5], **names, "automargin": True}
    figure.update_layout(xaxis=_epsilons(along, board.norm), yaxis=rows)
    return figure_json(figure)


def _short(name: str, most: int = 28) -> str:
    """A name that leaves room for the figure; Plotly's tags are taken apart, because names may come from outside."""
    cut = name if len(name) <= most else name[: most - 1] + "…"
    return cut.replace("<", "‹").replace(">", "›")


def similarity_figure(columns: list[str], lines: dict[str, list[float | None]], styles: dict[str, LineStyle]) -> str:
    """A line per model of a mean similarity in [−1, 1], by epsilon."""
    figure = go.Figure()
    for name, values in lines.items():
        style = styles[name]
        look = {"line": _line(style.colour, style.dash, 2), "marker": {"symbol": style.symbol, "size": 7}}
        look |= {"hovertemplate": "%{fullData.name}<br>ε = %{x}: %{y:.2f}<extra></extra>", "mode": "lines+markers"}
        figure.add_scatter(x=columns, y=values, name=name, showlegend=len(lines) <= 2 * SHOWN, **look)
    lowest = min([-0.04, *(1.1 * value for values in lines.values() for value in values if value is not None)])
    figure.update_layout(xaxis={"title": {"text": "ε"}, "type": "category"}, yaxis={"range": [lowest, 1.04]})
    return figure_json(figure)


def _band(figure: go.Figure, entry: Entry, along: Axis, style: LineStyle) -> None:
    x, _ = points(entry, along)
    y = [point.high for point in entry.accuracy] + [point.low for point in reversed(entry.accuracy)]
    red, green, blue = (int(style.colour[i : i + 2], 16) for i in (1, 3, 5))
    look = {"fill": "toself", "fillcolor": f"rgba({red},{green},{blue},0.14)", "line": {"width": 0}, "mode": "lines"}
    named = {"name": entry.name, "legendgroup": entry.name, "showlegend": False, "hoverinfo": "skip"}
    figure.add_scatter(x=x + x[::-1], y=y, **look, **named)


def points(entry: Entry, along: Axis) -> tuple[list[float], list[float]]:
    """Where the points of a model's curve stand: across and up."""
    return [along.positions[point.epsilon] for point in entry.accuracy], [point.value for point in entry.accuracy]


def _faint(figure: go.Figure, entry: Entry, along: Axis) -> None:
    """A thin grey line: a model that is not among the best, or dotted one without signal."""
    x, y = points(entry, along)
    look = {"line": _line(NEUTRAL, "solid" if entry.rank else "3px,3px", 1), "opacity": 0.45 if entry.rank else 0.8}
    named = {"name": entry.name if entry.rank else f"{entry.name} (no signal)", "showlegend": False}
    figure.add_scatter(x=x, y=y, mode="lines", hovertemplate="%{fullData.name}<extra></extra>", **look, **named)


def curve(
    figure: go.Figure, entry: Entry, along: Axis, style: LineStyle, norm: str, size: float = 9, **where: Any
) -> None:
    """Draw the line of a model, its markers `size` pixels wide; `where` in a figure of several panels, and whether the legend names it."""
    (x, y), sign = points(entry, along), "" if norm == "severity" else "ε = "
    texts = [
        [sign + formatting.epsilon(one.epsilon, norm), formatting.percent_interval(one.value, one.low, one.high, entry.images)]
        for one in entry.accuracy
    ]  # fmt: skip
    marker = {"symbol": style.symbol, "size": size, "color": style.colour}
    look = {"mode": "lines+markers", "line": _line(style.colour, style.dash, 1 + size / 6), "marker": marker}
    hover = "%{fullData.name}<br>%{customdata[0]}<br>%{customdata[1]}<extra></extra>"
    named = {"name": entry.name, "legendgroup": entry.name, "hovertemplate": hover}
    figure.add_scatter(x=x, y=y, customdata=texts, **look, **named, **where)


def _label(figure: go.Figure, x: float, y: float, text: str, xanchor: str, yanchor: str) -> None:
    figure.add_annotation(x=x, y=y, text=text, showarrow=False, xanchor=xanchor, yanchor=yanchor)


def _line(colour: str, dash: str, width: float) -> dict:
    return {"color": colour, "dash": dash, "width": width}


def _finite(values: pl.Series) -> list[float | None]:
    return [value if value is not None and np.isfinite(value) else None for value in values.to_list()]


def multiples_figure(
    panels: Sequence[tuple[str, Leaderboard, dict[str, tuple[float, ...]]]], styles: dict[str, LineStyle]
) -> str:
    """Share of the images classified correctly by severity, a line per model, one panel each.

    Args:
        panels: title with unit, the models, and the levels of published benchmarks, marked at the foot.
        styles: of the models.
    """
    rows = -(-len(panels) // COLUMNS)
    spacing: Any = {"horizontal_spacing": 0.02, "vertical_spacing": 0.34 / max(rows, 1)}
    figure = make_subplots(rows, COLUMNS, shared_yaxes=True, subplot_titles=[title for title, *_ in panels], **spacing)
    for place, (_, board, anchors) in enumerate(panels):
        where: Any = {"row": place // COLUMNS + 1, "col": place % COLUMNS + 1}
        along = axis([point.epsilon for entry in board.entries for point in entry.accuracy])
        for entry in board.entries:
            curve(figure, entry, along, styles[entry.name], board.norm, size=6, showlegend=place == 0, **where)
        found = {along.place(level) for levels in anchors.values() for level in levels}
        spots = sorted(spot for spot in found if spot is not None)
        if spots:
            marker = {"symbol": "line-ns-open", "size": 7, "color": NEUTRAL}
            look = {"mode": "markers", "marker": marker, "showlegend": False, "hoverinfo": "skip"}
            figure.add_scatter(x=spots, y=[0] * len(spots), **look, **where)
        ticks = sorted(along.positions)
        shown = [ticks[0], ticks[len(ticks) // 2], ticks[-1]]
        places, texts = [along.positions[value] for value in shown], [formatting.number(value) for value in shown]
        figure.update_xaxes(tickvals=places, ticktext=texts, range=[-0.05, 1.05], **where)
    figure.update_yaxes(range=[-0.04, 1.04], tickformat=".0%", tickvals=[0, 0.5, 1])
    figure.update_annotations(font={"size": 11, "color": NEUTRAL})
    return figure_json(figure, legend=1 + TITLE / (PANEL * rows))


def multiples_height(panels: int) -> int:
    """Of the figure of so many panels, in pixels."""
    return 60 + TITLE + PANEL * -(-panels // COLUMNS)


def figure_json(figure: go.Figure, legend: float = 1.02) -> str:
    """The figure as JSON, in the style of the page; the foot of its legend is given as a share of its height."""
    style = json.loads(source("figure.json"))
    style["layout"]["legend"]["y"] = legend
    figure.update_layout(style["layout"])
    figure.update_xaxes(style["x"])
    figure.update_yaxes(style["y"])
    text = figure.to_json(validate=False)
    assert text is not None
    return text
