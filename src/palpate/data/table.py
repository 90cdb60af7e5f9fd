"""A table of images to a manifest: a column of paths, one of labels or several of findings, groups, splits, and whatever else as metadata."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
from pydantic import model_validator

from palpate.core.spec import Spec
from palpate.data.files import locate
from palpate.data.manifest import NO_VALUE, Labelled, class_note, manifest, number_classes
from palpate.data.split import split_name
from palpate.data.table_file import Table, open_table

UNKNOWN = -1
_STATES = {"1": 1, "1.0": 1, "true": 1, "0": 0, "0.0": 0, "false": 0, "-1": UNKNOWN, "-1.0": UNKNOWN, "": UNKNOWN}


class Columns(Spec):
    """Which columns of a table hold what. All others are metadata.

    Raises:
        SpecError: (an InputError) an unknown key.
    """

    path: str = "path"
    """of the image, or its name with or without suffix"""
    label: str = "label"
    """the class; not read where there are findings"""
    findings: tuple[str, ...] = ()
    """a column for each finding: 1, 0, -1 (uncertain) or blank"""
    group: str | None = "group"
    """patient or lesion; a table need not have the column "group\""""
    split: str | None = "split"
    """train, val or test; a table need not have the column "split\""""
    frame: str | None = None
    """of a multi-frame DICOM file, counted from 0"""

    @model_validator(mode="after")
    def _each_once(self) -> "Columns":
        named = [self.path, *(self.findings or (self.label,)), self.group, self.split, self.frame]
        twice = [name for name in dict.fromkeys(named) if name and named.count(name) > 1]
        if twice:
            raise ValueError(f"column {', '.join(map(repr, twice))} is named more than once; name each for one purpose")
        return self


Classes = Sequence[str] | Mapping[str, int] | None
"""Names in label order; or the label of each value that stands in the table; or by size or alphabet where None."""


def read(table: Table, images: Path, columns: Columns, classes: Classes = None) -> Labelled:
    """Read a table of images.

    Args:
        images: the folder below which all images lie.

    Returns:
        The images; `image_id` is what the table's column of paths says.

    Raises:
        InputError: a column or an image is missing, a label is blank or unknown, an image is listed twice or lies outside the folder; with
            file, line and column.
    """
    names = _filled(table, columns.path, "complete or remove those rows")
    files, notes = locate(names, table, images)
    if columns.frame is not None:
        numbers = [_plain(value) for value in _filled(table, columns.frame, "count the frames from 0")]
        odd = [row for row, value in enumerate(numbers) if not value.isdigit()]
        fault = f"column {columns.frame!r} must hold frame numbers counted from 0"
        table.refuse(odd, fault, "correct it", numbers)
        files = [f"{file}#frame#{int(number)}" for file, number in zip(files, numbers, strict=True)]
        names = [f"{name}#{int(number)}" for name, number in zip(names, numbers, strict=True)]
    _refuse_twice(table, files, names)
    found = label(table, columns, names, files, classes)
    return replace(found, notes=(*found.notes, *notes))


def read_published(source: Path | Table, images: Path, codes: Mapping[str, int], **columns: str) -> pl.DataFrame:
    """The manifest of a publisher's table: `read` with fixed labels and the names of the columns as keywords."""
    table = source if isinstance(source, Table) else open_table(source)
    return read(table, images, Columns.read(columns, "columns"), codes).rows


def label(table: Table, columns: Columns, ids: list[str], files: list[str], classes: Classes) -> Labelled:
    """The manifest of a table whose images are found: labels, groups, splits, and the columns that are none of these as metadata.

    Raises:
        InputError: as `read`.
    """
    usual = {"group", "split"} - set(table.rows.columns)  # which a table need not have
    group, split = (None if column in usual else column for column in (columns.group, columns.split))
    used = [*(columns.findings or [columns.label]), *filter(None, [group, split, columns.frame])]
    table.require(used)
    _refuse_twice(table, ids, ids)
    found = _findings(table, columns.findings) if columns.findings else _labels(table, columns.label, classes)
    groups = table.column(group) if group else [None] * len(ids)
    own = {"image_id": ids, "path": files, "group_id": groups, "split": _splits(table, split)}
    rows = found.rows.with_columns(pl.Series(name, values, dtype=pl.String) for name, values in own.items())
    others = [name for name in table.rows.columns if name not in (columns.path, *used)]
    if others:
        rows = rows.with_columns(table.rows.select(others).to_struct("metadata"))
    return replace(found, rows=manifest(rows, table.path))


def _refuse_twice(table: Table, values: Sequence[str], shown: Sequence[str]) -> None:
    """Refuse rows whose value an earlier row has."""
    first = {value: row for row, value in reversed(list(enumerate(values)))}
    twice = [row for row, value in enumerate(values) if first[value] != row]
    table.refuse(twice, f"{len(twice)} images are listed more than once", "keep one row of each", shown)


def _filled(table: Table, column: str, remedy: str) -> list[str]:
    """A column that may not be blank."""
    values = table.column(column).to_list()
    no_value = NO_VALUE - {"none", "unknown", "-", "?"}
    blank = [row for row, value in enumerate(values) if value is None or value.casefold() in no_value]
    table.refuse(blank, f"column {column!r} is blank in {len(blank)} rows", remedy)
    return values


def _labels(table: Table, column: str, stated: Classes) -> Labelled:
    values = [_plain(value) for value in _filled(table, column, "label or remove those rows")]
    classes, notes = tuple(stated or ()), ()
    if isinstance(stated, Mapping):
        codes = stated
    else:
        if classes and not set(values) & set(classes) and all(v.isdigit() and int(v) < len(classes) for v in values):
            values = [classes[int(value)] for value in values]
            notes = (f"{column!r} holds the numbers of the stated classes, from 0 {classes[0]}",)
        classes = number_classes(values, None if stated is None else classes, f"{table.path}: {column!r}")
        notes = (class_note(classes),) if stated is None else notes
        codes = {name: number for number, name in enumerate(classes)}
    odd = [row for row, value in enumerate(values) if value not in codes]
    known = ", ".join(list(codes)[:20])
    fault = f"{column!r} has {len(odd)} labels outside {known}"
    table.refuse(odd, fault, "correct them, or state all classes", values)
    rows = pl.DataFrame({"label": [codes[value] for value in values], "published": values})
    return Labelled(rows, classes, notes=notes)


def _findings(table: Table, names: tuple[str, ...]) -> Labelled:
    """Columns of findings. A single one is a label of two classes; of several, the label that the split is stratified by is the image's rarest."""
    states: dict[str, list[int]] = {}
    notes = []
    for name in names:
        values = [value or "" for value in table.column(name).to_list()]
        folded = ["" if value.casefold() in NO_VALUE else value.casefold() for value in values]
        odd = [row for row, value in enumerate(folded) if value not in _STATES]
        fault = f"column {name!r} must hold 1, 0, -1 (uncertain) or nothing"
        table.refuse(odd, fault, "correct it, or leave the column out of the findings", values)
        states[name] = [_STATES[value] for value in folded]
        blank = folded.count("")
        uncertain = states[name].count(UNKNOWN) - blank
        if blank or uncertain:
            notes.append(f"{name}: {uncertain} uncertain and {blank} blank labels are unknown and count nowhere")
    if len(names) == 1:
        (name,) = names
        rows = pl.DataFrame({"label": states[name], "published": [str(state) for state in states[name]]})
        return Labelled(rows, (f"no {name}", name), notes=tuple(notes))
    rarest = sorted(names, key=lambda name: states[name].count(1))
    each = [dict(zip(names, row, strict=True)) for row in zip(*states.values(), strict=True)]
    label = [next((1 + names.index(name) for name in rarest if row[name] == 1), 0) for row in each]
    published = ["|".join(name for name in names if row[name] == 1) or "none" for row in each]
    findings = pl.Series([list(row.values()) for row in each], dtype=pl.List(pl.Int8))
    rows = pl.DataFrame({"label": label, "published": published, "findings": findings})
    return Labelled(rows, ("absent", "present"), names, tuple(notes))


def _splits(table: Table, column: str | None) -> list[str | None]:
    if column is None:
        return [None] * len(table.rows)
    values = _filled(table, column, "give every image a split, or leave the column out to split by group")
    splits = [split_name(value) for value in values]
    odd = [row for row, value in enumerate(splits) if value is None]
    fault = f"column {column!r} must hold train, val or test"
    table.refuse(odd, fault, "rename them, or leave the column out to split by group", values)
    return splits


def _plain(value: str) -> str:
    """A whole number without the ".0" that programs write behind it."""
    return re.sub(r"^(-?\d+)\.0+$", r"\1", value)
