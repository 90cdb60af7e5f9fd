"""Files and folders appear whole or not at all."""

import errno

import pytest

from palpate.core.errors import InputError
from palpate.core.io import atomic, atomic_folder, named_errors, sha256, write_json, write_text


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
