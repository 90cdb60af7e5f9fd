"""IDRiD: untidy tables, both sets numbered from 001, grades 0-1 against 2-4."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from palpate.core.errors import InputError
from palpate.data.readers import idrid


def test_reads_the_publishers_layout(tmp_path: Path, publish: SimpleNamespace) -> None:
    manifest = idrid.read(publish.idrid(tmp_path, [0, 1, 2, 3, 4], [4, 0]))
    assert manifest["image_id"].to_list()[:2] == ["train/IDRiD_001", "train/IDRiD_002"]
    assert manifest["label"].to_list() == [0, 0, 1, 1, 1, 1, 0]
    assert manifest["split"].to_list() == ["train"] * 5 + ["test"] * 2
    assert manifest["path"][0] != manifest["path"][5]  # 001 of both sets
    assert manifest["group_id"].n_unique() == 7


def test_a_wrong_grade_and_a_missing_folder_are_named(tmp_path: Path, publish: SimpleNamespace) -> None:
    folder = publish.idrid(tmp_path, [0, 5], [4])
    with pytest.raises(InputError, match=r"Training Labels.csv: .* 1 labels outside 0, 1, 2, 3, 4: line 3 \('5'\)"):
        idrid.read(folder)
    with pytest.raises(InputError, match=r"B. Disease Grading: missing; unpack"):
        idrid.read(tmp_path)


def test_real_idrid_has_the_published_counts(real_data: Path) -> None:
    manifest = idrid.read(real_data / "idrid")
    assert dict(manifest["split"].value_counts().iter_rows()) == {"train": 413, "test": 103}
