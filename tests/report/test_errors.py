"""False negatives and false positives are counts of rows, apart from each other."""

import polars as pl
from tests.runs import rewrite, unmake

from palpate.report.run_data import RunData, read
from palpate.report.sections.errors import directed_radii, errors, operating_points, section
from palpate.report.tables import Table


def tables(data: RunData, task: str) -> tuple[Table | None, Table | None]:
    found = data.results.tasks[task]
    return next(iter(errors(task, found, data.study.tasks[task].classes)), None), operating_points(task, found)


def test_rates_are_counts_of_attacked_rows(make_run):
    data = read(make_run(weak=(), samples=2))
    table, _ = tables(data, "phantom-chest")
    assert table is not None
    assert table.columns[:5] == ("model", "attack", "error", "n", "clean")
    names = [(row[0].text, row[1].text, row[2].text) for row in table.rows]
    assert sorted(names) == sorted(
        (model, "foolbox-pgd-20", error)
        for model in ("resnet10t#0", "resnet10t+full#0")
        for error in ("false negatives", "false positives")
    )
    rows = data.attack_rows_of(data.complete("attack", "phantom-chest", "resnet10t#0")[0])
    for error, label in (("false negatives", 1), ("false positives", 0)):
        row = table.rows[names.index(("resnet10t#0", "foolbox-pgd-20", error))]
        for index, cell in enumerate(row[4:]):
            part = rows.filter(epsilon_index=index, label=label)
            assert row[3].text == str(len(part))
            assert cell.text == f"{100 * (~part['correct']).sum() / len(part):.0f}%"


def test_directed_radii_are_a_group_by_of_rows(make_run):
    data = read(make_run(weak=(), samples=2))
    table = directed_radii("phantom-chest", data.results.tasks["phantom-chest"], ("clear", "ill"))
    assert table is not None
    assert table.columns == ("model", "attack", "missed disease", "n", "false alarm", "n")
    for row in table.rows:
        rows = data.attack_rows_of(data.complete("attack", "phantom-chest", row[0].text)[0])
        right = rows.filter(pl.col("epsilon_index") == 0, "correct").select("image_id")
        first = (
            rows.filter(epsilon_index=6).join(right, on="image_id", how="semi").select("image_id", "label")
            .join(rows.filter(~pl.col("correct")).group_by("image_id").agg(pl.col("epsilon").min()), on="image_id", how="left")
            .with_columns(pl.col("epsilon").fill_null(float("inf")))
        )  # fmt: skip
        for label, cell, count in ((1, row[2], row[3]), (0, row[4], row[5])):
            radii = first.filter(label=label)["epsilon"].sort()
            assert count.text == str(len(radii))
            assert cell.key == min(radii[(len(radii) + 1) // 2 - 1], 1e9)
    assert directed_radii("phantom-skin", data.results.tasks["phantom-skin"], ("a", "b")) is None


def test_attacks_of_other_norms_have_tables_of_their_own(make_run):
    run = make_run(weak=(), samples=2)
    for stage in read(run).complete("attack", "phantom-chest", "resnet10t+full#0"):
        path = stage.folder / "images.parquet"
        rows = pl.read_parquet(path)
        here = pl.col("epsilon_index") > 0
        changes = {"norm": pl.lit("l2"), "attack_id": pl.lit("fast-l2"), "epsilon": pl.col("epsilon") * 100}
        rewrite(
            rows.with_columns(**{name: pl.when(here).then(value).otherwise(name) for name, value in changes.items()}),
            path,
        )
    data = read(run)
    first, second = errors("phantom-chest", data.results.tasks["phantom-chest"], ("clear", "ill"))
    assert {len(first.rows), len(second.rows)} == {2}
    assert (first.columns[5], second.columns[5]) == ("ε 0.00125|0.319/255", "ε 0.125")


def test_clean_measures_are_given_for_every_model(make_run):
    _, table = tables(read(make_run(weak=(), samples=2)), "phantom-chest")
    assert table is not None
    assert [row[0].text for row in table.rows] == ["resnet10t#0", "resnet10t+full#0"]
    _, n, auroc, sensitivity, *_ = table.rows[0]
    assert n.text == "60"
    assert 0.9 < float(auroc.text) <= 1
    assert sensitivity.text.endswith("%")


def test_no_signal_has_no_errors_under_attack(make_run):
    table, clean = tables(read(make_run(samples=2)), "phantom-chest")
    assert table is None
    assert clean is not None


def test_more_classes_or_no_prediction_have_no_section(make_run):
    run = make_run(samples=2)
    assert section(read(run), "phantom-skin") is None
    for file in [*run.glob("predict-*/stage.json"), *run.glob("attack-*/stage.json")]:
        unmake(file)
    assert section(read(run), "phantom-chest") is None


def test_a_model_that_was_not_attacked_has_clean_measures_only(make_run):
    run = make_run(weak=(), samples=2)
    for file in run.glob("attack-*/stage.json"):
        unmake(file)
    table, clean = tables(read(run), "phantom-chest")
    assert (table, clean is None) == (None, False)
    assert read(run).prediction_rows().filter(pl.col("split") == "val").height == 4 * 60
