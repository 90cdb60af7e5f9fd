"""A table is written into the page, CSV, Markdown and LaTeX with the same numbers."""

import csv
import io

import pytest

from palpate.report.run_data import read
from palpate.report.sections.curves import run_tables
from palpate.report.sections.leaderboard import board_table
from palpate.report.tables import Cell, Table


@pytest.fixture(scope="module")
def table() -> Table:
    rows = ((Cell("a_b", mark="left"), Cell("41%", "[28, 55]", key=0.41)), (Cell("c|d"), Cell("–")))
    records = ({"model": "a_b", "value": 0.4071}, {"model": "c|d", "value": None, "note": "no signal"})
    return Table("t", "50% of ε ≥ 1", ("model", "ε 0.00784|2/255"), rows, records, line=1)


def test_csv_has_full_precision_and_every_column(table):
    found = list(csv.DictReader(io.StringIO(table.csv())))
    assert found[0] == {"model": "a_b", "value": "0.4071", "note": ""}
    assert found[1]["note"] == "no signal"


def test_markdown_and_latex_escape_their_characters(table):
    assert "| a_b | 41% [28, 55] |" in table.markdown()
    assert "| c\\|d | – |" in table.markdown()
    assert "| model | ε 0.00784 = 2/255 |" in table.markdown()
    latex = table.latex()
    assert r"a\_b & 41\% [28, 55] \\" in latex
    assert r"\caption{50\% of $\varepsilon$ $\geq$ 1}" in latex
    assert latex.index(r"a\_b") < latex.rindex(r"\midrule") < latex.index("c|d")


def test_the_leaderboard_holds_every_accuracy(whole_run):
    results = read(whole_run).results
    board = results.tasks["phantom-skin"].leaderboards[0]
    every = board_table(results, "phantom-skin", board, every=True)
    for entry, row, record in zip(board.entries, every.rows, every.records, strict=True):
        assert row[1].text == entry.name
        for point, cell in zip(entry.accuracy[1:], row[5:], strict=True):
            assert str(cell) == f"{100 * point.value:.0f}% [{100 * point.low:.0f}, {100 * point.high:.0f}]"
            assert record[f"accuracy_at_{point.epsilon:.6g}"] == point.value
    some = board_table(results, "phantom-skin", board)
    assert some.columns[5:8] == ("ε 0.00125|0.319/255", "ε 0.01|2.55/255", "ε 0.04|10.2/255")


def test_no_signal_stands_in_place_of_every_accuracy_under_attack(whole_run):
    results = read(whole_run).results
    for task, silent in (("phantom-skin", False), ("phantom-chest", True)):
        (table,) = run_tables(task, results.tasks[task].curves)
        assert [row[-1].text.startswith("no signal") for row in table.rows] == [silent] * 2
        assert {len(row) for row in table.rows} == {5 + 6}


def test_runs_hold_every_point_at_full_precision(whole_run):
    curves = read(whole_run).results.tasks["phantom-skin"].curves
    (table,) = run_tables("phantom-skin", curves)
    found = list(csv.DictReader(io.StringIO(table.csv())))
    assert len(found) == len(curves) * (7 + 1)
    for one in curves:
        mine = [row for row in found if row["model_id"] == one.model_id]
        assert [row["images"] for row in mine] == ["test split"] + ["attacked"] * 7
        for row, point in zip(mine[1:], one.points, strict=True):
            assert float(row["accuracy"]) == point.accuracy
            assert row["signal"] == "True"
