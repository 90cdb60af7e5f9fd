"""The paper's numbers stand beside counts of this run's rows, and what was not measured is said."""

import json

import polars as pl
import pytest

from palpate.core import rows
from palpate.papers.wasserman2022.comparison import Claim, claims, reading
from palpate.papers.wasserman2022.page import write_page
from palpate.report.load import read

TASKS = {"phantom-skin": ["a", "b", "c"], "phantom-fundus": ["no", "yes"], "phantom-chest": ["no", "yes"]}
MODELS = (("resnet50", "none"), ("resnet50", "full"))


@pytest.fixture
def paper_run(make_run):
    return make_run(tasks=TASKS, models=MODELS, weak=(), samples=1, n=100)


def found(run, where: str, what: str) -> Claim:
    (one,) = [claim for claim in claims(read(run)) if (claim.where, claim.what) == (where, what)]
    return one


def change_attacks(run, task: str, **columns) -> None:
    for cell in read(run).complete("attack", task):
        path = cell.folder / "images.parquet"
        rows.write(rows.read(path).with_columns(**columns), path)


def test_clean_accuracies_are_those_of_the_rows(paper_run):
    material = read(paper_run)
    for where, task in (("Skin lesions", "phantom-skin"), ("Pneumothorax", "phantom-chest")):
        for words, model in (("without", "resnet50#0"), ("with", "resnet50+full#0")):
            table = rows.read(material.complete("predict", task, model)[0].folder / "images.parquet").filter(
                split="test"
            )
            expected = f"{100 * float(table['correct'].mean()):.0f}% ["  # pyright: ignore[reportArgumentType]
            assert found(paper_run, where, f"clean accuracy, {words} attention").measured.startswith(expected)


def test_a_loss_is_given_in_points_and_as_a_share(paper_run):
    first = pl.col("image_id") < "test_0040"
    change_attacks(paper_run, "phantom-skin", correct=pl.when(pl.col("epsilon_index") == 0).then(True).otherwise(first))
    claim = found(paper_run, "Skin lesions", "lost at ε .00125, without attention")
    assert (claim.paper, claim.measured.split(" (")[0]) == ("24 %", "50.0 points, 50% of the clean accuracy")


def test_the_reading_moves_the_papers_epsilon(paper_run):
    study = json.loads((paper_run / "study.json").read_text())
    study["tasks"]["phantom-skin"]["epsilon_reading"] = "B"
    (paper_run / "study.json").write_text(json.dumps(study))
    material = read(paper_run)
    assert (reading(material, "phantom-skin"), reading(material, "phantom-chest")) == ("B", "A")
    change_attacks(paper_run, "phantom-skin", correct=pl.col("epsilon_index") != 3)
    assert found(paper_run, "Skin lesions", "at ε .01, without attention").measured.startswith("0% [0, ")
    assert found(paper_run, "Skin lesions", "lost at ε .00125, without attention").measured == "not measured"


def test_a_tiny_denominator_gives_no_ratio(paper_run):
    study = json.loads((paper_run / "study.json").read_text())
    study["tasks"]["phantom-fundus"]["epsilon_reading"] = "C"
    (paper_run / "study.json").write_text(json.dumps(study))
    held = pl.col("attention") == "full"
    change_attacks(
        paper_run,
        "phantom-fundus",
        epsilon=pl.when(pl.col("epsilon_index") == 1).then(0.32 / 255).otherwise("epsilon"),
        correct=(pl.col("epsilon_index") == 0) | held,
    )
    measured = found(paper_run, "Diabetic retinopathy", "with over without attention at ε .32").measured
    assert measured.startswith("no ratio")
    assert "+100.0 points" in measured
    assert "×" not in measured


def test_where_the_lines_cross(paper_run):
    change_attacks(
        paper_run,
        "phantom-chest",
        correct=(pl.col("epsilon_index") < 3) | ((pl.col("attention") == "full") & (pl.col("epsilon_index") < 5)),
    )
    assert found(paper_run, "Pneumothorax", "lines cross").measured.startswith(
        "attention ahead from 0.005 (1.28/255) on, by +100.0"
    )


def test_parameters_and_epochs_are_the_train_cells_own(paper_run):
    for cell in read(paper_run).complete("train"):
        record = cell.record | {
            "facts": {"parameters": 1010 if "full" in cell.model_id else 1000, "epochs": len(cell.task)}
        }
        (cell.folder / "cell.json").write_text(json.dumps(record))
    assert found(paper_run, "All", "more parameters with attention").measured == "1.000% (10 more than 1,000)"
    assert found(paper_run, "All", "epochs trained").measured == "12 to 14 in 6 trainings"


def test_seeds_are_listed_each(make_run):
    run = make_run(tasks={"phantom-skin": ["a", "b"]}, models=MODELS, weak=(), samples=1, seeds=(0, 1))
    measured = found(run, "Skin lesions", "clean accuracy, with attention").measured
    assert "resnet50+full#0: " in measured
    assert "resnet50+full#1: " in measured


def test_another_study_has_measured_nothing_of_it(make_run):
    run = make_run(tasks={"blood": ["a", "b"]}, samples=1)
    assert {claim.measured for claim in claims(read(run))} == {"not measured"}
    assert "holds none of the paper" in write_page(run).read_text()


def test_no_signal_makes_no_claim_under_attack(make_run):
    run = make_run(tasks=TASKS, models=MODELS, weak=("phantom-chest",), samples=1)
    assert found(run, "Pneumothorax", "lines cross").measured.startswith("not compared: no signal")
    assert found(run, "Pneumothorax", "clean accuracy, with attention").measured.endswith("images")


def test_the_page_holds_every_claim_and_no_script(paper_run, tmp_path):
    page = write_page(paper_run, tmp_path / "deep" / "paper.html").read_text()
    assert "<script" not in page
    for claim in claims(read(paper_run)):
        assert claim.what in page
        assert claim.measured.replace("<", "&lt;").replace(">", "&gt;").replace("'", "&#39;") in page
