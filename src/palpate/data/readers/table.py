"""What the readers of publishers' tables share: labels by a fixed code, and the file of each image. Whatever is missing is named."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import polars as pl

from palpate.core.errors import InputError
from palpate.data.files import by_name, one_file


def encode_labels(table: pl.DataFrame, column: str, codes: Mapping[str, int], path: Path) -> pl.DataFrame:
    """Add `label` (Int32): `column` looked up in `codes`.

    The values themselves are kept as `published`.

    Raises:
        InputError: values outside `codes`; names which, how many, and the first rows.
    """
    known = pl.col(column).is_in(list(codes))
    odd = table.filter(~known.fill_null(False))
    if not odd.is_empty():
        which = odd[column].fill_null("").unique(maintain_order=True).to_list()
        first = ", ".join(
            f"{row[table.columns[0]]}: {row[column] or ''!r}" for row in odd.head(3).iter_rows(named=True)
        )
        raise InputError(
            f"{path}: column {column!r} has {len(odd)} labels outside {', '.join(codes)}: "
            f"{', '.join(map(repr, which[:5]))}{' …' if len(which) > 5 else ''} (first rows: {first})"
        )
    label = pl.col(column).replace_strict(dict(codes), return_dtype=pl.Int32)
    return table.with_columns(label.alias("label"), pl.col(column).alias("published"))


def attach_paths(table: pl.DataFrame, names: Iterable[str], folder: Path, table_path: Path) -> pl.DataFrame:
    """Add `path`: the file below `folder` of each name, written with or without its suffix.

    Raises:
        InputError: a named image is not there, or several different files have its name; gives the count and the first names.
    """
    names, files = list(names), by_name(folder)
    found = [one_file(name, files) for name in names]
    absent = [name for name, path in zip(names, found, strict=True) if path is None]
    if absent:
        raise InputError(
            f"{table_path}: names {len(names)} images, of which {len(absent)} are absent, first "
            f"{', '.join(absent[:5])}; looked below {folder}. Finish the download, or remove those rows"
        )
    return table.with_columns(pl.Series("path", [str(path) for path in found], dtype=pl.String))
