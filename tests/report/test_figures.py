"""Figures plot the points, keep models apart without colour, and are legible on light and dark."""

import dataclasses
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palpate.report import figures, line_styles, print_figures
from palpate.report.run_data import read


@given(
    st.lists(st.integers(1, 10**6), min_size=1, max_size=9, unique=True).map(lambda found: [n / 10**6 for n in found])
)
def test_positions_rise_from_zero_to_one(epsilons):
    axis = line_styles.axis(epsilons)
    places = [axis.positions[value] for value in sorted(axis.positions)]
    assert (places[0], places[-1]) == (0, pytest.approx(1))
    assert all(a < b for a, b in itertools.pairwise(places))


def test_doubling_epsilons_stand_evenly_and_even_ones_keep_their_scale():
    doubling = line_styles.axis([0.01 * 2**i for i in range(6)])
    assert doubling.logarithmic
    assert sorted(doubling.positions.values()) == pytest.approx([i / 6 for i in range(7)])
    even = line_styles.axis([0.01, 0.02, 0.04])
    assert not even.logarithmic
    assert even.positions[0.01] == pytest.approx(0.25)


def board(whole_run: Path, task: str = "phantom-skin"):
    found = read(whole_run).results.tasks[task].leaderboards[0]
    return found, line_styles.line_styles([entry.name for entry in found.entries])


def test_the_curve_plots_every_accuracy_with_interval_and_majority(whole_run):
    found, styles = board(whole_run)
    figure = json.loads(figures.curve_figure(found, styles))
    axis = line_styles.axis([point.epsilon for point in found.entries[0].accuracy])
    for entry in found.entries:
        band, curve = (trace for trace in figure["data"] if trace["name"] == entry.name)
        assert curve["y"] == [point.value for point in entry.accuracy]
        assert curve["x"] == [axis.positions[point.epsilon] for point in entry.accuracy]
        assert band["y"] == [p.high for p in entry.accuracy] + [p.low for p in entry.accuracy][::-1]
    majority, rounding = figure["layout"]["shapes"]
    assert majority["y0"] == found.entries[0].majority_rate
    assert axis.positions[0.00125] < rounding["x0"] == axis.place(0.5 / 255) < axis.positions[0.0025]
    ticks = figure["layout"]["xaxis"]["ticktext"]
    assert ticks[0] == "0<br>0"
    assert ticks[3] == "0.005<br>1.28"


def test_places_between_the_epsilons_are_found_on_both_scales():
    even, logarithmic = line_styles.axis([0.1, 0.2, 0.4]), line_styles.axis([0.01, 0.1, 1.0])
    assert even.place(0.3) == pytest.approx(0.75)
    assert logarithmic.place(10**-1.5) == pytest.approx(0.5)
    assert even.place(0.5) is logarithmic.place(0.001) is None


def test_a_model_without_signal_is_faint_and_says_so(whole_run):
    figure = json.loads(figures.curve_figure(*board(whole_run, "phantom-chest")))
    assert [trace["name"].endswith("(no signal)") for trace in figure["data"]] == [True, True]
    assert all(trace["line"]["width"] == 1 and not trace["showlegend"] for trace in figure["data"])


def test_of_many_models_the_best_are_in_colour_without_bands(whole_run):
    found, _ = board(whole_run)
    entries = tuple(dataclasses.replace(found.entries[0], name=f"m{place}", rank=place) for place in range(1, 31))
    many = dataclasses.replace(found, entries=entries)
    figure = json.loads(figures.curve_figure(many, line_styles.line_styles([entry.name for entry in entries])))
    coloured = [trace["name"] for trace in figure["data"] if trace.get("opacity") is None]
    assert coloured == [f"m{place}" for place in range(1, 9)]
    assert all(trace["opacity"] < 0.5 for trace in figure["data"] if trace["name"] not in coloured)
    assert len(figure["data"]) == 30


def test_the_printed_curve_has_the_same_numbers_and_bytes_that_repeat(whole_run, tmp_path):
    found, _ = board(whole_run)
    axes = print_figures.curves(found).axes[0]
    drawn = [np.asarray(line.get_ydata()).tolist() for line in axes.lines if len(np.asarray(line.get_xdata())) == 7]
    assert drawn == [[point.value for point in entry.accuracy] for entry in found.entries]
    assert axes.lines[0].get_linestyle() != axes.lines[1].get_linestyle()
    first, again = (print_figures.save(print_figures.curves(found), tmp_path / name / "curve") for name in "ab")
    assert [file.suffix for file in first] == [".pdf", ".svg", ".png"]
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in again]


def test_models_differ_without_colour():
    names = ["a#0", "a+full#0", "b#0", "b+full#0", "c#0"]
    look = line_styles.line_styles(names)
    assert len({(one.dash, one.symbol) for one in look.values()}) == len(names)
    seeds = line_styles.line_styles(["a#0", "a#1", "b#0", "b#1"])
    assert seeds["a#0"].colour == seeds["a#1"].colour != seeds["b#0"].colour
    assert len({one.symbol for one in seeds.values()}) == 4


def test_colours_contrast_with_both_grounds():
    style = (Path(figures.__file__).parent / "page" / "style.css").read_text()
    grounds = re.findall(r"--ground: (#[0-9a-f]{6});", style)
    assert len(grounds) >= 2
    for ground in grounds[:2]:
        for colour in (*line_styles.COLOURS, line_styles.NEUTRAL):
            a, b = sorted((_luminance(ground), _luminance(colour)))
            assert (b + 0.05) / (a + 0.05) >= 3, (ground, colour)


def _luminance(colour: str) -> float:
    """WCAG 2.1, relative luminance."""
    shares = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_histories_plot_every_epoch_and_no_nan(whole_run):
    history = read(whole_run).table("train", "history.parquet", "phantom-skin")
    model = history["model_id"][0]
    spoiled = history.with_columns(val_loss=float("nan"))
    loss, accuracy = (
        json.loads(text)
        for _, text in figures.history_figures(spoiled, line_styles.line_styles([model, "resnet10t+full#0"]))
    )
    assert loss["data"][0]["y"] == [None] * 12
    assert accuracy["data"][0]["y"] == history.filter(model_id=model)["val_balanced_accuracy"].to_list()
