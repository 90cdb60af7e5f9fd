"""Provenance repeats what the stages recorded, and counts passes from the rows."""

import polars as pl
from tests.runs import edit, rewrite, unmake

from palpate.core import rows
from palpate.report.run_data import read
from palpate.report.sections.provenance import facts, section


def test_every_model_says_what_it_depends_on(whole_run):
    data = read(whole_run)
    html = section(data).html
    assert html.count("<summary>resnet10t") == 4
    found = dict(facts(data, "phantom-skin", "resnet10t#0"))
    assert all(f"<dt>{name}</dt>" in html for name in found)
    assert found["training"] == "epochs 12"
    assert found["weights, SHA-256"].startswith("140bedbf")  # of b"none"
    assert found["attack"] == "attack foolbox-pgd, steps 20, seed 0"
    assert found["passes per image"] == "126 forward, 120 backward, for all epsilons together"
    assert "of 288 examined, 0 outside their ball and 0 outside [0, 1]" in found["attacked images"]
    assert "(complete)" in found["stages"]


def test_images_outside_the_ball_are_counted(make_run):
    run = make_run(samples=2)
    path = read(run).complete("attack")[0].folder / "images.parquet"
    outside = (pl.col("epsilon_index") == 2) & (pl.col("image_id") < "test_0003")
    rewrite(
        rows.read(path).with_columns(in_ball=~outside, in_box=~(outside & (pl.col("image_id") < "test_0001"))), path
    )
    found = dict(facts(read(run), "phantom-skin", "resnet10t#0"))
    assert "3 outside their ball and 1 outside [0, 1]" in found["attacked images"]


def test_maps_of_a_method_that_was_not_asked_for_by_name_are_named(make_run):
    run = make_run(samples=2)
    for stage in read(run).complete("explain"):
        edit(stage.folder / "stage.json", spec={}, facts={"method": "grad-cam", "layer": "layer4"})
    assert dict(facts(read(run), "phantom-skin", "resnet10t#0"))["maps"] == "method grad-cam, layer layer4"


def test_software_lists_every_version_once(whole_run):
    assert read(whole_run).made_with() == {
        "python": ["3.11.2"],
        "torch": ["2.15.0"],
        "palpate": ["0.1.0"],
        "device": ["cpu"],
        "commit": ["0123456789ab"],
    }


def test_a_model_without_stage_outputs_still_has_a_line(make_run):
    run = make_run(samples=2)
    for file in run.glob("*/stage.json"):
        unmake(file)
    ((name, text),) = facts(read(run), "phantom-skin", "resnet10t#0")
    assert (name, "(missing)" in text) == ("stages", True)
