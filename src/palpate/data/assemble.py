"""From a manifest and the pixels to the parts of a data set: leaks removed, split, value range, and a note of whatever was decided."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import polars as pl

from palpate.core.errors import InputError
from palpate.data import dicom, leaks
from palpate.data.decode import decode
from palpate.data.fill import open_arrays, open_files
from palpate.data.images import Images, Split
from palpate.data.manifest import Labelled, group_note
from palpate.data.options import ImageOptions
from palpate.data.preprocess import Preprocess
from palpate.data.split import SPLITS, check_disjoint, split, take
from palpate.data.store import Store
from palpate.data.tasks import Task, own_task
from palpate.data.values import Native, plain, value_range


def from_files(labelled: Labelled, name: str, options: ImageOptions) -> dict[str, Any]:
    task, rows = own_task(labelled, name, options), _wanted(labelled.rows, options)
    check_disjoint(rows)
    paths = rows["path"].to_list()
    kinds = [dicom.is_dicom(path) for path in paths]
    if any(kinds) and not all(kinds):
        odd = paths[kinds.index(False)]
        raise InputError(
            f"{name}: {sum(kinds)} images are DICOM files and {kinds.count(False)} are not, first {odd}; read them apart"
        )
    plan = dicom.survey(paths) if any(kinds) else None
    prepared, size = _preprocess(options), options.size or 224
    store = open_files(rows, task.name, size, prepared, plan.decode if plan else decode, repr(plan))
    return assemble(task, replace(labelled, rows=rows), store, options, prepared, native=plan)


def from_memory(
    labelled: Callable[[], Labelled], images: Any, total: int, name: str, options: ImageOptions
) -> dict[str, Any]:
    """`labelled` is asked once all images came, because the labels of a torch data set come with them."""
    prepared = _preprocess(options)
    store = open_arrays(images, total, options.name or name, options.size, prepared)
    found = labelled()
    return assemble(own_task(found, name, options), found, store, options, prepared)


def _preprocess(options: ImageOptions) -> Preprocess:
    return Preprocess(grey=options.channels == 1, filter=options.filter, filter_at=options.filter_at)


def _wanted(rows: pl.DataFrame, options: ImageOptions) -> pl.DataFrame:
    """All images, or those of the test set where only it is wanted."""
    if not options.test_only:
        return rows
    if rows["split"].is_null().all():
        return rows.with_columns(pl.lit("test").alias("split"))
    return rows.filter(pl.col("split") == "test")


def assemble(
    task: Task,
    labelled: Labelled,
    store: Store,
    options: ImageOptions,
    prepared: Preprocess,
    native: Native | None = None,
    masks: np.ndarray | None = None,
) -> dict[str, Any]:
    rows = _wanted(labelled.rows.with_columns(store.index["pixels"]).with_row_index("row"), options)
    index, rows = store.index[rows["row"]], rows.filter(pl.col("label") >= 0)  # -1: a single finding that is unknown
    readable = rows.filter(pl.col("pixels").is_not_null())
    safe, leak_notes = leaks.resolve(readable, readable["pixels"].to_list(), options.deduplicate)
    parts = take(split(safe, options.seed, options.fractions, options.stratify), options.limits, options.seed)
    native = native or plain(store.images.dtype)
    ends, value_notes = value_range(index, native, options.value_range)
    channels = options.channels or store.images.shape[3]
    made = {}
    for name in SPLITS:
        part = parts.filter(pl.col("split") == name)
        number = part["row"].to_numpy().astype(np.int64)
        black, white = ((end - native.low) / native.step for end in ends)
        several = (
            np.array(part["findings"].to_list(), np.int64).reshape(len(part), len(labelled.findings))
            if labelled.findings
            else None
        )
        made[name] = Split(
            images=Images(store.images, number, channels, black, white),
            labels=part["label"].to_numpy().astype(np.int64) if several is None else several,
            groups=part["group_id"].to_numpy().astype(str),
            ids=part["image_id"].to_numpy().astype(str),
            masks=None if masks is None else masks[number],
            metadata=part["metadata"].struct.unnest() if "metadata" in part.columns else None,
        )
    lost = len(rows) - len(readable)
    notes = (
        *[task.caveat] * bool(task.caveat),
        *labelled.notes,
        *group_note(rows),
        *native.notes,
        *_remarks(index),
        *value_notes,
        *[f"{lost} unreadable images left out"] * bool(lost),
        *leak_notes,
        *_drawn_note(safe, options),
        *_split_notes(task, labelled, made, safe),
    )
    key = [task.name, task.classes, labelled.findings, store.images.shape[1], asdict(prepared), ends, channels]
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode())
    told = [name for name in ("image_id", "group_id", "label", "findings", "split", "pixels") if name in parts.columns]
    for row in parts.select(told).iter_rows():
        digest.update(("\t".join(map(str, row)) + "\n").encode())
    return {
        "task": task,
        "size": store.images.shape[1],
        **made,
        "identity": digest.hexdigest(),
        "notes": notes,
        "findings": labelled.findings,
        "value_range": ends,
        "native": native,
    }


def _drawn_note(safe: pl.DataFrame, options: ImageOptions) -> list[str]:
    """What to say of a split, or of validation images, that nobody stated."""
    stated = set(safe["split"].drop_nulls())
    if "val" in stated or (stated and "train" not in stated):
        return []
    if stated:
        return [f"validation images were drawn from the training images by group, seed {options.seed}"]
    shares = ", ".join(f"{share:.0%} {name}" for name, share in zip(SPLITS, options.fractions, strict=True))
    how = ", in the classes' proportions" if options.stratify else ""
    return [f"the split was drawn by group{how}: {shares}, seed {options.seed}"]


def _remarks(index: pl.DataFrame) -> list[str]:
    """What was decided about single images, with how many there are."""
    if "remarks" not in index.columns:
        return []
    told = index.select("image_id", "remarks").explode("remarks").drop_nulls()
    groups = told.group_by("remarks", maintain_order=True).agg(pl.len(), pl.col("image_id").first()).sort("remarks")
    return [f"{count} images {remark}, first {first}" for remark, count, first in groups.iter_rows()]


def _split_notes(task: Task, labelled: Labelled, made: dict[str, Split], safe: pl.DataFrame) -> list[str]:
    """Splits that have no image, and classes that have none in a split.

    Raises:
        InputError: the test split is empty, or one that we were to draw.
    """
    notes = []
    for name, part in made.items():
        if not len(part) and (name == "test" or safe["split"].is_null().all()):
            raise InputError(
                f"{task.name}: the {name} split is empty; more images or groups are needed, or test_only=True if all images are the test set"
            )
        if not len(part):
            notes.append(f"there are no {name} images")
        elif labelled.findings:
            for place, finding in enumerate(labelled.findings):
                states = {0: "absent", 1: "present"}
                lacking = [word for state, word in states.items() if not (part.labels[:, place] == state).any()]
                notes += [f"{finding} is {word} in no {name} image" for word in lacking]
        else:
            lacking = [repr(label) for i, label in enumerate(task.classes) if not (part.labels == i).any()]
            if lacking:
                notes.append(f"class {', '.join(lacking)} has no {name} image")
    return notes
