"""Small multiples: one panel per attack and corruption, all read alike, from the clean image at the left to the largest severity at the right."""

from collections.abc import Sequence

from plotly.subplots import make_subplots

from palpate.core import formatting
from palpate.report.figures import curve, figure_json
from palpate.report.line_styles import NEUTRAL, LineStyle, axis
from palpate.statistics.leaderboard import Leaderboard

COLUMNS, PANEL, TITLE = 4, 190, 40
"""Panels side by side, and the height of one and of its title in pixels."""


def multiples_figure(
    panels: Sequence[tuple[str, Leaderboard, dict[str, tuple[float, ...]]]], styles: dict[str, LineStyle]
) -> str:
    """Share of the images classified correctly by severity, a line per model, one panel each.

    Args:
        panels: title with unit, the models, and the levels of published benchmarks, marked at the foot.
        styles: of the models.
    """
    rows = -(-len(panels) // COLUMNS)
    figure = make_subplots(
        rows, COLUMNS, shared_yaxes=True, subplot_titles=[title for title, *_ in panels],
        horizontal_spacing=0.02, vertical_spacing=0.34 / max(rows, 1),
    )  # fmt: skip
    for place, (_, board, anchors) in enumerate(panels):
        where = {"row": place // COLUMNS + 1, "col": place % COLUMNS + 1}
        along = axis([point.epsilon for entry in board.entries for point in entry.accuracy])
        for entry in board.entries:
            curve(figure, entry, along, styles[entry.name], board.norm, size=6, showlegend=place == 0, **where)
        marks = sorted(
            {spot for levels in anchors.values() for level in levels if (spot := along.place(level)) is not None}
        )
        if marks:
            marker = {"symbol": "line-ns-open", "size": 7, "color": NEUTRAL}
            figure.add_scatter(
                x=marks, y=[0] * len(marks), mode="markers", marker=marker, showlegend=False, hoverinfo="skip", **where
            )
        ticks = sorted(along.positions)
        shown = [ticks[0], ticks[len(ticks) // 2], ticks[-1]]
        figure.update_xaxes(
            tickvals=[along.positions[value] for value in shown],
            ticktext=[formatting.number(value) for value in shown],
            range=[-0.05, 1.05],
            row=where["row"],
            col=where["col"],
        )
    figure.update_yaxes(range=[-0.04, 1.04], tickformat=".0%", tickvals=[0, 0.5, 1])
    figure.update_annotations(font={"size": 11, "color": NEUTRAL})
    return figure_json(figure, legend=1 + TITLE / (PANEL * rows))


def height(panels: int) -> int:
    """Of the figure, in pixels."""
    return 60 + TITLE + PANEL * -(-panels // COLUMNS)
