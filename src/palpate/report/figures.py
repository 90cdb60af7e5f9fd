"""Plotly figures as JSON: curves of accuracy against epsilon, and training histories.

Colours lie where both a white and a near-black ground give at least 3:1 contrast, so that one figure serves light and dark; text and
grid lines are left to the page's style sheet. Models differ in dash and marker too, for those who do not see the colours.
"""

import dataclasses

import numpy as np
import plotly.graph_objects as go
import polars as pl

from palpate.report import wording as words
from palpate.report.load import Line, Point

COLOURS = ("#2b7bba", "#d55e00", "#009e73", "#b05fa5", "#a8761d", "#6b7a8f", "#c44e7b", "#12939a")
DASHES = ("solid", "12px,3px", "12px,3px,3px,3px", "6px,2px", "16px,3px,2px,3px,2px,3px")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star", "triangle-down", "pentagon")
NEUTRAL = "#808080"


@dataclasses.dataclass(frozen=True)
class Look:
    """How a model is drawn in every figure of a report."""

    colour: str
    dash: str
    symbol: str


@dataclasses.dataclass(frozen=True)
class Axis:
    """Where epsilons stand on the horizontal axis; position 0 … 1 from the unattacked image to the largest epsilon."""

    positions: dict[float, float]
    logarithmic: bool


def looks(model_ids: list[str]) -> dict[str, Look]:
    """One look per model: seeds of one architecture share colour and dash, and differ in marker."""
    kinds = list(dict.fromkeys(name.rpartition("#")[0] or name for name in model_ids))
    found: dict[str, Look] = {}
    seen: dict[str, int] = {}
    for name in model_ids:
        kind = name.rpartition("#")[0] or name
        place, again = kinds.index(kind), seen.setdefault(kind, 0)
        seen[kind] += 1
        symbol = SYMBOLS[(place + again * len(kinds)) % len(SYMBOLS)]
        found[name] = Look(COLOURS[place % len(COLOURS)], DASHES[place % len(DASHES)], symbol)
    return found


def axis(epsilons: list[float]) -> Axis:
    """Lay out epsilons with 0 among them: evenly by value where none would crowd, else by logarithm with 0 set apart at the left.

    >>> axis([0.25, 0.5, 1.0])
    Axis(positions={0.0: 0.0, 0.25: 0.25, 0.5: 0.5, 1.0: 1.0}, logarithmic=False)
    >>> axis([0.01, 0.1, 1.0]).positions
    {0.0: 0.0, 0.01: 0.333..., 0.1: 0.666..., 1.0: 1.0}
    """
    values = np.array(sorted({0.0, *epsilons}))
    if len(values) < 3 or np.diff(values).min() >= 0.08 * values[-1]:
        return Axis(dict(zip(values.tolist(), (values / max(values[-1], 1e-300)).tolist(), strict=True)), False)
    logs = np.log(values[1:])
    places = np.concatenate([[0.0], logs - logs[0] + np.median(np.diff(logs))])  # 0 stands one usual step to the left
    return Axis(dict(zip(values.tolist(), (places / places[-1]).tolist(), strict=True)), True)


def curve_figure(lines: list[Line], look: dict[str, Look]) -> str:
    """Accuracy under attack against epsilon, one line per model with its interval, clean accuracy dashed, majority rate dotted.

    Lines without a point above epsilon 0 are left out.
    """
    drawn = [line for line in lines if line.attacked]
    along = axis([point.epsilon for line in drawn for point in line.attacked])
    figure = go.Figure()
    shade = 0.2 if len(drawn) <= 2 else 0.13 if len(drawn) <= 4 else 0.07
    for line in drawn:
        _band(figure, line, along, look[line.model_id], shade)
    for line in drawn:
        _clean(figure, line, look[line.model_id])
    for line in drawn:
        _curve(figure, line, along, look[line.model_id])
    for rate in sorted({line.points[0].majority_rate for line in drawn}):
        figure.add_shape(type="line", x0=-0.03, x1=1.03, y0=rate, y1=rate, line=_line(NEUTRAL, "2px,3px", 1.5))
        figure.add_annotation(
            x=1.03,
            y=rate,
            text=f"majority rate {words.share(rate)}",
            showarrow=False,
            xanchor="right",
            yanchor="bottom",
        )
    ticks = list(along.positions)
    figure.update_layout(
        xaxis={
            "range": [-0.03, 1.03],
            "tickvals": [along.positions[value] for value in ticks],
            "ticktext": [f"{words.epsilon(value)}<br>{255 * value:.3g}" for value in ticks],
            "title": {"text": "ε in [0, 1], below in grey levels of 255"},
        },
        yaxis={"range": [-0.03, 1.04], "tickformat": ".0%", "title": {"text": "still classified correctly"}},
    )
    return _json(figure)


def history_figures(history: pl.DataFrame, look: dict[str, Look]) -> list[tuple[str, str]]:
    """Titles and figures of a task's trainings: losses, and balanced accuracy on validation, per epoch."""
    found = []
    for title, columns, percent in (
        ("Loss: validation, and thin: training", (("val_loss", 2.0), ("train_loss", 1.0)), False),
        ("Balanced accuracy on validation", (("val_balanced_accuracy", 2.0),), True),
    ):
        figure = go.Figure()
        for (model,), part in history.sort("epoch").group_by("model_id", maintain_order=True):
            for column, width in columns:
                figure.add_scatter(
                    x=part["epoch"].to_list(),
                    y=_finite(part[column]),
                    name=str(model),
                    legendgroup=str(model),
                    showlegend=width == 2,
                    mode="lines+markers" if len(part) <= 2 else "lines",
                    line=_line(look[str(model)].colour, look[str(model)].dash if width == 2 else "2px,2px", width),
                    hovertemplate=f"%{{fullData.name}}<br>epoch %{{x}}: {column.replace('_', ' ')} %{{y:.3g}}<extra></extra>",
                )
        whole = 1 if history["epoch"].max() < 10 else None  # pyright: ignore[reportOptionalOperand, reportOperatorIssue]
        figure.update_layout(xaxis={"title": {"text": "epoch"}, "dtick": whole}, yaxis={"rangemode": "tozero"})
        if percent:
            figure.update_layout(yaxis={"tickformat": ".0%", "range": [0, 1.04]})
        found.append((title, _json(figure)))
    return found


def _known(points: tuple[Point, ...]) -> list[Point]:
    return [point for point in points if point.accuracy is not None]


def _band(figure: go.Figure, line: Line, along: Axis, look: Look, shade: float) -> None:
    points = _known(line.points)
    x = [along.positions[point.epsilon] for point in points]
    red, green, blue = (int(look.colour[i : i + 2], 16) for i in (1, 3, 5))
    figure.add_scatter(
        x=x + x[::-1],
        y=[point.high for point in points] + [point.low for point in points][::-1],
        fill="toself",
        fillcolor=f"rgba({red},{green},{blue},{shade})",
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        legendgroup=line.model_id,
        name=line.model_id,
    )


def _clean(figure: go.Figure, line: Line, look: Look) -> None:
    """A thin dashed line at the accuracy without attack, on the same images."""
    figure.add_scatter(
        x=[-0.03, 1.03],
        y=[line.points[0].accuracy] * 2,
        mode="lines",
        line=_line(look.colour, "5px,5px", 1.2),
        hoverinfo="skip",
        showlegend=False,
        legendgroup=line.model_id,
        name=line.model_id,
    )


def _curve(figure: go.Figure, line: Line, along: Axis, look: Look) -> None:
    points = _known(line.points)
    claim = "" if line.reference.signal else " (no signal)"
    figure.add_scatter(
        x=[along.positions[point.epsilon] for point in points],
        y=[point.accuracy for point in points],
        customdata=[[words.both(point.epsilon), words.measured(point)] for point in points],
        mode="lines+markers",
        line=_line(look.colour, look.dash, 2.5),
        marker={"symbol": look.symbol, "size": 9, "color": look.colour},
        name=f"{line.model_id}{claim}",
        legendgroup=line.model_id,
        hovertemplate="%{fullData.name}<br>ε = %{customdata[0]}<br>%{customdata[1]}<extra></extra>",
    )


def _line(colour: str, dash: str, width: float) -> dict:
    return {"color": colour, "dash": dash, "width": width}


def _finite(values: pl.Series) -> list[float | None]:
    return [value if value is not None and np.isfinite(value) else None for value in values.to_list()]


def _json(figure: go.Figure) -> str:
    figure.update_layout(
        template="none",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        margin={"l": 56, "r": 12, "t": 8, "b": 52},
        font={"family": "system-ui, sans-serif", "size": 13, "color": NEUTRAL},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        hoverlabel={"align": "left"},
        dragmode=False,
        autosize=True,
    )
    figure.update_xaxes(
        title_standoff=8, showgrid=True, gridcolor=NEUTRAL, zeroline=False, showline=False, fixedrange=True
    )
    figure.update_yaxes(showgrid=True, gridcolor=NEUTRAL, zeroline=False, fixedrange=True)
    text = figure.to_json(validate=False)
    assert text is not None
    return text
