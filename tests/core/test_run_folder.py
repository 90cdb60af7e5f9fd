"""The run folder: stage outputs appear whole or not at all, belong to one study, and are never made twice at once."""

import json
import shutil
import subprocess
import sys

import pytest
from tests.core.stages import CHILD, STAGE, TASK, make, write_study
from tests.runs import edit

from palpate.core.errors import InputError
from palpate.core.records import Parent
from palpate.core.run_folder import RunFolder, open_run


def test_a_stage_output_appears_whole(tmp_path):
    run = open_run(tmp_path / "run", "s")
    make(run)
    assert run.complete(STAGE.id)
    record = run.stage(STAGE.id)
    assert record.facts == {"epochs": 1}
    assert record.spec == STAGE.spec
    assert record.files["weights.safetensors"].size == len("weights")
    assert record.versions["torch"]
    assert run.verify(STAGE.id) == run.folder(STAGE.id)


def test_the_study_survives_the_file(tmp_path):
    run = open_run(tmp_path / "run", "s")
    write_study(run)
    record = run.study()
    assert record.stages == (STAGE, CHILD)
    assert record.tasks == {"t": TASK}
    assert record.stages[1].parent("model") == CHILD.parents[0]
    assert record.stages[1].parent("attack") is None


def test_a_crash_leaves_nothing_that_looks_finished(tmp_path):
    run = open_run(tmp_path / "run", "s")
    with pytest.raises(KeyboardInterrupt), run.making(STAGE, "cpu", None) as (folder, _):
        (folder / "weights.safetensors").write_text("half")
        raise KeyboardInterrupt
    assert not run.complete(STAGE.id)
    assert not list(run.path.iterdir())


def test_what_is_left_of_a_stage_without_its_record_is_replaced(tmp_path):
    run = open_run(tmp_path / "run", "s")
    make(run)
    (run.folder(STAGE.id) / "stage.json").unlink()
    make(run, "again")
    assert (run.folder(STAGE.id) / "weights.safetensors").read_text() == "again"


def test_a_changed_file_is_found(tmp_path):
    run = open_run(tmp_path / "run", "s")
    make(run)
    (run.folder(STAGE.id) / "weights.safetensors").write_text("changed")
    with pytest.raises(InputError, match="was changed"):
        run.verify(STAGE.id)


def test_the_folder_of_another_study_is_refused(tmp_path):
    write_study(open_run(tmp_path / "run", "first"), "first")
    assert open_run(tmp_path / "run", "first").study().name == "first"
    with pytest.raises(InputError, match="belongs to the study `first`, given the study `second`"):
        open_run(tmp_path / "run", "second")


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="no run folder"):
        open_run(tmp_path, "s")
    with pytest.raises(InputError, match="no run folder"):
        open_run(tmp_path / "thesis.tex", "s")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "a JSON object is needed, given list"),
        ('{"name": "s", "palpate": "0.1.0"}', "made by version 0.1 of palpate.*run the study again"),
        ('{"format": 2}', "an older palpate .format 2, and this palpate reads 3"),
        ('{"format": 4}', "a newer palpate .format 4, and this palpate reads 3.; use the palpate that made it"),
        ('{"format": 3, "name": "s"}', "was changed after it was written.*verify .* --repair"),
        ("[" * 100_000, "cannot be read"),
    ],
)
def test_a_folder_that_is_no_run_cannot_be_read(tmp_path, text, message):
    with pytest.raises(InputError, match="is not a run folder"):
        RunFolder(tmp_path).study()
    (tmp_path / "study.json").write_text(text)
    with pytest.raises(InputError, match=message):
        RunFolder(tmp_path).study()


@pytest.mark.parametrize(
    "name", ["../../secret", "train-0123456789ABCDEF", "train-0123456789abcdef\n", "", "cook-" + "0" * 16]
)
def test_an_id_that_is_none_never_becomes_a_path(tmp_path, name):
    run = RunFolder(tmp_path)
    for ask in (run.folder, run.complete, run.stage, run.verify, run.busy):
        with pytest.raises(InputError, match="stage id must be"):
            ask(name)


def test_a_crafted_study_names_no_other_files(tmp_path):
    run = open_run(tmp_path / "run", "s")
    write_study(run)
    stages = json.loads((run.path / "study.json").read_text())["stages"]
    stages[0]["fingerprint"] = "../../secret"
    edit(run.path / "study.json", stages=stages)
    with pytest.raises(InputError, match=r"stages\[1\].fingerprint"):
        run.study()


def test_a_record_in_another_stage_s_folder_is_refused(tmp_path):
    run = open_run(tmp_path / "run", "s")
    make(run)
    shutil.copytree(run.folder(STAGE.id), run.folder("train-" + "0" * 16))
    with pytest.raises(InputError, match=f"is the record of {STAGE.id}"):
        run.stage("train-" + "0" * 16)


def test_a_parent_has_the_kind_that_its_id_says():
    with pytest.raises(InputError, match="id must be that of a predict stage"):
        Parent(kind="predict", id=STAGE.id, role="model")


def test_a_failure_is_remembered_until_the_stage_succeeds(tmp_path):
    run = open_run(tmp_path / "run", "s")
    run.record_failure(STAGE, "it broke", "trace")
    assert run.failures()[STAGE.id].error == "it broke"
    make(run)
    assert run.failures() == {}


def test_a_stage_is_locked_against_other_processes(tmp_path):
    run = open_run(tmp_path / "run", "s")
    code = (
        "import sys, pathlib; from palpate.core.run_folder import RunFolder\n"
        "run = RunFolder(pathlib.Path(sys.argv[1]))\n"
        "print(run.busy(sys.argv[2]))\n"
        "with run.lock(sys.argv[2]) as held: print(held)"
    )

    def ask() -> list[str]:
        command = [sys.executable, "-c", code, str(run.path), STAGE.id]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    assert not run.busy(STAGE.id)
    with run.lock(STAGE.id) as held, run.making(STAGE, "cpu", None):
        assert held
        assert run.busy(STAGE.id)
        assert ask() == ["True", "False"]
    assert ask() == ["False", "True"]


def test_reading_writes_nothing(tmp_path):
    run = open_run(tmp_path / "run", "s")
    write_study(run)
    make(run)
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    run.study(), run.stage(STAGE.id), run.failures(), run.verify(STAGE.id), run.complete(CHILD.id), run.busy(CHILD.id)
    assert sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before


def test_records_are_json_without_nan(tmp_path):
    run = open_run(tmp_path / "run", "s")
    with pytest.raises(ValueError, match="JSON"), run.making(STAGE, "cpu", None) as (_, facts):
        facts["loss"] = float("nan")
    assert not run.complete(STAGE.id)
