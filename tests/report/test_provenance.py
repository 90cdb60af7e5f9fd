"""Provenance repeats what the stages recorded, and counts passes from the rows."""

import polars as pl
from tests.runs import rewrite, unmake

from palpate.core import rows
from palpate.report.run_data import read
from palpate.report.sections.provenance import origins, software


def test_every_model_says_what_it_depends_on(whole_run):
    found = origins(read(whole_run))
    assert [(one.task, one.model_id) for one in found] == [
        (task, model) for task in ("phantom-skin", "phantom-chest") for model in ("resnet10t#0", "resnet10t+full#0")
    ]
    facts = dict(found[0].facts)
    assert facts["training"] == "epochs 12"
    assert facts["weights, SHA-256"].startswith("140bedbf")  # of b"none"
    assert facts["attack"] == "attack foolbox-pgd, steps 20, seed 0"
    assert facts["passes per image"] == "126 forward, 120 backward, for all epsilons together"
    assert "of 288 examined, 0 outside their ball and 0 outside [0, 1]" in facts["attacked images"]
    assert "(complete)" in facts["stages"]


def test_images_outside_the_ball_are_counted(make_run):
    run = make_run(samples=2)
    path = read(run).complete("attack")[0].folder / "images.parquet"
    outside = (pl.col("epsilon_index") == 2) & (pl.col("image_id") < "test_0003")
    rewrite(
        rows.read(path).with_columns(in_ball=~outside, in_box=~(outside & (pl.col("image_id") < "test_0001"))), path
    )
    facts = dict(origins(read(run))[0].facts)
    assert "3 outside their ball and 1 outside [0, 1]" in facts["attacked images"]


def test_software_lists_every_version_once(whole_run):
    assert software(read(whole_run)) == [
        ("python", "3.11.2"),
        ("torch", "2.15.0"),
        ("palpate", "0.1.0"),
        ("device", "cpu"),
        ("commit", "0123456789ab"),
    ]


def test_a_model_without_stage_outputs_still_has_a_line(make_run):
    run = make_run(samples=2)
    for file in run.glob("*/stage.json"):
        unmake(file)
    one = origins(read(run))[0]
    assert [name for name, _ in one.facts] == ["stages"]
    assert "(missing)" in one.facts[0][1]
