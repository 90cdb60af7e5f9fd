"""Radii as a distribution, and classes taken for one another: the numbers of the rows, in every kind of run."""

import json

import numpy as np
import polars as pl
from tests.runs import rewrite

from palpate.core import rows
from palpate.report.line_styles import axis
from palpate.report.run_data import read
from palpate.report.sections import confusion, radii


def test_quantiles_are_those_of_the_rows(make_run):
    run = make_run(tasks={"phantom-skin": ["a", "b"]}, models=(("net", "none"),), weak=(), samples=1)
    path = read(run).complete("attack")[0].folder / "images.parquet"
    number, index = pl.col("image_id").str.slice(5).cast(pl.Float64), pl.col("epsilon_index")
    radius = pl.when(index > 0).then(pl.when(number < 40).then(0.001 * (number + 1)).otherwise(float("inf")))
    rewrite(
        rows.read(path).with_columns(radius=radius, correct=pl.when(index == 0).then(number >= 8).otherwise("correct")),
        path,
    )
    entry = read(run).results.tasks["phantom-skin"].leaderboards[0].entries[0]
    kept = np.sort([0.001 * (i + 1) if i < 40 else np.inf for i in range(8, 48)])
    expected = [kept[int(np.ceil(share * 40)) - 1] for share in (0.05, 0.25, 0.5, 0.75, 0.95)]
    assert entry.radii is not None
    np.testing.assert_allclose([np.inf if one is None else one for one in entry.radii.quantiles], expected)
    assert entry.radii.beyond == 8 / 40
    assert entry.radii.incorrect == 8 / 48
    found = radii.section(read(run), "phantom-skin")
    assert found is not None
    assert [str(cell) for cell in found.tables[0].rows[0]][1:] == [
        "0.01",
        "0.018",
        "0.028",
        "0.038",
        "> 0.04",
        "20%",
        "17%",
    ]


def test_positions_on_the_axis_rise_with_the_radius():
    for epsilons in ([0.01, 0.02, 0.03], [0.001, 0.01, 0.1], [0.5]):
        along = axis(epsilons)
        places = [along.within(value) for value in np.linspace(0, epsilons[-1], 50)]
        assert places[0] == 0
        assert places[-1] == along.within(None) == along.within(9.0) == 1
        assert (np.diff(places) > 0).all()
        assert all(along.within(value) == along.positions[value] for value in epsilons)


def test_the_matrix_counts_images_by_class_and_prediction(make_run):
    run = make_run(seeds=(0, 1), samples=1, models=(("net", "none"),))
    data = read(run)
    found = confusion.section(data, "phantom-skin")
    assert found is not None
    clean, attacked = found.tables
    table = data.attack_rows("phantom-skin")
    half = min(
        (p for p in data.results.tasks["phantom-skin"].leaderboards[0].entries[0].accuracy if p.epsilon_index),
        key=lambda p: abs(p.value - 0.5 * float(table.filter(epsilon_index=0)["correct"].mean())),
    )  # pyright: ignore[reportArgumentType]
    for shown, index in ((clean, 0), (attacked, half.epsilon_index)):
        part = table.filter(epsilon_index=index)
        for label, line in enumerate(shown.rows):
            mine = part.filter(label=label)
            assert line[1].text == str(len(mine))
            shares = [f"{100 * len(mine.filter(prediction=k)) / len(mine) + 1e-9:.0f}%" for k in range(3)]
            assert [cell.text for cell in line[2:]] == shares
    assert confusion.section(data, "phantom-chest") is None


def test_a_hundred_classes_show_the_most_frequent_confusions(make_run):
    run = make_run(tasks={"phantom-skin": [f"class {number}" for number in range(100)]}, weak=(), samples=1, n=300)
    found = confusion.section(read(run), "phantom-skin")
    assert found is not None
    table = found.tables[0]
    assert len(table.rows) == confusion.LISTED
    images = [int(row[2].text) for row in table.rows]
    assert images == sorted(images, reverse=True)
    assert len(json.dumps(table.records)) > 100


def test_nothing_attacked_has_neither(make_run):
    run = make_run(failed=("attack",), models=(("net", "none"),), samples=1, tasks={"phantom-skin": ["a", "b", "c"]})
    data = read(run)
    assert confusion.section(data, "phantom-skin") is radii.section(data, "phantom-skin") is None
