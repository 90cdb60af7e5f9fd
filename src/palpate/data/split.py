"""Train, validation and test, disjoint by group, the same on every platform.

Order comes from SHA-256 of seed and name instead of a random generator: it depends on no library's stream and not on
the order of the publisher's table.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping

import polars as pl

from palpate.core.errors import InputError
from palpate.core.grouping import grouped

SPLITS = ("train", "val", "test")


def shuffle_key(seed: int, name: str) -> bytes:
    """A pseudo-random sorting key of `name`, fixed by `seed`."""
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()


FRACTIONS = (0.7, 0.15, 0.15)
"""Shares of train, val and test where no split is stated."""

_NAMES = {"train": "training", "val": "valid validation dev development", "test": "testing"}


def split_name(text: str) -> str | None:
    """Which split a folder or a table means, None where it is none.

    >>> split_name("Training"), split_name("dev"), split_name("melanoma")
    ('train', 'val', None)
    """
    return next((name for name, others in _NAMES.items() if text.casefold() in (name, *others.split())), None)


def check_fractions(fractions: tuple[float, float, float]) -> tuple[float, float, float]:
    """The fractions, or InputError where they are no shares of train, val and test."""
    if len(fractions) != 3 or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6 or fractions[0] == 0:
        raise InputError(f"three shares of train, val and test that sum to 1 are needed, given {fractions}")
    return fractions


def split(
    manifest: pl.DataFrame, seed: int, fractions: tuple[float, float, float] = FRACTIONS, stratify: bool = True
) -> pl.DataFrame:
    """Give every image a split: stated ones are kept, the rest is drawn by group and, unless told otherwise, stratified by label.

    Without stated splits all three are drawn. With a stated train and test, `val` is drawn from train, in the
    proportion of `fractions`. A group's stratum is the rarest label in it.

    Args:
        manifest: `palpate.data.manifest.MANIFEST`.
        fractions: of train, val and test, summing to 1 (`check_fractions`).

    Returns:
        The manifest with no null in `split`, in the same order.

    Raises:
        InputError: a group is in two official splits, or only some images have one.
    """
    check_disjoint(manifest)
    stated = set(manifest["split"].unique())
    if stated - {None, *SPLITS}:
        raise InputError(f"manifest: split must be train, val, test or null, given {sorted(map(str, stated))}")
    if stated == {None}:
        return _draw(manifest, seed, dict(zip(SPLITS, fractions, strict=True)), stratify)
    if None in stated:
        without = manifest.filter(pl.col("split").is_null())["image_id"]
        remedy = "give all or none"
        raise InputError(f"manifest: {len(without)} images have no official split, first {without[0]}; {remedy}")
    if "val" in stated or "train" not in stated:
        return manifest
    share = fractions[1] / (fractions[0] + fractions[1])
    drawn = _draw(manifest.filter(split="train"), seed, {"train": 1 - share, "val": share}, stratify)
    return manifest.update(drawn.select("image_id", "split"), on="image_id")


def split_note(
    manifest: pl.DataFrame, seed: int, fractions: tuple[float, float, float] = FRACTIONS, stratify: bool = True
) -> list[str]:
    """What to say of a split, or of validation images, that `split` draws because nobody stated them."""
    stated = set(manifest["split"].drop_nulls())
    if "val" in stated or (stated and "train" not in stated):
        return []
    if stated:
        return [f"validation images were drawn from the training images by group, seed {seed}"]
    shares = ", ".join(f"{share:.0%} {name}" for name, share in zip(SPLITS, fractions, strict=True))
    how = ", in the classes' proportions" if stratify else ""
    return [f"the split was drawn by group{how}: {shares}, seed {seed}"]


def check_disjoint(manifest: pl.DataFrame) -> None:
    """Raise InputError, naming the first groups, where a group is in two splits."""
    groups = manifest.filter(pl.col("split").is_not_null()).group_by("group_id", maintain_order=True)
    spread = groups.agg(pl.col("split").unique().sort()).filter(pl.col("split").list.len() > 1)
    if not spread.is_empty():
        first = "; ".join(f"{group} in {' and '.join(splits)}" for group, splits in spread.head(5).iter_rows())
        fault = f"{len(spread)} groups (patients or lesions) are in two splits: {first}"
        raise InputError(f"manifest: {fault}. Correct the split lists, or remove them to split by group")


def take(manifest: pl.DataFrame, limits: Mapping[str, int | None], seed: int) -> pl.DataFrame:
    """At most so many images of each split, by seed, in the split's class proportions (largest remainder).

    Every class present keeps at least one image where the limit allows. A larger limit keeps all images of a smaller
    one up to rounding. The result is ordered by split and, inside it, shuffled by seed: the first n images of a split
    are a fair sample of it, although publishers sort their tables by diagnosis.

    Args:
        limits: 1 or more for each split; None, or no entry, for all images.
    """
    parts = []
    for name in SPLITS:
        rows = manifest.filter(pl.col("split") == name)
        limit = limits.get(name)
        keys = [shuffle_key(seed, image_id) for image_id in rows["image_id"]]
        rows = rows[sorted(range(len(rows)), key=keys.__getitem__)]
        if limit is not None and limit < len(rows):
            counts = dict(sorted(rows["label"].value_counts().iter_rows()))
            quota = quotas(counts, limit)
            rank = pl.int_range(pl.len()).over("label")
            rows = rows.filter(rank < pl.col("label").replace_strict(quota, return_dtype=pl.Int64))
        parts.append(rows)
    return pl.concat(parts)


def quotas(counts: dict[int, int], limit: int) -> dict[int, int]:
    """Share `limit` among classes in proportion to `counts`, at least 1 each where possible, never above a count.

    >>> quotas({0: 80, 1: 19, 2: 1}, 10)
    {0: 8, 1: 1, 2: 1}
    """
    total = sum(counts.values())
    floor = 1 if limit >= len(counts) else 0
    exact = {label: limit * n / total for label, n in counts.items()}
    quota = {label: max(floor, int(exact[label])) for label in counts}
    while (spare := limit - sum(quota.values())) != 0:
        step = 1 if spare > 0 else -1
        able = [k for k in counts if (quota[k] < counts[k] if step > 0 else quota[k] > floor)]
        quota[max(able, key=lambda k: (step * (exact[k] - quota[k]), -k))] += step
    return quota


def _draw(manifest: pl.DataFrame, seed: int, shares: dict[str, float], stratify: bool) -> pl.DataFrame:
    """Deal groups, in hashed order inside each stratum, to the split that lacks most images of its share."""
    frequency = Counter(manifest["label"])
    labels: dict[str, list[int]] = grouped(manifest.select("group_id", "label").iter_rows())
    rarest = {group: min(found, key=lambda label: (frequency[label], label)) for group, found in labels.items()}
    strata = grouped((rarest[group] if stratify else 0, group) for group in labels)
    where: dict[str, str] = {}
    for groups in strata.values():
        total = sum(len(labels[group]) for group in groups)
        lacking = {name: share * total for name, share in shares.items()}
        for group in sorted(groups, key=lambda group: shuffle_key(seed, group)):
            where[group] = max(lacking, key=lambda name: (lacking[name], name == "train", name == "test"))
            lacking[where[group]] -= len(labels[group])
    return manifest.with_columns(pl.Series("split", [where[group] for group in manifest["group_id"]], dtype=pl.String))
