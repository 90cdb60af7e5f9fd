"""Publishers' labels and images: refused by name where they lack something."""

from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

from palpate.core.errors import InputError
from palpate.data.readers.table import attach_paths, encode_labels


def test_unknown_labels_are_named_counted_and_located(tmp_path: Path) -> None:
    rows = pl.DataFrame({"name": ["a", "b", "c", "d"], "grade": ["0", "9", None, "9"]})
    with pytest.raises(InputError, match=r"3 labels outside 0, 1: '9', '' \(first rows: b: '9', c: '', d: '9'\)"):
        encode_labels(rows, "grade", {"0": 0, "1": 1}, tmp_path)


def test_absent_images_are_counted_and_named(tmp_path: Path, publish: SimpleNamespace) -> None:
    rows = pl.DataFrame({"name": ["a", "b", "c"]})
    publish.image(tmp_path / "a.jpg", 0)
    with pytest.raises(InputError, match="names 3 images, of which 2 are absent, first b, c"):
        attach_paths(rows, rows["name"], tmp_path, tmp_path / "t.csv")


def test_names_with_a_suffix_and_copies_in_two_folders_are_found_but_not_two_images_of_one_name(
    tmp_path: Path, publish: SimpleNamespace
) -> None:
    for folder in ("part_1", "part_2"):
        publish.image(tmp_path / folder / "a.jpg", 0)
        publish.image(tmp_path / folder / "b.jpg", ord(folder[-1]))
    rows = pl.DataFrame({"name": ["a.jpg"]})
    assert attach_paths(rows, ["a.jpg"], tmp_path, tmp_path)["path"].to_list() == [str(tmp_path / "part_1" / "a.jpg")]
    with pytest.raises(InputError, match=r"b: .*part_1/b.jpg and .*part_2/b.jpg both have this name; write the path"):
        attach_paths(rows, ["b"], tmp_path, tmp_path)
