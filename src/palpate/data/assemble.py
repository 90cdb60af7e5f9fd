"""From a manifest and the pixels to the parts of a data set: leaks removed, split, value range, and a note of whatever was decided."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import polars as pl

from palpate.core.epsilon import Scale
from palpate.core.errors import InputError
from palpate.data import dicom, leaks
from palpate.data.fill import open_arrays, open_files
from palpate.data.images import Images, Split
from palpate.data.manifest import Labelled, group_note
from palpate.data.options import ImageOptions
from palpate.data.own import own_task
from palpate.data.preprocess import Preprocess
from palpate.data.split import SPLITS, check_disjoint, split, split_note, take
from palpate.data.store import Store
from palpate.data.tasks import Task
from palpate.data.values import Native, plain, value_range


def from_files(task: Task, labelled: Labelled, options: ImageOptions) -> dict[str, Any]:
    """The fields of a `palpate.data.dataset.Dataset` whose images are files, or lie in an npz file."""
    labelled = replace(labelled, rows=_wanted(labelled.rows, options))
    check_disjoint(labelled.rows)
    paths = labelled.rows["path"].to_list()
    kinds = [dicom.is_dicom(path) for path in paths]
    if any(kinds) and not all(kinds):
        odd = f"{kinds.count(False)} are not, first {paths[kinds.index(False)]}"
        raise InputError(f"{task.name}: {sum(kinds)} images are DICOM files and {odd}; read them apart")
    plan = dicom.survey(paths) if any(kinds) else None
    prepared = preprocess(task.preprocess, options)
    name = task.folder or task.name  # two tasks of one folder may share their images
    store = open_files(labelled.rows, name, options.size or 224, prepared, plan)
    return assemble(task, labelled, store, options, prepared, native=plan)


def from_memory(
    labelled: Callable[[], Labelled], images: Any, total: int, name: str, options: ImageOptions
) -> dict[str, Any]:
    """The same of arrays. `labelled` is asked once all images came, because the labels of a torch data set come with them."""
    prepared = preprocess(Preprocess(grey=options.channels == 1), options)
    store = open_arrays(images, total, options.name or name, options.size, prepared)
    found = labelled()
    return assemble(own_task(found, name, options), found, store, options, prepared)


def preprocess(usual: Preprocess, options: ImageOptions) -> Preprocess:
    """What a task's images usually go through, but for the filter that the options name."""
    own = {"filter": options.filter, "filter_at": options.filter_at or "after"}
    return replace(usual, **own) if options.filter else usual


def _wanted(rows: pl.DataFrame, options: ImageOptions) -> pl.DataFrame:
    """All images, or those of the test set where only it is wanted."""
    if options.test_only and rows["split"].is_null().all():
        return rows.with_columns(split=pl.lit("test"))
    return rows.filter(split="test") if options.test_only else rows


def assemble(
    task: Task,
    labelled: Labelled,
    store: Store,
    options: ImageOptions,
    prepared: Preprocess,
    native: Native | None = None,
    masks: np.ndarray | None = None,
) -> dict[str, Any]:
    """The fields of a data set whose pixels are stored.

    Args:
        store: a row for each of the manifest.   native: what its values mean, where these do not mean themselves.
        masks: (N, H, W) bool, a row for each of the manifest.
    """
    rows = _wanted(labelled.rows.with_columns(store.index["pixels"]).with_row_index("row"), options)
    index, rows = store.index[rows["row"]], rows.filter(pl.col("label") >= 0)  # -1: a single finding that is unknown
    readable = rows.filter(pl.col("pixels").is_not_null())
    safe, leak_notes = leaks.resolve(readable, options.deduplicate)
    how = options.seed, options.fractions, options.stratify
    parts = take(split(safe, *how), options.limits, options.seed)
    native = native or plain(store.images.dtype)
    ends, value_notes = value_range(index, native, options.value_range, task.name)
    black, white = ((end - native.low) / native.step for end in ends)
    stored = store.images.shape[3]
    channels = options.channels or stored
    if channels != stored and (stored, channels) != (1, 3):
        remedy = f"give channels = {stored}"
        raise InputError(f"{task.name}: channels: images have {stored}, which cannot become {channels}; {remedy}")
    levels = round((ends[1] - ends[0]) / native.step) + 1 if native.levels else None
    scale = Scale(*ends, options.unit or native.unit, levels)
    made = {}
    for name in SPLITS:
        part = parts.filter(split=name)
        number, labels = part["row"].to_numpy().astype(np.int64), part["label"].to_numpy().astype(np.int64)
        if labelled.findings:
            labels = np.array(part["findings"].to_list(), np.int64).reshape(len(part), len(labelled.findings))
        groups, ids, files = (part[column].to_numpy().astype(str) for column in ("group_id", "image_id", "path"))
        metadata = part["metadata"].struct.unnest() if "metadata" in part.columns else None
        images = Images(store.images, number, channels, black, white, scale)
        made[name] = Split(images, labels, groups, ids, files, None if masks is None else masks[number], metadata)
    lost = len(rows) - len(readable)
    notes = [*[task.caveat] * bool(task.caveat), *labelled.notes, *group_note(rows), *native.notes, *_remarks(index)]
    notes += [*value_notes, *[f"{lost} unreadable images left out"] * bool(lost), *leak_notes, *split_note(safe, *how)]
    notes += _lacking(task, labelled.findings, made, drawn=safe["split"].is_null().all())
    key = [task.name, task.classes, labelled.findings, store.images.shape[1], asdict(prepared), ends, channels]
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode())
    told = [name for name in ("image_id", "group_id", "label", "findings", "split", "pixels") if name in parts.columns]
    for row in parts.select(told).iter_rows():
        digest.update(("\t".join(map(str, row)) + "\n").encode())
    about = {"task": task, "size": store.images.shape[1], "identity": digest.hexdigest(), "notes": tuple(notes)}
    return {**about, **made, "findings": labelled.findings, "scale": scale, "native": native}


def _remarks(index: pl.DataFrame) -> list[str]:
    """What was decided about single images, with how many there are."""
    if "remarks" not in index.columns:
        return []
    told = index.select("image_id", "remarks").explode("remarks").drop_nulls()
    groups = told.group_by("remarks", maintain_order=True).agg(pl.len(), pl.col("image_id").first()).sort("remarks")
    return [f"{count} images {remark}, first {first}" for remark, count, first in groups.iter_rows()]


def _lacking(task: Task, findings: tuple[str, ...], made: dict[str, Split], drawn: bool) -> list[str]:
    """Splits that have no image, and classes that have none in a split.

    Raises:
        InputError: the test split is empty, or one that we were to draw.
    """
    notes = []
    for name, part in made.items():
        if not len(part) and (name == "test" or drawn):
            remedy = "more images or groups are needed, or test_only=True if all images are the test set"
            raise InputError(f"{task.name}: the {name} split is empty; {remedy}")
        lacking = [repr(label) for number, label in enumerate(task.classes) if not (part.labels == number).any()]
        if not len(part):
            notes.append(f"there are no {name} images")
        elif findings:
            for finding, labels in zip(findings, part.labels.T, strict=True):
                absent = [word for state, word in enumerate(task.classes) if not (labels == state).any()]
                notes += [f"{finding} is {word} in no {name} image" for word in absent]
        elif lacking:
            notes.append(f"class {', '.join(lacking)} has no {name} image")
    return notes
