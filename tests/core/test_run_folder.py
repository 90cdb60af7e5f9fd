"""The run folder: stage outputs appear whole or not at all, belong to one study, and are never made twice at once."""

import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys

import filelock
import pytest
from tests.runs import edit

from palpate.core.errors import Damaged, DiskFull, InputError
from palpate.core.records import Parent, StageOutput, TaskRecord
from palpate.core.run_folder import RunFolder, open_run

STAGE = StageOutput(
    kind="train", fingerprint="0123456789abcdef", title="train a", task="t", model_id="a#0", spec={"epochs": 1}
)
CHILD = StageOutput(
    kind="predict",
    fingerprint="fedcba9876543210",
    title="predict a",
    task="t",
    model_id="a#0",
    spec={},
    parents=(Parent(kind="train", id=STAGE.id, role="model"),),
)
TASK = TaskRecord(
    title="T",
    classes=("no", "yes"),
    finding="f",
    licence="-",
    cite="-",
    kind="synthetic",
    size=32,
    images={"train": 1, "val": 1, "test": 1},
    groups={"train": 1, "val": 1, "test": 1},
    majority_rate=0.5,
    identity="0" * 64,
    notes=(),
    epsilons=(0.1,),
)


def _make(run: RunFolder, text: str = "weights") -> None:
    with run.making(STAGE, "cpu", "abc") as (folder, facts):
        (folder / "weights.safetensors").write_text(text)
        facts["epochs"] = 1


def _study(run: RunFolder, name: str = "s") -> None:
    run.write_study(name=name, title=name, tasks={"t": TASK}, stages=(STAGE, CHILD), spec={})


def test_a_stage_output_appears_whole(tmp_path):
    run = open_run(tmp_path / "run", "s")
    _make(run)
    assert run.complete(STAGE.id)
    record = run.stage(STAGE.id)
    assert record.facts == {"epochs": 1}
    assert record.spec == STAGE.spec
    assert record.files["weights.safetensors"].size == len("weights")
    assert record.versions["torch"]
    assert run.verify(STAGE.id) == run.folder(STAGE.id)


def test_the_study_survives_the_file(tmp_path):
    run = open_run(tmp_path / "run", "s")
    _study(run)
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
    _make(run)
    (run.folder(STAGE.id) / "stage.json").unlink()
    _make(run, "again")
    assert (run.folder(STAGE.id) / "weights.safetensors").read_text() == "again"


def test_a_changed_file_is_found(tmp_path):
    run = open_run(tmp_path / "run", "s")
    _make(run)
    (run.folder(STAGE.id) / "weights.safetensors").write_text("changed")
    with pytest.raises(InputError, match="was changed"):
        run.verify(STAGE.id)


def test_the_folder_of_another_study_is_refused(tmp_path):
    _study(open_run(tmp_path / "run", "first"), "first")
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
    _study(run)
    stages = json.loads((run.path / "study.json").read_text())["stages"]
    stages[0]["fingerprint"] = "../../secret"
    edit(run.path / "study.json", stages=stages)
    with pytest.raises(InputError, match=r"stages\[1\].fingerprint"):
        run.study()


def test_a_record_in_another_stage_s_folder_is_refused(tmp_path):
    run = open_run(tmp_path / "run", "s")
    _make(run)
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
    _make(run)
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
    _study(run)
    _make(run)
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    run.study(), run.stage(STAGE.id), run.failures(), run.verify(STAGE.id), run.complete(CHILD.id), run.busy(CHILD.id)
    assert sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before


def test_records_are_json_without_nan(tmp_path):
    run = open_run(tmp_path / "run", "s")
    with pytest.raises(ValueError, match="JSON"), run.making(STAGE, "cpu", None) as (_, facts):
        facts["loss"] = float("nan")
    assert not run.complete(STAGE.id)


def _child(run: RunFolder, text: str = "rows") -> None:
    with run.making(CHILD, "cpu", None) as (folder, _):
        (folder / "images.parquet").write_text(text)


def test_a_child_of_another_parent_is_outdated_and_of_an_equal_one_is_not(tmp_path):
    run = open_run(tmp_path / "run", "s")
    _make(run)
    _child(run)
    assert run.state(CHILD) == ("complete", "")
    _make(run)  # the same bytes
    assert run.state(CHILD) == ("complete", "")
    _make(run, "other")
    assert run.state(CHILD)[0] == "outdated"
    assert STAGE.id in run.state(CHILD)[1]
    _child(run)
    assert run.state(CHILD) == ("complete", "")


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda file: file.write_text("other_w"), "weights.safetensors: was changed"),
        (lambda file: file.write_text("we"), "weights.safetensors: has 2 bytes and was written with 7"),
        (lambda file: file.unlink(), "weights.safetensors: is missing"),
        (lambda file: (file.unlink(), file.mkdir()), "weights.safetensors: is missing"),
        (lambda file: file.with_name("stage.json").write_text("{"), "stage.json: cannot be read"),
        (lambda file: file.with_name("stage.json").unlink(), "stage.json: is missing"),
        (lambda file: edit(file.with_name("stage.json"), files={"../x": {}}), "files.../x"),
    ],
)
def test_damage_is_named_and_remade(tmp_path, damage, why):
    run = open_run(tmp_path / "run", "s")
    assert run.state(STAGE) == ("missing", "")
    _make(run)
    damage(run.folder(STAGE.id) / "weights.safetensors")
    state, said = run.state(STAGE)
    assert state == "damaged"
    assert why in said
    with pytest.raises(Damaged):
        run.verify(STAGE.id)
    _make(run)
    assert run.state(STAGE) == ("complete", "")


def test_every_bit_of_a_record_counts(tmp_path):
    run = open_run(tmp_path / "run", "s")
    _study(run)
    _make(run)
    for file, read in (
        (run.path / "study.json", run.study),
        (run.folder(STAGE.id) / "stage.json", lambda: run.stage(STAGE.id)),
    ):
        whole, known = file.read_bytes(), read()
        for place in range(0, 8 * len(whole), 7):
            file.write_bytes(
                whole[: place // 8] + bytes([whole[place // 8] ^ 1 << place % 8]) + whole[place // 8 + 1 :]
            )
            with contextlib.suppress(Damaged):
                assert read() == known  # a space became a tab
        file.write_bytes(whole)


def test_what_a_stage_was_made_for_is_kept_with_it(tmp_path):
    run = open_run(tmp_path / "run", "s")
    _study(run)
    _make(run)
    (run.path / "study.json").write_text("{")
    assert run.stage_records()[0].study.tasks == {"t": TASK}
    with pytest.raises(InputError, match="belongs to the study `s`, given the study `other`"):
        open_run(run.path, "other")
    _study(open_run(run.path, "s"))
    assert run.study().name == "s"


def test_drafts_of_ended_processes_are_swept_and_those_of_others_are_not(tmp_path):
    run = open_run(tmp_path / "run", "s")
    _study(run)
    code = "import sys, pathlib; from palpate.core.io import draft_of; draft_of(pathlib.Path(sys.argv[1])).mkdir()"
    subprocess.run([sys.executable, "-c", code, str(run.folder(STAGE.id))], check=True)
    other = run.path / f".{STAGE.id}.00000000-1.part"  # of another machine
    other.mkdir()
    assert run.busy(STAGE.id)
    open_run(run.path, "s")
    assert [file for file in run.path.iterdir() if file.name.endswith(".part")] == [other]
    with run.lock(STAGE.id):  # whoever holds the lock is the only one that makes it
        _make(run)
    assert not run.busy(STAGE.id)


def test_a_full_disk_stops_before_and_while_a_stage_is_made(tmp_path, monkeypatch):
    run = open_run(tmp_path / "run", "s")
    _make(run)
    with pytest.raises(DiskFull, match="the disk was filled while predict a was made"), run.making(CHILD, "cpu", None):
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:  # as libraries do
            raise RuntimeError("cannot write") from error
    assert sorted(file.name for file in run.path.iterdir()) == [STAGE.id]
    usage = shutil.disk_usage(tmp_path)._replace(free=10**6)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DiskFull, match=r"the disk is full \(1 MB are free"), run.making(CHILD, "cpu", None):
        pytest.fail("it was begun")


@pytest.mark.parametrize("name", [".locks", "failed"])
def test_nothing_is_written_through_a_link(tmp_path, name):
    run = open_run(tmp_path / "run", "s")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / f"{STAGE.id}.json").write_text("mine")
    (run.path / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="is a link"), run.lock(STAGE.id):
        run.record_failure(STAGE, "it broke", "trace")
    with pytest.raises(InputError, match="is a link"), run.lock(STAGE.id), run.making(STAGE, "cpu", None):
        pass
    assert (tmp_path / "elsewhere" / f"{STAGE.id}.json").read_text() == "mine"


def test_a_lock_that_a_killed_process_left_is_free(tmp_path):
    run = open_run(tmp_path / "run", "s")
    (run.path / ".locks").mkdir()
    (run.path / ".locks" / STAGE.id).write_text("12345")
    with run.lock(STAGE.id) as held:
        assert held


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOLCK])
def test_locks_that_cannot_be_had_are_one_sentence(tmp_path, monkeypatch, code):
    run = open_run(tmp_path / "run", "s")

    def fail(*_, **__):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(filelock.FileLock, "acquire", fail)
    with pytest.raises(InputError, match=r"cannot be written .*some network shares have none"), run.lock(STAGE.id):
        pytest.fail("not held")
