"""With vs. without attention is stated where it can be, and refused with a reason where it cannot."""

import polars as pl
from tests.runs import rewrite, unmake

from palpate.core import rows
from palpate.report.run_data import read
from palpate.report.sections.contrasts import section
from palpate.statistics.paired import compare


def contrasts(run, task: str):
    return read(run).results.tasks[task].contrasts


def test_the_contrast_is_that_of_compare(whole_run):
    data = read(whole_run)
    (skin,) = data.results.tasks["phantom-skin"].contrasts
    plain, attentive = (
        data.attack_rows_of(data.complete("attack", "phantom-skin", model)[0])
        for model in ("resnet10t#0", "resnet10t+full#0")
    )
    assert skin.comparison == compare(plain, attentive)
    assert skin.sentence == skin.comparison.sentence
    shown = section(data, "phantom-skin")
    assert shown is not None
    (table,) = shown.tables
    assert [row[0].text for row in table.rows] == [
        "clean",
        *(f"{e:.3g} ({255 * e:.3g}/255)" for e in plain["epsilon"].unique().sort()[1:]),
    ]
    means = [float(side.filter(epsilon_index=6)["correct"].mean()) for side in (attentive, plain)]  # pyright: ignore[reportArgumentType]
    assert table.rows[-1][3].text.startswith(f"+{100 * (means[0] - means[1]):.1f} [")


def test_no_signal_on_a_side_is_not_compared(whole_run):
    (chest,) = contrasts(whole_run, "phantom-chest")
    assert chest.comparison is None
    assert chest.sentence.startswith("not compared: no signal in resnet10t")


def test_seeds_without_signal_are_left_out_and_counted(make_run):
    run = make_run(seeds=(0, 1, 2), weak=(), samples=2)
    stage = read(run).complete("predict", "phantom-skin", "resnet10t#1")[0]
    path = stage.folder / "images.parquet"
    rewrite(rows.read(path).with_columns(correct=pl.col("label") == 0), path)
    (skin,) = contrasts(run, "phantom-skin")
    assert skin.comparison is not None
    assert (skin.comparison.runs_a, skin.comparison.runs_b) == (2, 3)
    assert skin.sentence.endswith("; 1 run without signal left out")
    entry = next(
        one for one in read(run).results.tasks["phantom-skin"].leaderboards[0].entries if one.name == "resnet10t"
    )
    assert (len(entry.runs), entry.left_out) == (2, ("resnet10t#1",))


def test_what_compare_refuses_is_said(make_run):
    run = make_run()
    path = read(run).complete("attack")[0].folder / "images.parquet"
    rewrite(rows.read(path).with_columns(image_id=pl.lit("other_") + pl.col("image_id")), path)
    (skin,) = contrasts(run, "phantom-skin")
    assert skin.comparison is None
    assert skin.sentence.startswith("not compared: ")


def test_a_study_of_one_kind_or_without_an_attack_has_no_contrast(make_run):
    run = make_run(models=(("resnet10t", "none"), ("resnet18", "none")), samples=2)
    assert contrasts(run, "phantom-skin") == ()
    assert section(read(run), "phantom-skin") is None


def test_a_study_without_attack_has_no_contrast(make_run):
    run = make_run(samples=2)
    for file in run.glob("attack-*/stage.json"):
        unmake(file)
    assert contrasts(run, "phantom-skin") == ()
