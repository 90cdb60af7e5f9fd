"""False negatives and false positives are counts of rows, apart from each other."""

import polars as pl
from tests.runs import unmake

from palpate.report.run_data import RunData, read
from palpate.report.sections.errors import errors, operating_points, section
from palpate.report.tables import Table


def tables(data: RunData, task: str) -> tuple[Table | None, Table | None]:
    found = data.results.tasks[task]
    return errors(task, found, data.study.tasks[task].classes), operating_points(task, found)


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
