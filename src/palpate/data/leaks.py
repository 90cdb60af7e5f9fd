"""The leak check any manifest passes through: groups, and pixel-identical images found by hash, on two sides of a split.

Publishers' own splits leak (IDRiD's test 064 is its train 118, with another grade), and a leaked test image measures
memory instead of generalisation. `check` finds, `resolve` makes safe and says what it did.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import polars as pl

from palpate.core.errors import InputError
from palpate.data.decode import Unreadable, decode, pixel_hash

ORDER = {"train": 0, "val": 1, "test": 2}
NEEDED = ("image_id", "group_id", "label", "split")


@dataclass(frozen=True)
class Leak:
    """One finding.

    Attributes:
        kind: "group" in two splits; "identical" pictures in two splits; "conflict", identical pictures with different
            published labels; "repeat", identical pictures otherwise.
        images: the image_ids concerned.
        detail: one sentence.
    """

    kind: Literal["group", "identical", "conflict", "repeat"]
    images: tuple[str, ...]
    detail: str


def hash_images(manifest: pl.DataFrame, grey: bool = False) -> list[str | None]:
    """The pixel hash of every file of a manifest, None where it cannot be read; nothing is stored.

    For npz members take the hashes from the store's index instead.
    """

    def one(path: str) -> str | None:
        try:
            return pixel_hash(decode(path, grey))
        except Unreadable:
            return None

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(one, manifest["path"]))


def check(manifest: pl.DataFrame, pixels: list[str | None] | None = None) -> list[Leak]:
    """Everything in a manifest that would make a test measure memory.

    Args:
        manifest: image_id, group_id, label, split, and path where `pixels` is None; `published` is used if there.
        pixels: one hash per row, None where unknown.

    Returns:
        Findings, groups first; empty for a clean manifest.

    Raises:
        InputError: a column is missing, or `pixels` has another length.
    """
    _require(manifest, NEEDED if pixels is not None else (*NEEDED, "path"))
    found: list[Leak] = []
    assigned = manifest.filter(pl.col("split").is_not_null())
    crossing = assigned.filter(pl.col("split").n_unique().over("group_id") > 1)
    for rows in crossing.partition_by("group_id", maintain_order=True):
        splits = " and ".join(rows["split"].unique(maintain_order=True))
        found.append(Leak("group", tuple(rows["image_id"]), f"group {rows['group_id'][0]} is in {splits}"))
    for rows in twins(manifest, hash_images(manifest) if pixels is None else pixels):
        found.append(_judge(rows))
    return found


def twins(manifest: pl.DataFrame, pixels: list[str | None]) -> list[pl.DataFrame]:
    """The sets of identical images: rows of the manifest sharing a hash, two or more each, in the manifest's order."""
    if len(pixels) != len(manifest):
        raise InputError(f"pixels: one hash per row is needed ({len(manifest)}), got {len(pixels)}")
    hashed = manifest.with_columns(pl.Series("pixels", pixels, dtype=pl.String)).filter(pl.col("pixels").is_not_null())
    double = hashed.filter(pl.col("pixels").is_duplicated())
    return double.partition_by("pixels", maintain_order=True, include_key=False)


def resolve(
    manifest: pl.DataFrame, pixels: list[str | None], deduplicate: bool = False
) -> tuple[pl.DataFrame, list[str]]:
    """Make a manifest safe to split: identical images are never in two official splits, and share a group.

    A twin across official splits is dropped from train for val or test, and from val for test. With `deduplicate`, of
    identical images with one published label the first is kept, and those with several are all dropped. What remains
    of a set of twins is put into one group, so that our own split cannot part it.

    Args:
        manifest: as for `check`.
        pixels: one hash per row, None where unknown.

    Returns:
        The manifest, and sentences that say what was done (none where nothing was).
    """
    _require(manifest, NEEDED)
    crossing: list[str] = []
    conflicting: list[str] = []
    repeated: list[str] = []
    joined: dict[str, str] = {}

    def root(group: str) -> str:
        while group in joined:
            group = joined[group]
        return group

    for rows in twins(manifest, pixels):
        last = max((s for s in rows["split"] if s is not None), key=ORDER.__getitem__, default=None)
        if last is not None:
            crossing += rows.filter(pl.col("split").ne_missing(last))["image_id"].to_list()
            rows = rows.filter(pl.col("split").eq_missing(last))
        if rows[_label(rows)].n_unique() > 1:
            conflicting += rows["image_id"].to_list()
            if deduplicate:
                continue
        elif deduplicate:
            repeated += rows["image_id"].to_list()[1:]
            rows = rows[:1]
        first, *others = rows["group_id"]
        for group in others:
            if root(group) != root(first):
                joined[root(group)] = root(first)
    notes = [
        _note(crossing, "dropped: the identical picture is in a later official split"),
        _note(
            conflicting, f"{'dropped' if deduplicate else 'kept'}: identical pictures with different published labels"
        ),
        _note(repeated, "dropped: the identical picture is kept already"),
        _note(sorted(joined), "joined to another group: they share an identical picture"),
    ]
    gone = {*crossing, *repeated, *(conflicting if deduplicate else ())}
    manifest = manifest.filter(~pl.col("image_id").is_in(list(gone)))
    groups = [root(group) for group in manifest["group_id"]]
    return manifest.with_columns(pl.Series("group_id", groups, dtype=pl.String)), [note for note in notes if note]


def _judge(rows: pl.DataFrame) -> Leak:
    images = tuple(rows["image_id"])
    column = _label(rows)
    labels = ", ".join(f"{i} {label}" for i, label in rows.select("image_id", column).iter_rows())
    if rows["split"].drop_nulls().n_unique() > 1:
        return Leak("identical", images, f"identical pictures in two splits (labels: {labels})")
    if rows[column].n_unique() > 1:
        return Leak("conflict", images, f"identical pictures with different labels: {labels}")
    return Leak("repeat", images, f"identical pictures: {', '.join(images)}")


def _label(rows: pl.DataFrame) -> str:
    return "published" if "published" in rows.columns else "label"


def _require(manifest: pl.DataFrame, columns: tuple[str, ...]) -> None:
    missing = [name for name in columns if name not in manifest.columns]
    if missing:
        raise InputError(
            f"manifest: column {', '.join(map(repr, missing))} is missing; found {', '.join(map(repr, manifest.columns))}"
        )


def _note(names: list[str], what: str) -> str:
    shown = ", ".join(names[:10]) + (" …" if len(names) > 10 else "")
    return f"{len(names)} {what}: {shown}" if names else ""
