"""What every reader shares: publishers' CSVs read forgivingly, and manifests checked strictly.

Publishers ship byte-order marks, CRLF, blanks in column names, trailing commas and empty last lines. All of that is
ironed out here once, while a missing column, an unknown label or an absent image stops the run with its name.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import polars as pl

from palpate.core.errors import InputError

MANIFEST: dict[str, pl.DataType] = {
    "image_id": pl.String(),  # names the source file, stable across machines and runs
    "path": pl.String(),  # absolute, or "file.npz#split#index"
    "group_id": pl.String(),  # patient or lesion: never in two splits
    "finding": pl.String(),  # what the label is about
    "label": pl.Int32(),  # index into the task's classes
    "published": pl.String(),  # the publisher's own label, before we mapped it
    "split": pl.String(),  # the official "train" | "val" | "test", or null: to be split by us
}

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})


def read_table(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    """Read the named columns of a publisher's CSV, as strings without surrounding blanks.

    Args:
        path: separated by commas or, if its header has one, tabs; UTF-8 with or without byte-order mark; LF or CRLF.
        columns: the columns wanted, spelt without surrounding blanks.

    Raises:
        InputError: the file is absent, is no table, or lacks a column.
    """
    if not path.is_file():
        raise InputError(f"{path}: the table is missing; put the publisher's file there, unchanged")
    try:
        with path.open("rb") as file:
            separator = "\t" if b"\t" in file.readline() else ","
        table = pl.read_csv(
            path, infer_schema=False, truncate_ragged_lines=True, encoding="utf8-lossy", separator=separator
        )
    except OSError as error:
        raise InputError(f"{path}: cannot be opened ({error.strerror})") from None
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path}: cannot be read as a CSV table ({error}); download it again") from None
    names = {name.strip().removeprefix("\ufeff"): name for name in reversed(table.columns)}
    missing = [name for name in columns if name not in names]
    if missing:
        found = [
            name for name in dict.fromkeys(n.strip() for n in table.columns) if name and "_duplicated_" not in name
        ]
        raise InputError(
            f"{path}: column {', '.join(map(repr, missing))} is missing; found {', '.join(map(repr, found))}. "
            "Use the publisher's file, or rename the column"
        )
    table = table.select(pl.col(names[name]).str.strip_chars().alias(name) for name in columns)
    table = table.filter(pl.any_horizontal((pl.all().is_not_null()) & (pl.all() != "")))
    if table.is_empty():
        raise InputError(f"{path}: the table has a header but no rows; download it again")
    blank = table.with_row_index("line", 2).filter(pl.col(columns[0]).fill_null("") == "")
    if not blank.is_empty():
        raise InputError(f"{path}: {len(blank)} rows have no {columns[0]!r}, first near line {blank['line'][0]}")
    return table


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


def image_files(folder: Path) -> dict[str, Path]:
    """All images below a folder, by file name without suffix; resource forks and hidden files are no images."""
    return {
        path.stem: path
        for path in sorted(folder.resolve().rglob("*"))
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    }


def attach_paths(
    table: pl.DataFrame, names: Iterable[str], files: Mapping[str, Path], table_path: Path
) -> pl.DataFrame:
    """Add `path`: the file of each name (without suffix).

    Raises:
        InputError: a named image is not among `files`; gives the count and the first names.
    """
    names = list(names)
    absent = [name for name in names if name not in files]
    if absent:
        raise InputError(
            f"{table_path}: names {len(names)} images, of which {len(absent)} are absent, first "
            f"{', '.join(absent[:5])}; looked below {table_path.parent} for .jpg, .jpeg and .png. "
            "Finish the download, or remove those rows"
        )
    return table.with_columns(pl.Series("path", [str(files[name]) for name in names], dtype=pl.String))


def manifest(table: pl.DataFrame, finding: str, source: Path) -> pl.DataFrame:
    """Cut a reader's table to the manifest's columns and types, refusing an image that is listed twice.

    A `split` column is optional and becomes null where absent.

    Raises:
        InputError: an `image_id` occurs more than once.
    """
    if "split" not in table.columns:
        table = table.with_columns(pl.lit(None, dtype=pl.String).alias("split"))
    table = table.with_columns(pl.lit(finding).alias("finding"))
    twice = table.filter(pl.col("image_id").is_duplicated())["image_id"].unique(maintain_order=True).to_list()
    if twice:
        raise InputError(f"{source}: {len(twice)} images are listed more than once, first {', '.join(twice[:5])}")
    return table.select(pl.col(name).cast(kind) for name, kind in MANIFEST.items())
