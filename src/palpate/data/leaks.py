"""Pixel-identical images, found by hash: none may be on both sides of a split, and contradictions teach nothing.

Publishers' own splits leak (IDRiD's test 064 is train 118, with another grade), and a leaked test image measures memory.
"""

import polars as pl

ORDER = {"train": 0, "val": 1, "test": 2}


def twins(manifest: pl.DataFrame, pixels: list[str | None]) -> list[pl.DataFrame]:
    """The sets of identical images: rows of the manifest that share a hash, two or more each, in the manifest's order."""
    hashed = manifest.with_columns(pl.Series("pixels", pixels, dtype=pl.String)).filter(pl.col("pixels").is_not_null())
    double = hashed.filter(pl.col("pixels").is_duplicated())
    return double.partition_by("pixels", maintain_order=True, include_key=False)


def resolve(
    manifest: pl.DataFrame, pixels: list[str | None], deduplicate: bool = False
) -> tuple[pl.DataFrame, list[str]]:
    """Make a manifest safe to split: no identical images in two official splits, and identical images in one group.

    - A twin across official splits is dropped from train for val or test, and from val for test.
    - Outside official val and test sets, identical images with different labels are dropped, all of them.
    - With `deduplicate`, of identical images that agree the first is kept.
    - Twins that remain are put in one group.

    Returns:
        The manifest, and sentences that say what was done (none where nothing was).
    """
    crossing: list[str] = []
    conflicting: list[str] = []
    repeated: list[str] = []
    joined: dict[str, str] = {}

    def root(group: str) -> str:
        while group in joined:
            group = joined[group]
        return group

    for rows in twins(manifest, pixels):
        kept = list(rows.select("image_id", "group_id", "label", "split").iter_rows())
        splits = {split for *_, split in kept if split is not None}
        last = max(splits, key=ORDER.__getitem__, default=None)
        if len(splits) > 1:
            crossing += [image_id for image_id, _, _, split in kept if split != last]
            kept = [row for row in kept if row[3] == last]
        if last in (None, "train") and len({label for _, _, label, _ in kept}) > 1:
            conflicting += [row[0] for row in kept]
            continue
        if deduplicate:
            repeated += [row[0] for row in kept[1:]]
            kept = kept[:1]
        for _, group, _, _ in kept[1:]:
            if root(group) != root(kept[0][1]):
                joined[root(group)] = root(kept[0][1])
    notes = [
        _note(crossing, "dropped because the identical picture is in a later official split"),
        _note(conflicting, "dropped because identical pictures carry different labels"),
        _note(repeated, "dropped because the identical picture is kept already"),
        _note(sorted(joined), "groups joined to another because they share an identical picture", "group"),
    ]
    gone = {*crossing, *conflicting, *repeated}
    manifest = manifest.filter(~pl.col("image_id").is_in(list(gone)))
    groups = [root(group) for group in manifest["group_id"]]
    return manifest.with_columns(pl.Series("group_id", groups, dtype=pl.String)), [note for note in notes if note]


def _note(names: list[str], what: str, unit: str = "image") -> str:
    if not names:
        return ""
    shown = ", ".join(names[:10]) + (" …" if len(names) > 10 else "")
    subject = f"{len(names)} image{'s' if len(names) > 1 else ''} " if unit == "image" else f"{len(names)} "
    return f"{subject}{what}: {shown}"
