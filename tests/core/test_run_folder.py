"""The run folder: cells appear whole or not at all, belong to one study, and are never made twice at once."""

import json
import subprocess
import sys

import pytest

from palpate.core.errors import InputError
from palpate.core.run_folder import Cell, Run, open_run, write_study

CELL = Cell("train", "0123456789abcdef", "train a", {"epochs": 1}, "t", "a#0", ())


def _make(run: Run, text: str = "weights") -> None:
    with run.making(CELL, "cpu", "abc") as (folder, facts):
        (folder / "weights.safetensors").write_text(text)
        facts["epochs"] = 1


def test_a_cell_appears_whole(tmp_path):
    run = open_run(tmp_path / "run", "s")
    _make(run)
    assert run.complete(CELL.id)
    record = run.cell(CELL.id)
    assert record["facts"] == {"epochs": 1}
    assert record["spec"] == CELL.spec
    assert set(record["checksums"]) == {"weights.safetensors"}
    assert record["versions"]["torch"]
    run.verify(CELL.id)


def test_a_crash_leaves_nothing_that_looks_finished(tmp_path):
    run = open_run(tmp_path / "run", "s")
    with pytest.raises(KeyboardInterrupt), run.making(CELL, "cpu", None) as (folder, _):
        (folder / "weights.safetensors").write_text("half")
        raise KeyboardInterrupt
    assert not run.complete(CELL.id)
    assert not run.folder(CELL.id).exists()
    assert not list(run.path.glob("*.part"))


def test_a_changed_file_is_found(tmp_path):
    run = open_run(tmp_path / "run", "s")
    _make(run)
    (run.folder(CELL.id) / "weights.safetensors").write_text("other")
    with pytest.raises(InputError, match="was changed"):
        run.verify(CELL.id)


def test_the_folder_of_another_study_is_refused(tmp_path):
    write_study(open_run(tmp_path / "run", "first"), {"name": "first"})
    assert open_run(tmp_path / "run", "first").study()["name"] == "first"
    with pytest.raises(InputError, match="belongs to the study `first`, given the study `second`"):
        open_run(tmp_path / "run", "second")


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="no run folder"):
        open_run(tmp_path, "s")
    with pytest.raises(InputError, match="no run folder"):
        open_run(tmp_path / "thesis.tex", "s")


def test_a_folder_that_is_no_run_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="is not a run folder"):
        Run(tmp_path).study()
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        Run(tmp_path).study()


def test_a_failure_is_remembered_until_the_cell_succeeds(tmp_path):
    run = open_run(tmp_path / "run", "s")
    run.record_failure(CELL, "it broke", "trace")
    assert run.failures()[CELL.id]["error"] == "it broke"
    _make(run)
    assert run.failures() == {}


def test_a_cell_is_locked_against_other_processes(tmp_path):
    run = open_run(tmp_path / "run", "s")
    code = (
        "import sys, pathlib; from palpate.core.run_folder import Run\n"
        "with Run(pathlib.Path(sys.argv[1])).lock(sys.argv[2]) as held: print(held)"
    )

    def ask() -> str:
        command = [sys.executable, "-c", code, str(run.path), CELL.id]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    with run.lock(CELL.id) as held:
        assert held
        assert ask() == "False"
    assert ask() == "True"


def test_records_are_json_without_nan(tmp_path):
    run = open_run(tmp_path / "run", "s")
    with pytest.raises(ValueError, match="JSON"):
        write_study(run, {"name": "s", "value": float("nan")})
    assert not (run.path / "study.json").exists()
    write_study(run, {"name": "s"})
    assert json.loads((run.path / "study.json").read_text())["name"] == "s"
