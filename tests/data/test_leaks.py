"""The leak check: what it finds, what it makes of it, and the pairs known to be in the real sets."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from palpate.data.decode import decode, pixel_hash
from palpate.data.leaks import resolve, twins
from palpate.data.readers import idrid


def manifest(rows: Sequence[tuple[str, str, int, str | None]]) -> pl.DataFrame:
    schema = {"image_id": pl.String, "group_id": pl.String, "label": pl.Int32, "split": pl.String}
    table = pl.DataFrame(rows, schema=schema, orient="row")
    return table.with_columns(pl.col("label").cast(pl.String).alias("published"))


def hashed(table: pl.DataFrame, pixels: Sequence[str | None]) -> pl.DataFrame:
    return table.with_columns(pl.Series("pixels", pixels, dtype=pl.String))


def test_a_twin_is_dropped_from_the_earlier_official_split() -> None:
    table = manifest([("a", "1", 0, "train"), ("b", "2", 1, "val"), ("c", "3", 0, "test"), ("d", "4", 0, "train")])
    safe, notes = resolve(hashed(table, ["x", "x", "x", "y"]))
    assert safe["image_id"].to_list() == ["c", "d"]
    assert notes == ["2 dropped: the identical picture is in a later official split: a, b"]


def test_twins_that_stay_share_a_group_through_chains() -> None:
    rows = [("a", "1", 0, None), ("b", "2", 0, None), ("c", "2", 0, None), ("d", "3", 0, None), ("e", "4", 0, None)]
    safe, notes = resolve(hashed(manifest(rows), ["x", "x", "y", "y", None]))  # 1 = 2 by x, 2 = 3 by y
    assert safe["group_id"].to_list() == ["1", "1", "1", "1", "4"]
    assert notes == ["2 joined to another group: they share an identical picture: 2, 3"]


def test_contradictions_are_kept_and_said_or_dropped_and_said() -> None:
    rows = [("a", "1", 0, None), ("b", "2", 1, None), ("c", "3", 1, None), ("d", "4", 1, None), ("e", "5", 1, None)]
    pixels: list[str | None] = ["x", "x", "y", "y", "y"]
    safe, notes = resolve(hashed(manifest(rows), pixels))
    assert safe["group_id"].to_list() == ["1", "1", "3", "3", "3"]
    assert notes[0] == "2 kept: identical pictures with different published labels: a, b"
    safe, notes = resolve(hashed(manifest(rows), pixels), deduplicate=True)
    assert safe["image_id"].to_list() == ["c"]
    assert notes == [
        "2 dropped: identical pictures with different published labels: a, b",
        "2 dropped: the identical picture is kept already: d, e",
    ]


def test_the_published_label_decides_what_is_a_contradiction() -> None:
    table = manifest([("a", "1", 1, None), ("b", "2", 1, None)]).with_columns(pl.Series("published", ["3", "4"]))
    assert len(resolve(hashed(table, ["x", "x"]), deduplicate=True)[0]) == 0


def test_a_clean_manifest_is_returned_unchanged() -> None:
    table = hashed(manifest([("a", "1", 0, "train"), ("b", "2", 1, "test")]), ["x", None])
    safe, notes = resolve(table)
    assert safe.equals(table)
    assert notes == []


def test_the_known_pairs_of_real_idrid(real_data: Path) -> None:
    table = idrid.read(real_data / "idrid")
    pixels = [pixel_hash(decode(path)) for path in table["path"]]
    pairs = [rows.select("image_id", "split", "published").rows() for rows in twins(hashed(table, pixels))]
    crossing = [pair for pair in pairs if len({split for _, split, _ in pair}) == 2]
    assert [[name for name, *_ in pair] for pair in crossing] == [["train/IDRiD_118", "test/IDRiD_064"]]
    inside = {tuple(int(name[-3:]) for name, *_ in pair) for pair in pairs if pair not in crossing}
    assert inside == {(45, 333), (79, 279), (21, 391), (73, 375), (28, 327)}
    conflicts = sorted(pair[0][0] for pair in pairs if pair not in crossing and pair[0][2] != pair[1][2])
    assert conflicts == ["train/IDRiD_021", "train/IDRiD_028"]  # grades 1 and 2, 4 and 3
