"""The leak check that every manifest passes through: pixel-identical images, found by hash, on two sides of a split.

Publishers' own splits leak (IDRiD's test 064 is its train 118, with another grade), and a leaked test image measures
memory instead of generalisation. `resolve` makes safe and says what it did.
"""

import polars as pl

ORDER = {"train": 0, "val": 1, "test": 2}


def twins(manifest: pl.DataFrame) -> list[pl.DataFrame]:
    """The sets of identical images: rows of the manifest sharing a hash, two or more each, in the manifest's order."""
    double = manifest.filter(pl.col("pixels").is_not_null() & pl.col("pixels").is_duplicated())
    return double.partition_by("pixels", maintain_order=True)


def resolve(manifest: pl.DataFrame, deduplicate: bool = False) -> tuple[pl.DataFrame, list[str]]:
    """Make a manifest safe to split: identical images are never in two official splits, and share a group.

    A twin across official splits is dropped from train for val or test, and from val for test. With `deduplicate`, of
    identical images with one published label the first is kept, and those with several are all dropped. What remains
    of a set of twins is put into one group, so that our own split cannot part it.

    Args:
        manifest: image_id, group_id, published, split, and pixels: a hash, null where unknown.

    Returns:
        The manifest, and sentences that say what was done (none where nothing was).
    """
    crossing, conflicting, repeated = [], [], []
    joined: dict[str, str] = {}

    def root(group: str) -> str:
        while group in joined:
            group = joined[group]
        return group

    for rows in twins(manifest):
        last = max((s for s in rows["split"] if s is not None), key=ORDER.__getitem__, default=None)
        if last is not None:
            crossing += rows.filter(pl.col("split").ne_missing(last))["image_id"].to_list()
            rows = rows.filter(pl.col("split").eq_missing(last))
        if rows["published"].n_unique() > 1:
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
    done = "dropped" if deduplicate else "kept"
    notes = {
        "dropped: the identical picture is in a later official split": crossing,
        f"{done}: identical pictures with different published labels": conflicting,
        "dropped: the identical picture is kept already": repeated,
        "joined to another group: they share an identical picture": sorted(joined),
    }
    gone = {*crossing, *repeated, *(conflicting if deduplicate else ())}
    manifest = manifest.filter(~pl.col("image_id").is_in(list(gone)))
    groups = [root(group) for group in manifest["group_id"]]
    shown = {what: ", ".join(names[:10]) + " …" * (len(names) > 10) for what, names in notes.items() if names}
    told = [f"{len(notes[what])} {what}: {names}" for what, names in shown.items()]
    return manifest.with_columns(pl.Series("group_id", groups, dtype=pl.String)), told
