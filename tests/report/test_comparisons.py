"""With against without attention is said where it can be, and refused with a reason where it cannot."""

import polars as pl

from palpate.core import rows
from palpate.report.comparisons import contrasts, points
from palpate.report.load import read
from palpate.statistics.paired import compare


def test_the_contrast_is_compares_own(whole_run):
    material = read(whole_run)
    skin = next(one for one in contrasts(material) if one.task == "phantom-skin")
    plain, attentive = (
        material.attacks[material.complete("attack", "phantom-skin", model)[0].id]
        for model in ("resnet10t#0", "resnet10t+full#0")
    )
    expected = compare(plain, attentive)
    assert skin.sentence == f"{expected.sentence}."
    assert skin.found is not None
    shown = points(skin.found)
    assert [line[0] for line in shown] == [
        "clean",
        *(f"{e:.3g} ({255 * e:.3g}/255)" for e in plain["epsilon"].unique().sort()[1:]),
    ]
    difference = 100 * (
        attentive.filter(epsilon_index=6)["correct"].mean() - plain.filter(epsilon_index=6)["correct"].mean()
    )  # pyright: ignore
    assert shown[-1][3].startswith(f"+{difference:.1f} [")


def test_no_signal_is_not_compared(whole_run):
    chest = next(one for one in contrasts(read(whole_run)) if one.task == "phantom-chest")
    assert chest.found is None
    assert chest.sentence.startswith("not compared: no signal in resnet10t")


def test_what_compare_refuses_is_said(make_run):
    run = make_run()
    cell = read(run).complete("attack")[0]
    path = cell.folder / "images.parquet"
    rows.write(rows.read(path).with_columns(image_id=pl.lit("other_") + pl.col("image_id")), path)
    skin = next(one for one in contrasts(read(run)) if one.task == "phantom-skin")
    assert skin.found is None
    assert skin.sentence.startswith("not compared: ")


def test_a_study_of_one_kind_has_no_contrast(make_run):
    assert contrasts(read(make_run(models=(("resnet10t", "none"), ("resnet18", "none")), samples=2))) == []


def test_an_unattacked_study_has_no_contrast(make_run):
    run = make_run(samples=2)
    for file in run.glob("attack-*/cell.json"):
        file.unlink()
    assert contrasts(read(run)) == []
