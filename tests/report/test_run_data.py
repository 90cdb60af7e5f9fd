"""A run folder is read in any state, and nothing it lacks or cannot give is passed over."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from tests.runs import edit, rewrite, seal, unmake

from palpate.core import rows
from palpate.core.errors import InputError
from palpate.report.results import Results
from palpate.report.run_data import read


def test_points_are_counts_of_rows(whole_run):
    data = read(whole_run)
    assert not data.problems
    for task, found in data.results.tasks.items():
        assert len(found.curves) == 2
        for one in found.curves:
            assert [point.epsilon_index for point in one.points] == list(range(7))
            stage = data.complete("attack", task, one.model_id)[0]
            table = rows.read(stage.folder / "images.parquet")
            for point in one.points:
                here = table.filter(epsilon_index=point.epsilon_index)
                assert point.n == len(here) == 48
                assert point.accuracy == here["correct"].mean()
            assert one.clean is not None
            whole = rows.read(data.complete("predict", task, one.model_id)[0].folder / "images.parquet")
            assert one.clean.n == 60
            assert one.clean.accuracy == whole.filter(split="test")["correct"].mean()


def test_the_leaderboard_counts_the_attacked_images(whole_run):
    data = read(whole_run)
    board = data.results.tasks["phantom-skin"].leaderboards[0]
    for entry in board.entries:
        table = data.attack_rows("phantom-skin").filter(model_id=entry.runs[0])
        assert entry.images == 48
        assert [point.value for point in entry.accuracy] == [
            table.filter(epsilon_index=index)["correct"].mean() for index in range(7)
        ]


def test_curves_follow_the_studys_order(whole_run):
    data = read(whole_run)
    found = [(task, one.model_id) for task, part in data.results.tasks.items() for one in part.curves]
    assert found == list(dict.fromkeys((stage.task, stage.model_id) for stage in data.study.stages))


def test_results_survive_json(whole_run):
    results = read(whole_run).results
    assert Results.read(json.loads(json.dumps(results.to_dict(), allow_nan=False)), "results.json") == results


def test_failed_and_missing_stages_keep_their_state(make_run):
    data = read(make_run(failed=("attack",), missing=("explain",)))
    states = {stage.title: stage.state for stage in data.stages if stage.state != "complete"}
    assert states == {
        "attack resnet10t+full#0 on phantom-skin": "failed",
        "explain resnet10t+full#0 on phantom-skin": "missing",
    }
    assert data.of("attack", "phantom-skin", "resnet10t+full#0")[0].error == "RuntimeError: <injected>"
    assert data.results.stages == {"complete": 14, "failed": 1, "damaged": 0, "outdated": 0, "missing": 1}
    bare = next(one for one in data.results.tasks["phantom-skin"].curves if one.model_id == "resnet10t+full#0")
    assert bare.attack_id == "none"
    assert bare.clean is not None
    assert bare.attacked == ()


@pytest.mark.parametrize("name", ["images.parquet", "stage.json"])
def test_an_unreadable_file_is_a_problem_and_not_the_end(make_run, name):
    run = make_run()
    damaged = sorted(run.glob(f"*/{name}"))[0]
    damaged.write_bytes(b"cut short")
    data = read(run)
    assert len(data.problems) == 1
    assert damaged.parent.name in data.problems[0]
    assert data.results.tasks["phantom-skin"].curves


def test_a_table_of_other_columns_is_a_problem(make_run):
    run = make_run()
    path = read(run).complete("attack")[0].folder / "images.parquet"
    pl.read_parquet(path).drop("margin").write_parquet(path)
    assert "damaged, so it is not shown" in read(run).problems[0]
    seal(run)
    assert "is no table of rows of this version" in read(run).problems[0]


@pytest.mark.parametrize("name", ["history.parquet", "explanations.parquet"])
def test_an_unreadable_table_of_a_section_is_a_problem(make_run, name):
    data = read(make_run())
    kind = {"history.parquet": "train", "explanations.parquet": "explain"}[name]
    (data.complete(kind)[0].folder / name).write_bytes(b"cut short")
    assert len(data.table(kind, name))
    assert name in data.problems[0]


def test_a_folder_without_a_study_or_of_version_1_is_refused(tmp_path):
    with pytest.raises(InputError, match="is not a run folder"):
        read(tmp_path)
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path)
    (tmp_path / "study.json").write_text('{"name": "old"}')
    with pytest.raises(InputError, match=r"version 0\.1"):
        read(tmp_path)


def test_a_study_without_results_has_no_curves(make_run):
    run = make_run()
    for file in run.glob("*/stage.json"):
        unmake(file)
    data = read(run)
    assert all(not found.curves and not found.leaderboards for found in data.results.tasks.values())
    assert {stage.state for stage in data.stages} == {"missing"}
    assert data.models("phantom-chest") == ["resnet10t#0", "resnet10t+full#0"]


def test_two_attacks_on_one_model_are_two_curves_that_start_at_the_same_clean_images(make_run):
    run = make_run()
    stage = read(run).complete("attack")[0]
    path = stage.folder / "images.parquet"
    table = rows.read(path)
    attacked = table.filter(pl.col("epsilon_index") > 0)
    other = attacked.with_columns(attack_id=pl.lit("fast"), attack=pl.lit("minimum-norm"), correct=pl.lit(False))
    rewrite(pl.concat([table, other]), path)
    curves = [one for one in read(run).results.tasks[stage.task].curves if one.model_id == stage.model_id]
    assert [one.attack_id for one in curves] == ["foolbox-pgd-20", "fast"]
    assert curves[0].points[0] == curves[1].points[0]
    assert curves[1].points[1].accuracy == 0


def test_the_clean_rows_of_two_attacks_are_counted_once_and_each_attack_keeps_its_images(make_run):
    """A second attack stage repeats the clean rows of the first, or fewer of them."""
    run = make_run(weak=())
    study = json.loads((run / "study.json").read_text())
    for number, stage in enumerate(read(run).complete("attack")):
        again = f"attack-{1000 + number:016x}"
        shutil.copytree(stage.folder, run / again)
        entry = next(one for one in study["stages"] if one["fingerprint"] == stage.fingerprint)
        study["stages"].append(entry | {"fingerprint": again.split("-")[1]})
        edit(run / again / "stage.json", fingerprint=again.split("-")[1])
        table = rows.read(run / again / "images.parquet").filter(pl.col("image_id") < "test_0030")
        attacked = pl.col("epsilon_index") > 0
        radius = pl.when(attacked).then(0.003).otherwise(None)
        table = table.with_columns(
            attack_id=pl.when(attacked).then(pl.lit("fast")).otherwise("attack_id"), radius=radius
        )
        rewrite(table, run / again / "images.parquet")
    edit(run / "study.json", stages=study["stages"])
    data = read(run)
    assert not data.problems
    skin = data.results.tasks["phantom-skin"]
    assert [(one.attack_id, one.start.n) for one in skin.curves] == [("foolbox-pgd-20", 48)] * 2 + [("fast", 30)] * 2
    assert len(data.attack_rows("phantom-skin")) == 2 * (48 * 7 + 30 * 6)
    assert [(one.attack_id, one.continuous) for one in skin.leaderboards] == [("fast", True), ("foolbox-pgd-20", False)]
    assert [one.comparison.images for one in skin.contrasts if one.comparison] == [48, 30]
    assert len(data.results.tasks["phantom-chest"].errors) == 2 * 2 * 2 * 7


def test_every_field_of_the_results_is_documented():
    """docs/results.md names each field of results.json, apart from those it refers to by their table."""
    text = (Path(__file__).parents[2] / "docs" / "results.md").read_text(encoding="utf-8")
    elsewhere = {"Point", "Comparison", "PairedPoint", "Area", "VerdictRecord"}
    schema = Results.model_json_schema()
    for name, part in [("Results", schema), *schema["$defs"].items()]:
        missing = [field for field in part.get("properties", {}) if name not in elsewhere and f"{field}`" not in text]
        assert not missing, f"{name}: {missing}"
