"""The manifest: one table that every source of images is turned into, with a row per image.

Whatever is decided for the user while a manifest is made (which class got which number, which images have no group) is a note beside it.
"""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import polars as pl

from palpate.core.errors import InputError
from palpate.core.tables import columns

MANIFEST: dict[str, Any] = columns("manifest")
"""Columns of every manifest. It may have two more: `findings`, a list with 1, 0 or -1 (unknown) for each finding, and `metadata`, a struct."""

NO_VALUE = frozenset({"", "na", "n/a", "nan", "none", "null", "unknown", "-", "?"})
"""What stands in tables, in any case, where there is no value."""

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


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
        found = ", ".join(rows.columns)
        raise InputError(f"{source}: the reader's manifest lacks column {', '.join(missing)}; found {found}")
    blank = [pl.lit(None, dtype=pl.String).alias(name) for name in ("group_id", "split") if name not in rows.columns]
    if "published" not in rows.columns:
        blank.append(pl.col("label").cast(pl.String).alias("published"))
    rows = rows.with_columns(blank)
    twice = rows.filter(pl.col("image_id").is_duplicated())["image_id"].unique(maintain_order=True).to_list()
    if twice:
        first = ", ".join(map(str, twice[:5]))
        remedy = "keep one row of each"
        raise InputError(f"{source}: {len(twice)} images are listed more than once, first {first}; {remedy}")
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
        follows = "each is its own, so images of one patient may be in two splits"
        return [f"no image has a group (patient or lesion): {follows}"]
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
    remedy = "state the classes in the order of the network's outputs (classes=…)"
    if stated is not None:
        if len(stated) < 2 or len(set(stated)) < len(stated):
            raise InputError(f"classes: at least two different names are needed, given {list(stated)}")
        return stated
    found = sorted(set(values))
    numbers = [value for value in found if _NUMBER.fullmatch(value)]
    words = [value for value in found if not _NUMBER.fullmatch(value)]
    fractions = [value for value in numbers if not float(value).is_integer()]
    spellings = Counter(value.casefold() for value in found)
    alike = ", ".join(repr(value) for value in found if spellings[value.casefold()] > 1)
    fault = ""
    if len(found) < 2:
        fault = f"two or more classes are needed, found {found}; if the images are of one class only, {remedy}"
    elif numbers and words:
        fault = f"labels mix numbers ({', '.join(numbers[:3])}) and words ({', '.join(words[:3])}); use one kind"
    elif fractions:
        fault = f"labels are whole numbers or words, found {fractions[0]!r}; name the column of the classes"
    elif alike:
        fault = f"classes {alike} differ in case only; write them alike"
    if fault:
        raise InputError(f"{where}: {fault}")
    return tuple(sorted(found, key=float)) if numbers else tuple(found)


def class_note(classes: tuple[str, ...]) -> str:
    """The numbers that the classes got."""
    shown = ", ".join(f"{number} {name}" for number, name in enumerate(classes[:20]))
    return f"classes were numbered in order: {shown}{' …' if len(classes) > 20 else ''}"
