"""Damage, full disks, links and stale locks of a run folder: named, and never spread."""

import contextlib
import errno
import os
import shutil
import subprocess
import sys

import pytest
from tests.core.stages import CHILD, STAGE, TASK, make, make_child, write_study
from tests.runs import edit

from palpate.core.errors import Damaged, DiskFull, InputError
from palpate.core.run_folder import open_run


def test_a_child_of_another_parent_is_outdated_and_of_an_equal_one_is_not(tmp_path):
    run = open_run(tmp_path / "run", "s")
    make(run)
    make_child(run)
    assert run.state(CHILD) == ("complete", "")
    make(run)  # the same bytes
    assert run.state(CHILD) == ("complete", "")
    make(run, "other")
    assert run.state(CHILD)[0] == "outdated"
    assert STAGE.id in run.state(CHILD)[1]
    make_child(run)
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
    make(run)
    damage(run.folder(STAGE.id) / "weights.safetensors")
    state, said = run.state(STAGE)
    assert state == "damaged"
    assert why in said
    with pytest.raises(Damaged):
        run.verify(STAGE.id)
    make(run)
    assert run.state(STAGE) == ("complete", "")


def test_every_bit_of_a_record_counts(tmp_path):
    run = open_run(tmp_path / "run", "s")
    write_study(run)
    make(run)
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
    write_study(run)
    make(run)
    (run.path / "study.json").write_text("{")
    assert run.stage_records()[0].study.tasks == {"t": TASK}
    with pytest.raises(InputError, match="belongs to the study `s`, given the study `other`"):
        open_run(run.path, "other")
    write_study(open_run(run.path, "s"))
    assert run.study().name == "s"


def test_drafts_of_ended_processes_are_swept_and_those_of_others_are_not(tmp_path):
    run = open_run(tmp_path / "run", "s")
    write_study(run)
    code = "import sys, pathlib; from palpate.core.io import draft_of; draft_of(pathlib.Path(sys.argv[1])).mkdir()"
    subprocess.run([sys.executable, "-c", code, str(run.folder(STAGE.id))], check=True)
    other = run.path / f".{STAGE.id}.00000000-1.part"  # of another machine
    other.mkdir()
    assert run.busy(STAGE.id)
    open_run(run.path, "s")
    assert [file for file in run.path.iterdir() if file.name.endswith(".part")] == [other]
    with run.lock(STAGE.id):  # whoever holds the lock is the only one that makes it
        make(run)
    assert not run.busy(STAGE.id)


def test_a_full_disk_stops_before_and_while_a_stage_is_made(tmp_path, monkeypatch):
    run = open_run(tmp_path / "run", "s")
    make(run)
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


@pytest.mark.parametrize("code", [errno.EROFS, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_locks_that_cannot_be_had_are_one_sentence(tmp_path, monkeypatch, code):
    run = open_run(tmp_path / "run", "s")

    def fail(*_, **__):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", fail)
    with pytest.raises(InputError, match=r"cannot be written .*some network shares have none"), run.lock(STAGE.id):
        pytest.fail("not held")
