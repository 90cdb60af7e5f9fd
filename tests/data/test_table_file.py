"""Tables as people have them: read where they are untidy, refused with file and line where they cannot be read for certain."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from palpate.core.errors import InputError
from palpate.data.table_file import Table, open_table


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def refused(table: Table, rows: list[int], values: list[str] | None = None) -> str:
    """Where the rows are, as the message says it."""
    with pytest.raises(InputError) as caught:
        table.refuse(rows, "odd", "correct it", values)
    return str(caught.value).removeprefix(f"{table.path}: odd: ").removesuffix("; correct it")


@pytest.mark.parametrize(
    "data",
    [
        b"name,grade\na,0\nb,3\n",
        b"\xef\xbb\xbfname,grade\na,0\nb,3",  # byte-order mark, no last line end
        b"name ,grade ,,,\r\na,0,,,\r\nb, 3,,,\r\n",  # IDRiD: trailing blank, trailing commas, CRLF
        b"name,grade,,\r\na,0\r\nb,3\r\n\r\n,,,\r\n",  # commas in the header only, empty lines at the end
        b"name,grade\na,0,,,\nb,3,,,\n",  # and in the rows only
        b'"grade"\t"name"\n"0"\t"a"\n"3"\t"b"\n',  # Dataverse: tabs and quotes
        b"name;grade\r\na;0\r\nb;3\r\n",  # a German or French Excel
        "name;grade\r\na;0\r\nb;3\r\n".encode("utf-16"),  # Excel's "Unicode text"
        b"name,grade\ra,0\rb,3\r",  # an old Mac
        b"name|grade\na|0\nb|3\n",
        b'name,"of 3, 4",grade\na,"x\ny",0\nb,,3\n',  # a comma and a line end in quotes
    ],
)
def test_untidy_tables_read_the_same(tmp_path: Path, data: bytes) -> None:
    found = open_table(written(tmp_path / "t.csv", data))
    assert found.rows.select("name", "grade").rows() == [("a", "0"), ("b", "3")]


def test_missing_column_names_column_file_and_what_was_found(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", b"name,level ,,\na,0,,\n")
    with pytest.raises(InputError, match=r"t\.csv: column 'grade' is missing; found 'name', 'level'\."):
        open_table(path).column("grade")


@pytest.mark.parametrize("data", [b"", b"name,grade\n", b"name,grade\n,\n\n"])
def test_empty_tables_are_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InputError, match="download it again"):
        open_table(written(tmp_path / "t.csv", data))


def test_an_absent_table(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the table is missing"):
        open_table(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            b"name,grade\na,0\nb\xe9,3\n",
            r"t.csv: line 3 is not UTF-8 text \(byte 0xe9\); save the table as CSV in UTF-8",
        ),
        ("name,grade\na,0\n".encode("utf-16-le"), "UTF-16 without a byte-order mark"),
        (b"PK\x03\x04\x14\x00\x06\x00", "is a spreadsheet or an archive"),
        (
            b"name,grade\na,0\nlast, first,3\n",
            r"line 3 has 3 fields and the header 2; put fields that hold ',' in quotes",
        ),
        (b"name,name,grade\na,b,0\n", "column 'name' is there more than once"),
        (b"\nname,grade\na,0\n", "the first line must hold the names of the columns"),
    ],
)
def test_what_cannot_be_read_for_certain_is_refused_with_its_line(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_table(written(tmp_path / "t.csv", data))


def test_a_column_of_lists_is_named(tmp_path: Path) -> None:
    pl.DataFrame({"path": [["a.png"]], "label": [1]}).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"column 'path' holds List\(String\); text or numbers are needed"):
        open_table(tmp_path / "t.parquet").column("path")


def test_parquet_keeps_its_types_and_counts_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pl.DataFrame({"name": ["a", "b"], "age": [80, None], "grade": [0, 3]}).write_parquet(path)
    found = open_table(path)
    assert found.rows["age"].dtype == pl.Int64
    assert found.column("grade").to_list() == ["0", "3"]
    assert refused(found, [1], ["a", "b"]) == "row 2 ('b')"
    with pytest.raises(InputError, match="cannot be read as a table"):
        open_table(written(path, b"PAR1"))


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    found = open_table(written(tmp_path / "t.csv", b'name,note\na,"two\nlines"\n\nb,\n'))
    assert found.lines == [3, 5]
    assert refused(found, [0, 1]) == "line 3, line 5"
    assert refused(found, [0] * 7) == "line 3, line 3, line 3, line 3, line 3 and 2 more"
    found.refuse([], "odd", "correct it")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(st.binary(max_size=200), st.text('ab,"\t\r\n 0', max_size=60).map(lambda t: b"name,grade\n" + t.encode()))
)
def test_any_bytes_give_a_table_or_an_input_error(tmp_path: Path, data: bytes) -> None:
    try:
        found = open_table(written(tmp_path / "t.csv", data))
    except InputError:
        return
    assert len(found.lines) == len(found.rows) > 0
    assert not found.rows.select(pl.all_horizontal(pl.all().is_null())).to_series().any()
