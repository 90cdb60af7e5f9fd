"""The leak check: what it finds, what it makes of it, and the pairs known to be in the real sets."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from palpate.core.errors import InputError
from palpate.data.leaks import check, hash_images, resolve
from palpate.data.readers import ham10000, idrid


def manifest(rows: Sequence[tuple[str, str, int, str | None]]) -> pl.DataFrame:
    return pl.DataFrame(
        rows, schema={"image_id": pl.String, "group_id": pl.String, "label": pl.Int32, "split": pl.String}, orient="row"
    )


def test_check_finds_each_kind() -> None:
    table = manifest(
        [
            ("a", "g1", 0, "train"), ("b", "g1", 0, "test"),
            ("c", "g2", 0, "train"), ("d", "g3", 0, "val"),
            ("e", "g4", 0, "train"), ("f", "g5", 1, "train"),
            ("g", "g6", 1, "test"), ("h", "g6", 1, "test"), ("i", "g7", 1, "test"),
        ]
    )  # fmt: skip
    leaks = check(table, ["1", "2", "3", "3", "4", "4", "5", "5", None])
    assert [(leak.kind, leak.images) for leak in leaks] == [
        ("group", ("a", "b")), ("identical", ("c", "d")), ("conflict", ("e", "f")), ("repeat", ("g", "h"))
    ]  # fmt: skip
    assert leaks[0].detail == "group g1 is in train and test"
    assert check(table[6:], ["5", "6", None]) == []


def test_check_of_a_manifest_with_other_columns_names_them() -> None:
    with pytest.raises(InputError, match="column 'group_id', 'split' is missing; found 'image_id', 'label'"):
        check(pl.DataFrame({"image_id": ["a"], "label": [0]}), ["1"])
    with pytest.raises(InputError, match="'path' is missing"):
        check(manifest([("a", "g", 0, None)]))
    with pytest.raises(InputError, match=r"one hash per row is needed \(1\), got 2"):
        check(manifest([("a", "g", 0, None)]), ["1", "2"])


def test_a_twin_is_dropped_from_the_earlier_official_split() -> None:
    table = manifest([("a", "1", 0, "train"), ("b", "2", 1, "val"), ("c", "3", 0, "test"), ("d", "4", 0, "train")])
    safe, notes = resolve(table, ["x", "x", "x", "y"])
    assert safe["image_id"].to_list() == ["c", "d"]
    assert notes == ["2 dropped: the identical picture is in a later official split: a, b"]


def test_twins_that_stay_share_a_group_through_chains() -> None:
    rows = [("a", "1", 0, None), ("b", "2", 0, None), ("c", "2", 0, None), ("d", "3", 0, None), ("e", "4", 0, None)]
    safe, notes = resolve(manifest(rows), ["x", "x", "y", "y", None])  # 1 = 2 by x, 2 = 3 by y
    assert safe["group_id"].to_list() == ["1", "1", "1", "1", "4"]
    assert notes == ["2 joined to another group: they share an identical picture: 2, 3"]


def test_contradictions_are_kept_and_said_or_dropped_and_said() -> None:
    rows = [("a", "1", 0, None), ("b", "2", 1, None), ("c", "3", 1, None), ("d", "4", 1, None), ("e", "5", 1, None)]
    pixels: list[str | None] = ["x", "x", "y", "y", "y"]
    safe, notes = resolve(manifest(rows), pixels)
    assert safe["group_id"].to_list() == ["1", "1", "3", "3", "3"]
    assert notes[0] == "2 kept: identical pictures with different published labels: a, b"
    safe, notes = resolve(manifest(rows), pixels, deduplicate=True)
    assert safe["image_id"].to_list() == ["c"]
    assert notes == [
        "2 dropped: identical pictures with different published labels: a, b",
        "2 dropped: the identical picture is kept already: d, e",
    ]


def test_the_published_label_decides_what_is_a_contradiction() -> None:
    table = manifest([("a", "1", 1, None), ("b", "2", 1, None)]).with_columns(pl.Series("published", ["3", "4"]))
    assert check(table, ["x", "x"])[0].kind == "conflict"
    assert len(resolve(table, ["x", "x"], deduplicate=True)[0]) == 0


def test_a_clean_manifest_is_returned_unchanged() -> None:
    table = manifest([("a", "1", 0, "train"), ("b", "2", 1, "test")])
    safe, notes = resolve(table, ["x", None])
    assert safe.equals(table)
    assert notes == []


def test_the_known_pairs_of_real_idrid(real_data: Path) -> None:
    leaks = check(idrid.read(real_data / "idrid"))
    assert not [leak for leak in leaks if leak.kind == "group"]
    crossing = [leak.images for leak in leaks if leak.kind == "identical"]
    assert crossing == [("train/IDRiD_118", "test/IDRiD_064")]
    inside = {tuple(int(i[-3:]) for i in leak.images) for leak in leaks if leak.kind in ("repeat", "conflict")}
    assert inside == {(45, 333), (79, 279), (21, 391), (73, 375), (28, 327)}
    assert sorted(leak.images for leak in leaks if leak.kind == "conflict") == [
        ("train/IDRiD_021", "train/IDRiD_391"),  # grades 1 and 2
        ("train/IDRiD_028", "train/IDRiD_327"),  # grades 4 and 3
    ]


def test_the_two_pairs_of_real_ham10000_lie_inside_lesions(real_data: Path) -> None:
    manifest = ham10000.read(real_data / "ham10000")
    pixels = hash_images(manifest)
    leaks = check(manifest, pixels)
    assert [leak.kind for leak in leaks] == ["repeat", "repeat"]
    lesion = dict(manifest.select("image_id", "group_id").iter_rows())
    assert all(len({lesion[i] for i in leak.images}) == 1 for leak in leaks)
    assert resolve(manifest, pixels)[1] == []
