"""The paper's numbers stand beside counts of this run's rows, and what was not measured is said."""

import json

import polars as pl
import pytest
from tests.runs import edit, rewrite

from palpate.core import rows
from palpate.papers.wasserman2022.comparison import Claim, claims, reading
from palpate.papers.wasserman2022.page import write_page
from palpate.report.run_data import read

TASKS = {"phantom-skin": ["a", "b", "c"], "phantom-fundus": ["no", "yes"], "phantom-chest": ["no", "yes"]}
MODELS = (("resnet50", "none"), ("resnet50", "full"))


@pytest.fixture
def paper_run(make_run):
    return make_run(tasks=TASKS, models=MODELS, weak=(), samples=1, n=100)


def found(run, where: str, what: str) -> Claim:
    (one,) = [claim for claim in claims(read(run)) if (claim.where, claim.what) == (where, what)]
    return one


def change_attacks(run, task: str, **columns) -> None:
    for stage in read(run).complete("attack", task):
        path = stage.folder / "images.parquet"
        rewrite(rows.read(path).with_columns(**columns), path)


def test_clean_accuracies_are_those_of_the_rows(paper_run):
    data = read(paper_run)
    for where, task in (("Skin lesions", "phantom-skin"), ("Pneumothorax", "phantom-chest")):
        for words, model in (("without", "resnet50#0"), ("with", "resnet50+full#0")):
            table = rows.read(data.complete("predict", task, model)[0].folder / "images.parquet").filter(split="test")
            expected = f"{100 * float(table['correct'].mean()):.0f}% ["  # pyright: ignore[reportArgumentType]
            assert found(paper_run, where, f"clean accuracy, {words} attention").measured.startswith(expected)


def test_a_loss_is_given_in_points_and_as_a_share(paper_run):
    first = pl.col("image_id") < "test_0040"
    change_attacks(paper_run, "phantom-skin", correct=pl.when(pl.col("epsilon_index") == 0).then(True).otherwise(first))
    claim = found(paper_run, "Skin lesions", "lost at ε .00125, without attention")
    assert (claim.paper, claim.measured.split(" (")[0]) == ("24 %", "50.0 points, 50% of the clean accuracy")


def restate(run, task: str, epsilons: list[float]) -> None:
    """Have the run state other epsilons for a task, from index 1 on."""
    tasks = json.loads((run / "study.json").read_text())["tasks"]
    tasks[task]["epsilons"] = epsilons
    edit(run / "study.json", tasks=tasks)
    index = pl.col("epsilon_index")
    moved = pl.lit(None, pl.Float64)
    for place, epsilon in enumerate(epsilons, 1):
        moved = pl.when(index == place).then(epsilon).otherwise(moved)
    change_attacks(run, task, epsilon=pl.coalesce(moved, "epsilon"))


def test_the_reading_is_that_under_which_the_papers_epsilons_are_the_studys(paper_run):
    assert reading(read(paper_run), "phantom-skin") == "A"
    restate(paper_run, "phantom-fundus", [0.01, 0.02, 0.04, 0.08, 0.16, 0.32])
    restate(paper_run, "phantom-skin", [0.00125 / 2, 0.0025 / 2, 0.005 / 2, 0.0075 / 2, 0.01 / 2])
    restate(paper_run, "phantom-chest", [0.01 / 255, 0.02 / 255, 0.04 / 255, 0.08 / 255, 0.16 / 255, 0.32 / 255])
    data = read(paper_run)
    assert [reading(data, task) for task in TASKS] == ["B", "A", "C"]
    change_attacks(paper_run, "phantom-skin", correct=pl.col("epsilon_index") != 5)
    assert found(paper_run, "Skin lesions", "at ε .01, without attention").measured.startswith("0% [0, ")
    assert not found(paper_run, "Pneumothorax", "at ε .32, with attention").measured.startswith("not measured")
    assert "grey levels, so divided by 255 (reading C)" in write_page(paper_run).read_text()


def test_a_tiny_denominator_gives_no_ratio(paper_run):
    restate(paper_run, "phantom-fundus", [0.01 / 255, 0.32 / 255])
    change_attacks(
        paper_run, "phantom-fundus", correct=(pl.col("epsilon_index") == 0) | (pl.col("attention") == "full")
    )
    measured = found(paper_run, "Diabetic retinopathy", "with over without attention at ε .32").measured
    assert measured.startswith("no ratio")
    assert "+100.0 [" in measured
    assert "×" not in measured


def test_where_the_lines_cross(paper_run):
    change_attacks(
        paper_run,
        "phantom-chest",
        correct=(pl.col("epsilon_index") < 3) | ((pl.col("attention") == "full") & (pl.col("epsilon_index") < 5)),
    )
    assert found(paper_run, "Pneumothorax", "lines cross").measured.startswith(
        "attention ahead from 0.005 (1.28/255) on, by +100.0 ["
    )


def test_parameters_and_epochs_are_the_train_stages_own(paper_run):
    for stage in read(paper_run).complete("train"):
        parameters = 1010 if "full" in stage.model_id else 1000
        edit(stage.folder / "stage.json", facts={"parameters": parameters, "epochs": len(stage.task)})
    assert found(paper_run, "All", "more parameters with attention").measured == "1.000% (10 more than 1,000)"
    assert found(paper_run, "All", "epochs trained").measured == "12 to 14 in 6 trainings"


def test_seeds_are_listed_each(make_run):
    run = make_run(tasks={"phantom-skin": ["a", "b"]}, models=MODELS, weak=(), samples=1, seeds=(0, 1))
    measured = found(run, "Skin lesions", "clean accuracy, with attention").measured
    assert "resnet50+full#0: " in measured
    assert "resnet50+full#1: " in measured


def test_another_study_has_measured_nothing_of_it(make_run):
    run = make_run(tasks={"blood": ["a", "b"]}, samples=1)
    measured = {claim.what: claim.measured for claim in claims(read(run))}
    assert measured.pop("epochs trained") == "12 to 12 in 2 trainings"
    assert set(measured.values()) == {"not measured"}
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
