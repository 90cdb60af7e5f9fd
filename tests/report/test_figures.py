"""Figures plot the points, keep models apart without colour, and are legible on light and dark."""

import dataclasses
import itertools
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import palpate.report.figures as figures
from palpate.report.load import read


@given(
    st.lists(st.integers(1, 10**6), min_size=1, max_size=9, unique=True).map(lambda found: [n / 10**6 for n in found])
)
def test_positions_rise_from_zero_to_one(epsilons):
    axis = figures.axis(epsilons)
    places = [axis.positions[value] for value in sorted(axis.positions)]
    assert (places[0], places[-1]) == (0, pytest.approx(1))
    assert all(a < b for a, b in itertools.pairwise(places))


def test_doubling_epsilons_stand_evenly_and_even_ones_keep_their_scale():
    doubling = figures.axis([0.01 * 2**i for i in range(6)])
    assert doubling.logarithmic
    assert sorted(doubling.positions.values()) == pytest.approx([i / 6 for i in range(7)])
    even = figures.axis([0.01, 0.02, 0.04])
    assert not even.logarithmic
    assert even.positions[0.01] == pytest.approx(0.25)


def test_the_curve_plots_the_points_with_interval_clean_and_majority(whole_run):
    lines = [line for line in read(whole_run).lines if line.task == "phantom-skin"]
    figure = json.loads(figures.curve_figure(lines, figures.looks([line.model_id for line in lines])))
    axis = figures.axis([point.epsilon for point in lines[0].attacked])
    for line in lines:
        traces = [trace for trace in figure["data"] if trace["legendgroup"] == line.model_id]
        band, clean, curve = traces
        assert curve["y"] == [point.accuracy for point in line.points]
        assert curve["x"] == [axis.positions[point.epsilon] for point in line.points]
        assert clean["y"] == [line.points[0].accuracy] * 2
        assert clean["line"]["dash"] != "solid"
        assert band["y"] == [p.high for p in line.points] + [p.low for p in line.points][::-1]
    assert [shape["y0"] for shape in figure["layout"]["shapes"]] == [lines[0].points[0].majority_rate]
    ticks = figure["layout"]["xaxis"]["ticktext"]
    assert ticks[0] == "0<br>0"
    assert ticks[3] == "0.005<br>1.28"


def test_a_curve_without_signal_says_so_in_its_name(whole_run):
    lines = [line for line in read(whole_run).lines if line.task == "phantom-chest"]
    figure = json.loads(figures.curve_figure(lines, figures.looks([line.model_id for line in lines])))
    names = [trace["name"] for trace in figure["data"] if trace.get("hovertemplate")]
    assert len(names) == 2
    assert all(name.endswith("(no signal)") for name in names)


def test_a_point_on_which_the_attack_failed_is_a_gap(whole_run):
    line = read(whole_run).lines[0]
    gone = dataclasses.replace(line.points[3], accuracy=None, low=None, high=None)
    line = dataclasses.replace(line, points=(*line.points[:3], gone, *line.points[4:]))
    figure = json.loads(figures.curve_figure([line], figures.looks([line.model_id])))
    assert len(figure["data"][-1]["y"]) == 6


def test_models_differ_without_colour():
    names = ["a#0", "a+full#0", "b#0", "b+full#0", "c#0"]
    look = figures.looks(names)
    assert len({(one.dash, one.symbol) for one in look.values()}) == len(names)
    seeds = figures.looks(["a#0", "a#1", "b#0", "b#1"])
    assert seeds["a#0"].colour == seeds["a#1"].colour != seeds["b#0"].colour
    assert len({one.symbol for one in seeds.values()}) == 4


def test_colours_contrast_with_both_grounds():
    style = (Path(figures.__file__).parent / "style.css").read_text()
    grounds = re.findall(r"--ground: (#[0-9a-f]{6});", style)
    assert len(grounds) >= 2
    for ground in grounds[:2]:
        for colour in (*figures.COLOURS, figures.NEUTRAL):
            a, b = sorted((_luminance(ground), _luminance(colour)))
            assert (b + 0.05) / (a + 0.05) >= 3, (ground, colour)


def _luminance(colour: str) -> float:
    """WCAG 2.1, relative luminance."""
    shares = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_histories_plot_every_epoch_and_no_nan(whole_run):
    history = read(whole_run).history.filter(task="phantom-skin")
    model = history["model_id"][0]
    spoiled = history.with_columns(val_loss=float("nan"))
    loss, accuracy = (
        json.loads(text) for _, text in figures.history_figures(spoiled, figures.looks([model, "resnet10t+full#0"]))
    )
    assert loss["data"][0]["y"] == [None] * 12
    assert accuracy["data"][0]["y"] == history.filter(model_id=model)["val_balanced_accuracy"].to_list()
