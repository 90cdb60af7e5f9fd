"""The columns of every table and their types, from columns.toml, and what polars raises of a damaged file."""

import tomllib
from collections.abc import Iterable
from pathlib import Path

import polars as pl

DAMAGED: tuple[type[BaseException], ...] = (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException)
"""What polars raises of a damaged file; a panic is no Exception."""

_TABLES = tomllib.loads(Path(__file__).with_name("columns.toml").read_text(encoding="utf-8"))
_LISTS: dict[str, pl.DataType] = {"List(Float64)": pl.List(pl.Float64())}


def columns(table: str, first: Iterable[str] = ()) -> dict[str, pl.DataType]:
    """The columns of a table of columns.toml and their types, after those of the row that come first."""
    own, row = (
        {name: _LISTS.get(kind) or getattr(pl, kind)() for name, kind in _TABLES[each].items()}
        for each in (table, "row")
    )
    return {name: row[name] for name in first} | own
