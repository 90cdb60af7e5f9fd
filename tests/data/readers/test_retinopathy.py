"""Kaggle's retinopathy sets: two eyes are one patient, and one picture may be there twice."""

from pathlib import Path
from types import SimpleNamespace

import pytest

import palpate
from palpate.core.errors import InputError
from palpate.data.readers import retinopathy


def write_eyepacs(root: Path, publish: SimpleNamespace) -> Path:
    folder = root / "kaggledr"
    train = ["10_left,0", "10_right,1", "13_left,2", "13_right,0"]
    publish.table(folder / "trainLabels.csv", "image,level", train, folder / "train", ".jpeg")
    test = ["1_left,4,Private", "1_right,0,Public"]
    publish.table(folder / "retinopathy_solution.csv", "image,level,Usage", test, folder / "test", ".jpeg")
    return folder


def test_eyes_of_one_patient_are_one_group(tmp_path: Path, publish: SimpleNamespace) -> None:
    manifest = retinopathy.read_eyepacs(write_eyepacs(tmp_path, publish))
    assert manifest["group_id"].to_list() == ["10", "10", "13", "13"]
    assert manifest["label"].to_list() == [0, 0, 1, 0]
    assert manifest["split"].is_null().all()


def test_the_competitions_test_set_is_both_its_halves(tmp_path: Path, publish: SimpleNamespace) -> None:
    manifest = retinopathy.read_eyepacs_official(write_eyepacs(tmp_path, publish))
    assert manifest["split"].to_list() == ["train"] * 4 + ["test"] * 2
    assert manifest["label"].to_list()[4:] == [1, 0]
    assert Path(manifest["path"][4]).parent.name == "test"


def test_a_name_without_its_patient_is_refused(tmp_path: Path, publish: SimpleNamespace) -> None:
    folder = tmp_path / "kaggledr"
    publish.table(folder / "trainLabels.csv", "image,level", ["10_left,0", "eye7,1"], folder / "train", ".jpeg")
    with pytest.raises(InputError, match="1 images are not named NUMBER_left or NUMBER_right, first 'eye7'"):
        retinopathy.read_eyepacs(folder)


def test_aptos_loses_repeats_and_contradictions_and_says_so(tmp_path: Path, publish: SimpleNamespace) -> None:
    folder = tmp_path / "aptos2019"
    lines = [f"{i:012x},{i % 5}" for i in range(60)]
    publish.table(folder / "train.csv", "id_code,diagnosis", lines, folder / "train_images", ".png")
    publish.image(folder / "train_images" / f"{5:012x}.png", 0)  # as 0, and also grade 0: a repeat
    publish.image(folder / "train_images" / f"{12:012x}.png", 3)  # as 3: grade 2 against 3, a contradiction
    manifest = retinopathy.read_aptos(folder)
    assert len(manifest) == 60
    dataset = palpate.load("aptos2019", tmp_path, size=16)
    ids = {*dataset.train.ids, *dataset.val.ids, *dataset.test.ids}
    assert {f"{i:012x}" for i in range(60)} - ids == {f"{5:012x}", f"{3:012x}", f"{12:012x}"}
    assert any(
        note.startswith("2 dropped: identical pictures with different published labels") for note in dataset.notes
    )
    assert any(note.startswith(f"1 dropped: the identical picture is kept already: {5:012x}") for note in dataset.notes)
