"""The columns of every table and their types, from columns.toml, and what polars raises of a damaged file."""

from collections.abc import Iterable

import polars as pl

from palpate.core.io import facts_beside

DAMAGED: tuple[type[BaseException], ...] = (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException)
"""What polars raises of a damaged file; a panic is no Exception."""

_TABLES = facts_beside(__file__, "columns.toml")
_LISTS: dict[str, pl.DataType] = {"List(Float64)": pl.List(pl.Float64())}


def columns(table: str, first: Iterable[str] = ()) -> dict[str, pl.DataType]:
    """The columns of a table of columns.toml and their types, after those of the row that come first."""
    named = {name: _TABLES["row"][name] for name in first} | _TABLES[table]
    return {name: _LISTS.get(kind) or getattr(pl, kind)() for name, kind in named.items()}
