"""The manifest: blank groups are each their own, nothing is listed twice, classes are numbered in a stated order."""

import polars as pl
import pytest

from palpate.core.errors import InputError
from palpate.data.manifest import MANIFEST, class_note, group_note, manifest, number_classes

ROWS = {"image_id": ["a", "b", "c", "d"], "path": ["/p"] * 4, "label": [0, 1, 1, 0]}


def test_an_image_listed_twice_and_a_missing_column_are_refused() -> None:
    with pytest.raises(InputError, match=r"t.csv: 1 images are listed more than once, first a; keep one row of each"):
        manifest(pl.DataFrame({**ROWS, "image_id": ["a", "b", "a", "d"]}), "t.csv")
    with pytest.raises(InputError, match=r"t.csv: the reader's manifest lacks column path; found image_id, label"):
        manifest(pl.DataFrame(ROWS).drop("path"), "t.csv")


@pytest.mark.parametrize("blank", ["", None, "NA", " n/a ", "NaN", "unknown"])
def test_images_without_a_group_are_each_their_own_and_it_is_said(blank: str | None) -> None:
    rows = manifest(pl.DataFrame({**ROWS, "group_id": ["g", blank, blank, "g"]}), "t.csv")
    assert rows["group_id"].to_list() == ["g", "image:b", "image:c", "g"]
    assert group_note(rows) == ["2 of 4 images have no group (blank or NA): each is its own group, first b, c"]
    assert manifest(rows, "again").equals(rows)


def test_columns_that_may_be_absent_are_completed_and_others_left_out() -> None:
    rows = manifest(pl.DataFrame({**ROWS, "more": [1, 2, 3, 4]}), "t.csv")
    assert dict(rows.schema) == MANIFEST
    assert rows["published"].to_list() == ["0", "1", "1", "0"]
    assert rows["split"].is_null().all()
    (note,) = group_note(rows)
    assert note.startswith("no image has a group")
    assert group_note(manifest(pl.DataFrame({**ROWS, "group_id": ["1", "2", "3", "4"]}), "t.csv")) == []


def test_classes_are_numbered_by_size_or_alphabet_or_as_stated() -> None:
    assert number_classes(["nv", "mel", "nv"], None, "t") == ("mel", "nv")
    assert number_classes(["10", "2", "-1"], None, "t") == ("-1", "2", "10")
    assert number_classes(["sup", "inf", "nan"], None, "t") == (
        "inf",
        "nan",
        "sup",
    )  # words, though Python reads numbers
    assert number_classes(["mel"], ("nv", "mel"), "t") == ("nv", "mel")
    assert class_note(("mel", "nv")) == "classes were numbered in order: 0 mel, 1 nv"


@pytest.mark.parametrize(
    ("values", "stated", "message"),
    [
        (["nv", "nv"], None, r"t: two or more classes are needed, found \['nv'\]; if .* state the classes"),
        (["0", "1", "nv"], None, r"t: labels mix numbers \(0, 1\) and words \(nv\)"),
        (["0.5", "1"], None, "t: labels are whole numbers or words, found '0.5'"),
        (["Nevus", "nevus"], None, "'Nevus', 'nevus' differ in case only"),
        (["nv"], ("nv",), "classes: at least two different names are needed"),
        (["nv"], ("nv", "nv"), "classes: at least two different names are needed"),
    ],
)
def test_labels_that_are_no_classes_are_refused(
    values: list[str], stated: tuple[str, ...] | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        number_classes(values, stated, "t")
