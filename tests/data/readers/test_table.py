"""Publishers' tables: forgiven where they are untidy, refused by name where they lack something."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from palpate.core.errors import InputError
from palpate.data.readers import table


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "data",
    [
        b"name,grade\na,0\nb,3\n",
        b"\xef\xbb\xbfname,grade\na,0\nb,3",  # byte-order mark, no last line end
        b"name ,grade ,,,\r\na,0,,,\r\nb, 3,,,\r\n",  # IDRiD: trailing blank, trailing commas, CRLF
        b"name,grade,,\r\na,0\r\nb,3\r\n\r\n,,,\r\n",  # commas in the header only, empty lines at the end
        b"name,grade\na,0,,,\nb,3,,,\n",  # and in the rows only
        b'"grade"\t"name"\n"0"\t"a"\n"3"\t"b"\n',  # Dataverse: tabs and quotes
    ],
)
def test_untidy_tables_read_the_same(tmp_path: Path, data: bytes) -> None:
    rows = table.read_table(written(tmp_path / "t.csv", data), ["name", "grade"])
    assert rows.rows() == [("a", "0"), ("b", "3")]


def test_missing_column_names_column_file_and_what_was_found(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", b"name,level ,,\na,0,,\n")
    with pytest.raises(InputError, match=r"t\.csv: column 'grade' is missing; found 'name', 'level'\."):
        table.read_table(path, ["name", "grade"])


@pytest.mark.parametrize("data", [b"", b"name,grade\n", b"name,grade\n,\n\n"])
def test_empty_tables_are_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InputError, match="download it again"):
        table.read_table(written(tmp_path / "t.csv", data), ["name", "grade"])


def test_absent_table_and_nameless_row(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the table is missing"):
        table.read_table(tmp_path / "t.csv", ["name"])
    with pytest.raises(InputError, match="1 rows have no 'name'"):
        table.read_table(written(tmp_path / "t.csv", b"name,grade\na,0\n,3\n"), ["name", "grade"])


def test_unknown_labels_are_named_counted_and_located(tmp_path: Path) -> None:
    rows = pl.DataFrame({"name": ["a", "b", "c", "d"], "grade": ["0", "9", None, "9"]})
    with pytest.raises(InputError, match=r"3 labels outside 0, 1: '9', '' \(first rows: b: '9', c: '', d: '9'\)"):
        table.encode_labels(rows, "grade", {"0": 0, "1": 1}, tmp_path)


def test_absent_images_are_counted_and_named(tmp_path: Path) -> None:
    rows = pl.DataFrame({"name": ["a", "b", "c"]})
    with pytest.raises(InputError, match="names 3 images, of which 2 are absent, first b, c"):
        table.attach_paths(rows, rows["name"], {"a": tmp_path / "a.jpg"}, tmp_path / "t.csv")


def test_image_files_know_the_suffixes_and_skip_hidden_files(tmp_path: Path) -> None:
    for name in ("x/a.JPG", "b.png", "c.jpeg", "._d.jpg", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert sorted(table.image_files(tmp_path)) == ["a", "b", "c"]


def test_an_image_listed_twice_is_refused(tmp_path: Path) -> None:
    rows = pl.DataFrame({"image_id": ["a", "a"], "path": "p", "group_id": "g", "label": 0, "published": "0"})
    with pytest.raises(InputError, match="1 images are listed more than once, first a"):
        table.manifest(rows, "finding", tmp_path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(st.binary(max_size=200), st.text('ab,"\t\r\n 0', max_size=60).map(lambda t: b"name,grade\n" + t.encode()))
)
def test_any_bytes_give_a_table_or_an_input_error(tmp_path: Path, data: bytes) -> None:
    try:
        rows = table.read_table(written(tmp_path / "t.csv", data), ["name", "grade"])
    except InputError:
        return
    assert rows.columns == ["name", "grade"]
    assert not rows["name"].is_null().any()
