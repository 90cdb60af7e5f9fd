"""Missed disease and false alarms are counts of rows, apart from each other."""

import polars as pl

from palpate.report.clinical import bedside
from palpate.report.load import read


def test_rates_are_counts_of_attacked_rows(make_run):
    material = read(make_run(weak=(), samples=2))
    found = bedside(material, "phantom-chest")
    assert found is not None
    assert found.epsilons[0] == 0
    assert len(found.epsilons) == 7
    assert [(model, error) for model, error, _, _ in found.directed] == [
        (f"{model} under foolbox-20-0", error)
        for model in ("resnet10t#0", "resnet10t+full#0")
        for error in ("missed disease", "false alarm")
    ]
    rows = material.attacks[material.complete("attack", "phantom-chest", "resnet10t#0")[0].id]
    for label, (_, _, n, cells) in ((1, found.directed[0]), (0, found.directed[1])):
        for index, (rate, _) in enumerate(cells):
            part = rows.filter(epsilon_index=index, label=label)
            assert n == len(part)
            assert rate == f"{100 * (~part['correct']).sum() / len(part):.0f}%"


def test_clean_figures_are_given_for_every_model(make_run):
    found = bedside(read(make_run(weak=(), samples=2)), "phantom-chest")
    assert found is not None
    assert [model for model, _, _ in found.operating] == ["resnet10t#0", "resnet10t+full#0"]
    auroc, sensitivity, *_ = found.operating[0][1]
    assert 0.9 < float(auroc[0]) <= 1
    assert sensitivity[0].endswith("%")


def test_no_signal_has_no_errors_under_attack(make_run):
    found = bedside(read(make_run(samples=2)), "phantom-chest")
    assert found is not None
    assert found.directed == ()
    assert len(found.operating) == 2


def test_more_classes_or_no_prediction_have_no_table(make_run):
    run = make_run(samples=2)
    assert bedside(read(run), "phantom-skin") is None
    for file in run.glob("predict-*/cell.json"):
        file.unlink()
    assert bedside(read(run), "phantom-chest") is None


def test_an_unattacked_model_has_clean_figures_only(make_run):
    run = make_run(weak=(), samples=2)
    for file in run.glob("attack-*/cell.json"):
        file.unlink()
    found = bedside(read(run), "phantom-chest")
    assert found is not None
    assert (found.directed, found.epsilons) == ((), ())
    assert read(run).predictions.filter(pl.col("split") == "val").height == 4 * 60
