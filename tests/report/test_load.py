"""A run folder is read in any state, and nothing it lacks or cannot give is passed over."""

import json
import shutil

import polars as pl
import pytest

from palpate.core import rows
from palpate.core.errors import InputError
from palpate.report.clinical import bedside
from palpate.report.comparisons import contrasts
from palpate.report.load import data_identity, read


def test_points_are_counts_of_rows(whole_run):
    material = read(whole_run)
    assert len(material.lines) == 4
    assert not material.problems
    for line in material.lines:
        assert [point.epsilon_index for point in line.points] == list(range(7))
        cell = material.complete("attack", line.task, line.model_id)[0]
        table = rows.read(cell.folder / "images.parquet")
        for point in line.points:
            here = table.filter(epsilon_index=point.epsilon_index)
            assert point.n == len(here) == 48
            assert point.accuracy == here["correct"].mean()
        assert line.clean is not None
        whole = rows.read(material.complete("predict", line.task, line.model_id)[0].folder / "images.parquet")
        assert line.clean.n == 60
        assert line.clean.accuracy == whole.filter(split="test")["correct"].mean()


def test_lines_follow_the_studys_order(whole_run):
    study = json.loads((whole_run / "study.json").read_text())
    found = [(line.task, line.model_id) for line in read(whole_run).lines]
    assert found == list(dict.fromkeys((cell["task"], cell["model_id"]) for cell in study["cells"]))


def test_failed_and_missing_cells_keep_their_state(make_run):
    material = read(make_run(failed=("attack",), missing=("explain",)))
    states = {cell.title: cell.state for cell in material.cells if cell.state != "complete"}
    assert states == {
        "attack resnet10t+full#0 on phantom-skin": "failed",
        "explain resnet10t+full#0 on phantom-skin": "missing",
    }
    assert material.of("attack", "phantom-skin", "resnet10t+full#0")[0].error == "RuntimeError: <planted>"
    bare = next(line for line in material.lines if (line.task, line.model_id) == ("phantom-skin", "resnet10t+full#0"))
    assert bare.attack_id == "none"
    assert bare.clean is not None
    assert bare.attacked == ()


@pytest.mark.parametrize("name", ["images.parquet", "history.parquet", "explanations.parquet", "cell.json"])
def test_an_unreadable_file_is_a_problem_and_not_the_end(make_run, name):
    run = make_run()
    broken = sorted(run.glob(f"*/{name}"))[0]
    broken.write_bytes(b"cut short")
    material = read(run)
    assert len(material.problems) == 1
    assert broken.parent.name in material.problems[0]
    assert material.lines


def test_a_folder_without_a_study_is_refused(tmp_path):
    with pytest.raises(InputError, match="is not a run folder"):
        read(tmp_path)
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path)


def test_a_study_without_results_has_no_lines(make_run):
    run = make_run()
    for file in run.glob("*/cell.json"):
        file.unlink()
    material = read(run)
    assert material.lines == ()
    assert {cell.state for cell in material.cells} == {"missing"}
    assert material.models("phantom-chest") == ["resnet10t#0", "resnet10t+full#0"]


def test_two_attacks_on_one_model_are_two_lines_that_start_at_the_same_clean_images(make_run):
    run = make_run()
    cell = read(run).complete("attack")[0]
    path = cell.folder / "images.parquet"
    table = rows.read(path)
    attacked = table.filter(pl.col("epsilon_index") > 0)
    other = attacked.with_columns(attack_id=pl.lit("sweep-fast"), attack=pl.lit("sweep"), correct=pl.lit(False))
    rows.write(pl.concat([table, other]), path)
    lines = [line for line in read(run).lines if (line.task, line.model_id) == (cell.task, cell.model_id)]
    assert [line.attack_id for line in lines] == ["foolbox-20-0", "sweep-fast"]
    assert lines[0].points[0] == lines[1].points[0]
    assert lines[1].points[1].accuracy == 0


def test_the_clean_rows_of_two_attacks_are_counted_once(make_run):
    """A second attack cell, as `[[attacks]]` twice in a study makes it, repeats the clean rows of the first."""
    run = make_run(weak=())
    for cell in read(run).complete("attack"):
        again = run / f"{cell.id}b"
        shutil.copytree(cell.folder, again)
        table = rows.read(again / "images.parquet")
        attacked = pl.col("epsilon_index") > 0
        rows.write(
            table.with_columns(attack_id=pl.when(attacked).then(pl.lit("sweep-fast")).otherwise("attack_id")),
            again / "images.parquet",
        )
    study = json.loads((run / "study.json").read_text())
    study["cells"] += [cell | {"id": cell["id"] + "b"} for cell in study["cells"] if cell["kind"] == "attack"]
    (run / "study.json").write_text(json.dumps(study))
    material = read(run)
    assert not material.problems
    assert len(material.lines) == 8
    assert len(material.attack_rows("phantom-skin")) == 2 * 48 * 13
    assert len(contrasts(material)) == 4
    assert all(one.found for one in contrasts(material))
    errors = bedside(material, "phantom-chest")
    assert errors is not None
    assert len(errors.directed) == 8


def test_data_identity_is_found_where_it_was_written(whole_run):
    assert data_identity(read(whole_run).complete("train")[0]) == "abc123"
