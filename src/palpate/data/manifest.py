"""The manifest: one table that every source of images is turned into, with a row per image.

Whatever is decided for the user while a manifest is made (which class got which number, which images have no group) is a note beside it.
"""

from dataclasses import dataclass
from typing import Any

import polars as pl

from palpate.core.errors import InputError

MANIFEST: dict[str, Any] = {
    "image_id": pl.String(),  # names the image, stable across machines and runs
    "path": pl.String(),  # a file, or "file.npz#array#index", or "file.dcm#frame#index"
    "group_id": pl.String(),  # patient or lesion: never in two splits
    "label": pl.Int32(),  # index into the classes; of several findings, what the split is stratified by
    "published": pl.String(),  # the label as it was given, before we numbered it
    "split": pl.String(),  # the stated "train" | "val" | "test", or null: to be split by us
}
"""Columns of every manifest. It may have two more: `findings`, a list with 1, 0 or -1 (unknown) for each finding, and `metadata`, a struct."""

NO_VALUE = frozenset({"", "na", "n/a", "nan", "none", "null", "unknown", "-", "?"})
"""What stands in tables, in any case, where there is no value."""


@dataclass(frozen=True)
class Labelled:
    """Images with their labels, from any source.

    Attributes:
        rows: a manifest.   classes: names in label order.   findings: names in column order, () for a single label.
        notes: what was decided while it was read.
    """

    rows: pl.DataFrame
    classes: tuple[str, ...]
    findings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def manifest(rows: pl.DataFrame, source: object) -> pl.DataFrame:
    """Cut a reader's table to the manifest's columns and types, refusing an image that is listed twice.

    `group_id`, `published` and `split` may be absent. An image whose group is blank or "NA" becomes its own group, named "image:ID".

    Args:
        rows: at least image_id, path and label; other columns than the manifest's are left out.
        source: a file or folder, to be named in errors.

    Raises:
        InputError: a column is missing, or an `image_id` occurs more than once.
    """
    missing = [name for name in ("image_id", "path", "label") if name not in rows.columns]
    if missing:
        raise InputError(
            f"{source}: the reader's manifest lacks column {', '.join(missing)}; found {', '.join(rows.columns)}"
        )
    blank = [pl.lit(None, dtype=pl.String).alias(name) for name in ("group_id", "split") if name not in rows.columns]
    if "published" not in rows.columns:
        blank.append(pl.col("label").cast(pl.String).alias("published"))
    rows = rows.with_columns(blank)
    twice = rows.filter(pl.col("image_id").is_duplicated())["image_id"].unique(maintain_order=True).to_list()
    if twice:
        raise InputError(
            f"{source}: {len(twice)} images are listed more than once, first {', '.join(map(str, twice[:5]))}; keep one row of each"
        )
    group = pl.col("group_id").cast(pl.String).str.strip_chars()
    alone = group.is_null() | group.str.to_lowercase().is_in(list(NO_VALUE))
    rows = rows.with_columns(pl.when(alone).then(_own_group()).otherwise(group).alias("group_id"))
    more = [name for name in ("findings", "metadata") if name in rows.columns]
    return rows.select(*(pl.col(name).cast(kind) for name, kind in MANIFEST.items()), *more)


def group_note(rows: pl.DataFrame) -> list[str]:
    """What to say of the images of a manifest that have no group."""
    alone = rows.filter(pl.col("group_id") == _own_group())
    if alone.is_empty():
        return []
    if len(alone) == len(rows):
        return [
            "no image has a group (patient or lesion): each is its own, so images of one patient may be in two splits"
        ]
    first = ", ".join(alone["image_id"].head(3))
    return [f"{len(alone)} of {len(rows)} images have no group (blank or NA): each is its own group, first {first}"]


def _own_group() -> pl.Expr:
    return pl.lit("image:") + pl.col("image_id").cast(pl.String)


def number_classes(values: list[str], stated: tuple[str, ...] | None, where: str) -> tuple[str, ...]:
    """The classes in label order: those stated, else the values found, numbers by size and words by the alphabet.

    Args:
        values: the labels of all images, none blank.
        stated: the classes in the order of the network's outputs, or None.
        where: names the file and column in errors.

    Raises:
        InputError: fewer than two classes, numbers mixed with words, fractions, or classes that differ in case only.
    """
    found = sorted(set(values))
    remedy = "state the classes in the order of the network's outputs (classes=…)"
    if stated is not None:
        if len(stated) < 2 or len(set(stated)) < len(stated):
            raise InputError(f"classes: at least two different names are needed, given {list(stated)}")
        return stated
    if len(found) < 2:
        raise InputError(
            f"{where}: two or more classes are needed, found {found}; if the images are of one class only, {remedy}"
        )
    numbers = [value for value in found if _is_number(value)]
    if numbers and len(numbers) < len(found):
        words = [value for value in found if value not in numbers]
        raise InputError(
            f"{where}: labels mix numbers ({', '.join(numbers[:3])}) and words ({', '.join(words[:3])}); use one kind"
        )
    if numbers:
        fractions = [value for value in numbers if not float(value).is_integer()]
        if fractions:
            raise InputError(
                f"{where}: labels are whole numbers or words, found {fractions[0]!r}; name the column of the classes"
            )
        return tuple(sorted(found, key=float))
    folded: dict[str, str] = {}
    for value in found:
        if folded.setdefault(value.casefold(), value) != value:
            raise InputError(
                f"{where}: classes {folded[value.casefold()]!r} and {value!r} differ in case only; write them alike"
            )
    return tuple(found)


def class_note(classes: tuple[str, ...]) -> str:
    """The numbers that the classes got."""
    shown = ", ".join(f"{number} {name}" for number, name in enumerate(classes[:20]))
    return f"classes were numbered in order: {shown}{' …' if len(classes) > 20 else ''}"


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True
