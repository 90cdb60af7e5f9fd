"""The tables say what the points say, in 80 columns, and what is missing."""

import csv
import io
import re

import pytest
from rich.console import Console

from palpate.core.errors import InputError
from palpate.report.load import read
from palpate.report.tables import blocks, curve_csv, curve_markdown, curve_table


def printed(renderable, width: int = 80) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(renderable)
    return console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def test_terminal_and_markdown_hold_every_accuracy(whole_run):
    material = read(whole_run)
    terminal, markdown = printed(curve_table(whole_run)), curve_markdown(whole_run)
    for text in (terminal, markdown):
        for line in material.lines:
            assert line.model_id in text
            if line.reference.signal:
                for point in line.points:
                    assert f"{100 * (point.accuracy or 0):.0f}% [{100 * (point.low or 0):.0f}, " in text
    assert "Phantom skin: foolbox-20-0" in terminal
    assert max(map(len, terminal.splitlines())) <= 80


def test_no_signal_stands_in_place_of_every_accuracy_under_attack(whole_run):
    title, skin, chest = None, [], []
    for row in curve_markdown(whole_run).splitlines():
        title = row if row.startswith("**") else title
        if row.startswith("| resnet"):
            (chest if title and "chest" in title else skin).append(row)
    assert len(skin) == len(chest) == 2
    assert all(row.count("no signal") == 6 for row in chest)
    assert not any("no signal" in row for row in skin)


def test_many_models_go_down_the_page(make_run):
    text = printed(curve_table(make_run(seeds=(0, 1, 2), samples=2)), width=160)
    assert re.search(r"^ *model +images? ", text, re.MULTILINE)
    assert re.search(r"^ *resnet10t\+full#2 +60 ", text, re.MULTILINE)


def test_the_csv_holds_every_point_at_full_precision(whole_run):
    material = read(whole_run)
    (_, lines), *_ = blocks(material)
    table = list(csv.DictReader(io.StringIO(curve_csv(lines))))
    assert len(table) == len(lines) * (7 + 1)
    for line in lines:
        mine = [row for row in table if row["model_id"] == line.model_id]
        assert [row["images"] for row in mine] == ["test split"] + ["attacked"] * 7
        for row, point in zip(mine[1:], line.points, strict=True):
            assert float(row["accuracy"]) == point.accuracy
            assert float(row["epsilon_levels_of_255"]) == 255 * point.epsilon
            assert row["signal"] == "True"


def test_gaps_are_said(make_run):
    text = printed(curve_table(make_run(failed=("attack",), missing=("explain",))))
    assert "1 of 16 cells failed: attack resnet10t+full#0 on phantom-skin" in " ".join(text.split())
    assert "1 of 16 cells missing" in text


def test_a_run_without_results_still_prints(make_run):
    run = make_run()
    for file in run.glob("*/cell.json"):
        file.unlink()
    assert "No model has results yet." in printed(curve_table(run))
    assert "**" not in curve_markdown(run)


def test_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="is not a run folder"):
        curve_table(tmp_path)


def test_the_absence_of_verdicts_is_said(make_run):
    assert "Attack not verified: no trust checks were run." in printed(curve_table(make_run(samples=2)))


def test_verdicts_end_the_table(make_run):
    text = " ".join(printed(curve_table(make_run(verdicts=True, samples=2))).split())
    assert "resnet10t#0 on Phantom skin: 1 of 4 checks failed: twice the steps, 1 with a warning, 1 not run." in text
    assert "not verified" not in text
