"""ChestX-ray14: the header with commas in it, several versions of the table, lists that may be absent."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from palpate.core.errors import InputError
from palpate.data.readers import chestxray14

ROWS = [
    ("00000001_000.png", "Cardiomegaly|Pneumothorax", "1"),
    ("00000001_001.png", "No Finding", "1"),
    ("00000002_000.png", "Pneumothorax", "2"),
    ("00000003_000.png", "Hernia|Pleural_Thickening", "3"),
]


def write_lists(folder: Path, train: list[str], test: list[str], end: str = "\n") -> None:
    (folder / "train_val_list.txt").write_bytes(end.join(train).encode())
    (folder / "test_list.txt").write_bytes((end.join(test) + end).encode())


def test_reads_the_publishers_layout(tmp_path: Path, publish: SimpleNamespace) -> None:
    manifest = chestxray14.read(publish.chest(tmp_path, ROWS))
    assert manifest["image_id"].to_list() == ["00000001_000", "00000001_001", "00000002_000", "00000003_000"]
    assert manifest["group_id"].to_list() == ["1", "1", "2", "3"]
    assert manifest["label"].to_list() == [1, 0, 1, 0]
    assert manifest["published"][0] == "Cardiomegaly|Pneumothorax"
    assert manifest["split"].is_null().all()


def test_the_newest_table_is_read_and_trailing_commas_do_not_matter(tmp_path: Path, publish: SimpleNamespace) -> None:
    folder = publish.chest(tmp_path, ROWS)
    new = folder / "Data_Entry_2017_v2020.csv"
    old = folder / "Data_Entry_2017.csv"  # of 2017: a comma ends header and rows, and some labels differ
    old.write_text(new.read_text().replace("\n", ",\r\n").replace("No Finding", "Pneumothorax"))
    assert chestxray14.read(folder)["label"].to_list() == [1, 0, 1, 0]
    new.unlink()
    assert chestxray14.read(folder)["label"].to_list() == [1, 1, 1, 0]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_official_lists_become_the_split(tmp_path: Path, publish: SimpleNamespace, end: str) -> None:
    folder = publish.chest(tmp_path, ROWS)
    write_lists(folder, [ROWS[0][0], ROWS[1][0], ROWS[3][0]], [ROWS[2][0]], end)
    assert chestxray14.read(folder)["split"].to_list() == ["train", "train", "test", "train"]


def test_lists_that_do_not_fit_are_refused_with_names(tmp_path: Path, publish: SimpleNamespace) -> None:
    folder = publish.chest(tmp_path, ROWS)
    names = [row[0] for row in ROWS]
    write_lists(folder, [*names[:3], "00000009_000.png"], names[3:])
    with pytest.raises(
        InputError, match=r"name 1 images that Data_Entry_2017_v2020.csv does not have, .*first 00000009_000"
    ):
        chestxray14.read(folder)
    write_lists(folder, names[:2], names[3:])
    with pytest.raises(InputError, match=r"1 images of it are in neither list, first 00000002_000"):
        chestxray14.read(folder)
    write_lists(folder, names, names[3:])
    with pytest.raises(InputError, match=r"00000003_000.png is in both official lists"):
        chestxray14.read(folder)
    (folder / "train_val_list.txt").unlink()
    with pytest.raises(InputError, match=r"train_val_list.txt: the other official list is there"):
        chestxray14.read(folder)


def test_an_unknown_finding_and_a_missing_table_are_named(tmp_path: Path, publish: SimpleNamespace) -> None:
    folder = publish.chest(tmp_path, [*ROWS, ("00000004_000.png", "Pneumothorax|Fracture", "4")])
    with pytest.raises(InputError, match=r"1 labels outside Atelectasis, .*: line 6 \('Pneumothorax\|Fracture'\)"):
        chestxray14.read(folder)
    with pytest.raises(InputError, match=r"Data_Entry_2017_v2020.csv: the table is missing"):
        chestxray14.read(tmp_path)


def test_real_sample_has_its_counts(real_data: Path) -> None:
    manifest = chestxray14.read(real_data / "chestxray14")
    assert len(manifest) == 778
    assert manifest["label"].sum() == 41
