"""Files and folders appear whole or not at all."""

import errno

import pytest

from palpate.core.errors import Damaged, InputError
from palpate.core.io import (
    atomic,
    atomic_folder,
    draft_of,
    is_abandoned,
    is_full,
    named_errors,
    read_record,
    sha256,
    write_json,
    write_record,
    write_text,
)


def test_a_file_is_replaced_whole_or_stays(tmp_path):
    write_text(tmp_path / "deep" / "a.txt", "first")
    with pytest.raises(RuntimeError), atomic(tmp_path / "deep" / "a.txt") as draft:
        draft.write_text("half")
        raise RuntimeError
    assert (tmp_path / "deep" / "a.txt").read_text() == "first"
    assert len(list((tmp_path / "deep").iterdir())) == 1


def test_a_folder_takes_its_place_whole_or_not_at_all(tmp_path):
    with atomic_folder(tmp_path / "a") as draft:
        (draft / "file").write_text("first")
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "a") as draft:
        (draft / "file").write_text("half")
        raise RuntimeError
    assert (tmp_path / "a" / "file").read_text() == "first"
    with atomic_folder(tmp_path / "a") as draft:
        (draft / "other").write_text("second")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["other"]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_json_holds_no_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", [float("nan")])
    assert not list(tmp_path.iterdir())


def test_a_checksum_is_that_of_the_standard(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_full_disk_is_named():
    with pytest.raises(InputError, match=r"here: cannot be written \(No space left on device\)"), named_errors("here"):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_seen_through_the_errors_of_libraries():
    wrapped = RuntimeError("cannot write")
    wrapped.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert is_full(wrapped)
    assert is_full(RuntimeError('Os { code: 28, kind: StorageFull, message: "No space left on device" }'))
    assert not is_full(OSError(errno.EACCES, "Permission denied"))
    assert not is_full(None)


def test_a_draft_says_whose_it_is(tmp_path):
    mine = draft_of(tmp_path / "a")
    assert not is_abandoned(mine)
    host = mine.name.split(".")[2].split("-")[0]
    assert is_abandoned(tmp_path / f".a.{host}-4194305.part")  # above the highest number of a process
    assert not is_abandoned(tmp_path / f".a.{'0' * 8}-4194305.part")
    assert not is_abandoned(tmp_path / "a.part")


def test_nothing_is_written_through_a_link_in_the_place_of_a_draft(tmp_path):
    (tmp_path / "mine").write_text("years of work")
    draft_of(tmp_path / "a").symlink_to(tmp_path / "mine")
    write_text(tmp_path / "a", "new")
    assert (tmp_path / "mine").read_text() == "years of work"


def test_a_record_of_any_values_comes_back_and_one_that_is_none_is_named(tmp_path):
    record = {"a": [1, 2.5, None, "ε\ud800"], "b": {"c": 10**30}}
    write_record(tmp_path / "a.json", record)
    assert read_record(tmp_path / "a.json") == record
    with (tmp_path / "large.json").open("wb") as file:
        file.truncate(10**9)
    with pytest.raises(Damaged, match="has 1,000,000,000 bytes"):
        read_record(tmp_path / "large.json")


def test_a_message_is_bounded_and_holds_no_control_characters():
    message = str(InputError("\x1b[2J" + "x" * 10**6 + " fix it"))
    assert len(message) < 4100
    assert message.startswith("\\x1b[2J")
    assert message.endswith("fix it")
