"""Tables as people have them, CSV, TSV or parquet, to columns of text with the line that each row came from.

Byte-order marks, UTF-16, any line end, commas, semicolons, tabs or upright bars, blanks in column names and empty last lines are read; what
cannot be read for certain is refused with its line.
"""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from palpate.core.errors import InputError

SEPARATORS = ("\t", ";", ",", "|")


@dataclass(frozen=True)
class Table:
    """A table that was read.

    Attributes:
        rows: text without surrounding blanks, null where a field is blank; parquet keeps its own types.
        lines: the line of the file that each row ends at, the header being line 1; else the place or the name of the row.
        unit: what the places are.
    """

    path: Path
    rows: pl.DataFrame
    lines: Sequence[object]
    unit: str = "line"

    def column(self, name: str) -> pl.Series:
        """A column as text.

        Raises:
            InputError: there is none of that name; lists those found. Or its values are no text, as lists are.
        """
        self.require([name])
        try:
            return self.rows[name].cast(pl.String).str.strip_chars().replace("", None)
        except pl.exceptions.PolarsError:
            kind = self.rows[name].dtype
            raise InputError(f"{self.path}: column {name!r} holds {kind}; text or numbers are needed") from None

    def require(self, names: Sequence[str]) -> None:
        """Raise InputError where a column is missing."""
        missing = ", ".join(repr(name) for name in names if name not in self.rows.columns)
        if missing:
            found = ", ".join(map(repr, self.rows.columns))
            raise InputError(f"{self.path}: column {missing} is missing; found {found}. Name it as the file does")

    def refuse(self, rows: Sequence[int], fault: str, remedy: str, values: Sequence[object] | None = None) -> None:
        """Raise InputError where any rows are given: "t.csv: FAULT: line 3 ('x'), line 7 ('y') and 4 more; REMEDY".

        Args:
            values: of all rows of the table, to be shown.
        """
        if rows:
            given = ["" if values is None else f" ({values[row]!r})" for row in rows[:5]]
            shown = [f"{self.unit} {self.lines[row]}".strip() + one for row, one in zip(rows, given, strict=False)]
            more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
            raise InputError(f"{self.path}: {fault}: {', '.join(shown)}{more}; {remedy}")


def open_table(path: Path) -> Table:
    """Read a table: parquet by its suffix, else text.

    Text is separated by tabs, semicolons, commas or upright bars, whichever gives its header most columns.

    Raises:
        InputError: the file is absent, empty, no table or not UTF-8 or UTF-16, a column has no or another's name, or a row has more fields
            than the header.
    """
    if not path.is_file():
        raise InputError(f"{path}: the table is missing; check the path, or put the publisher's file there, unchanged")
    try:
        if path.suffix == ".parquet":
            rows = pl.read_parquet(path)
            table = Table(path, rows, range(1, len(rows) + 1), "row")
        else:
            table = _parse(_text(path.read_bytes(), path), path)
    except OSError as error:
        raise InputError(f"{path}: cannot be opened ({error.strerror})") from None
    except (csv.Error, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise InputError(f"{path}: cannot be read as a table ({error}); save it again as CSV") from None
    if table.rows.is_empty():
        raise InputError(f"{path}: the table has a header but no rows; save or download it again")
    return table


def _text(data: bytes, path: Path) -> str:
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise InputError(f"{path}: is a spreadsheet or an archive; save the table as CSV in UTF-8")
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = f"byte 0x{data[error.start]:02x}"
        raise InputError(f"{path}: line {line} is not UTF-8 text ({byte}); save the table as CSV in UTF-8") from None
    if "\0" in text:
        raise InputError(f"{path}: is no text, or UTF-16 without a byte-order mark; save the table as CSV in UTF-8")
    return text


def _parse(text: str, path: Path) -> Table:
    first = re.split(r"[\r\n]", text, maxsplit=1)[:1]
    separator = max(SEPARATORS, key=lambda mark: len(next(csv.reader(first, delimiter=mark), [])))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    header = [name.strip() for name in next(reader, [])]
    if not any(header):
        raise InputError(f"{path}: the first line must hold the names of the columns; save or download it again")
    kept = {name: place for place, name in enumerate(header) if name}
    doubled = ", ".join(repr(name) for name in kept if header.count(name) > 1)
    if doubled:
        raise InputError(f"{path}: column {doubled} is there more than once; rename or remove one")
    columns: dict[str, list[str | None]] = {name: [] for name in kept}
    found = []
    for fields in reader:
        fields = [field.strip() for field in fields]
        if any(fields[len(header) :]):
            fault = f"line {reader.line_num} has {len(fields)} fields and the header {len(header)}"
            raise InputError(f"{path}: {fault}; put fields that hold {separator!r} in quotes")
        if any(fields):
            found.append(reader.line_num)
            for name, place in kept.items():
                columns[name].append((fields[place] if place < len(fields) else "") or None)
    return Table(path, pl.DataFrame(columns, schema=dict.fromkeys(kept, pl.String)), found)
