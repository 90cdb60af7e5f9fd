"""The row: one record per image and condition, the only hand-over between the stages of a study and its report.

Every number in a report is a group-by of these rows, so every number can be traced to its `image_id`s.
Group by `epsilon_index`, never by the float `epsilon`.
"""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from palpate.core.errors import InputError
from palpate.core.tables import DAMAGED, columns

SCHEMA = columns("row")


def metadata_file(run: Path, task: str) -> Path:
    """Where the columns of a task's images that make subgroups lie, by image_id; no rows hold them."""
    return run / "metadata" / f"{task}.parquet"


def write(rows: pl.DataFrame, path: Path) -> None:
    """Write rows to parquet, refusing any table whose columns or types are not those of SCHEMA."""
    if dict(rows.schema) != SCHEMA:
        raise ValueError(f"not a table of rows: {rows.schema} where {SCHEMA} is needed")
    rows.write_parquet(path)


def join(files: Sequence[Path], path: Path) -> None:
    """Make one file of several that hold rows, in their order; they are never all in memory."""
    pl.scan_parquet(list(files), schema=SCHEMA).sink_parquet(path)


def read(path: Path) -> pl.DataFrame:
    """Read rows back.

    Raises:
        InputError: the file is absent, is not parquet, or holds other columns.
    """
    try:
        rows = pl.read_parquet(path)
    except DAMAGED as error:
        why = f"({error}); run the study again to remake it"
        raise InputError(f"{path}: cannot be read as a table of rows {why}") from None
    if dict(rows.schema) != SCHEMA:
        odd = sorted(set(rows.schema.items()) ^ set(SCHEMA.items()), key=str)
        raise InputError(f"{path}: not a table of rows of this version (differs in {odd}); run the study again")
    return rows
