"""The split: disjoint by group, near its shares, the same everywhere; subsets that keep the proportions."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palpate.core.errors import InputError
from palpate.data.manifest import MANIFEST
from palpate.data.options import ImageOptions
from palpate.data.readers import ham10000
from palpate.data.split import SPLITS, check_disjoint, check_fractions, quotas, split, take


def manifest(groups: list[str], labels: list[int], splits: Sequence[str | None] | None = None) -> pl.DataFrame:
    count = len(groups)
    columns = {
        "image_id": [f"i{i}" for i in range(count)],
        "path": [f"/i{i}.png" for i in range(count)],
        "group_id": groups,
        "label": labels,
        "published": [str(label) for label in labels],
        "split": splits or [None] * count,
    }
    return pl.DataFrame(columns, schema=MANIFEST)


def where(table: pl.DataFrame) -> dict[str, str]:
    return dict(table.select("image_id", "split").iter_rows())


PEOPLE = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 2)), min_size=1, max_size=120)


@settings(max_examples=100, deadline=None)
@given(PEOPLE, st.integers(0, 5), st.randoms())
def test_disjoint_complete_and_independent_of_the_tables_order(people, seed, random) -> None:
    table = manifest([f"g{g}" for g, _ in people], [label for _, label in people])
    result = split(table, seed)
    assert result["image_id"].equals(table["image_id"])
    assert set(result["split"]) <= set(SPLITS)
    assert result.group_by("group_id").agg(pl.col("split").n_unique())["split"].max() == 1
    order = list(range(len(table)))
    random.shuffle(order)
    assert where(split(table[order], seed)) == where(result)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(30, 200), min_size=2, max_size=5), st.integers(0, 3))
def test_every_class_is_dealt_in_the_shares_wanted(counts, seed) -> None:
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    result = split(manifest([f"g{i}" for i in range(len(labels))], labels), seed)
    for label, count in enumerate(counts):
        of_class = result.filter(pl.col("label") == label)["split"]
        for name, share in zip(SPLITS, (0.7, 0.15, 0.15), strict=True):
            assert abs((of_class == name).sum() - share * count) <= 1


def test_the_split_is_this_one_on_every_platform() -> None:
    result = split(manifest([f"g{i // 2}" for i in range(20)], [i // 2 % 2 for i in range(20)]), seed=0)
    assert "".join(name[1] for name in result["split"][::2]) == "rraaeerrrr"  # tRain, vAl, tEst
    other = split(manifest([f"g{i // 2}" for i in range(20)], [i // 2 % 2 for i in range(20)]), seed=1)
    assert not other["split"].equals(result["split"])


def test_a_group_of_several_labels_counts_as_its_rarest() -> None:
    groups = [f"p{i}" for i in range(20) for _ in range(5)]
    labels = [int(i < 10 and j == 0) for i in range(20) for j in range(5)]  # 10 patients with one positive image each
    result = split(manifest(groups, labels), seed=3)
    positives = result.filter(pl.col("label") == 1)["split"]
    assert {name: (positives == name).sum() for name in SPLITS} in (
        {"train": 7, "val": 1, "test": 2},
        {"train": 7, "val": 2, "test": 1},
    )


def test_official_splits_are_kept_and_val_is_drawn_from_train() -> None:
    official = ["train"] * 170 + ["test"] * 30
    table = manifest([f"g{i // 2}" for i in range(200)], [i // 2 % 2 for i in range(200)], official)
    result = split(table, seed=0)
    assert result["split"][170:].to_list() == ["test"] * 30
    assert (result["split"] == "val").sum() == pytest.approx(170 * 0.15 / 0.85, abs=2)
    complete = manifest(["a", "b", "c"], [0, 0, 0], ["train", "val", "test"])
    assert split(complete, seed=0).equals(complete)


def test_a_group_in_two_splits_is_named() -> None:
    table = manifest(["a", "b", "b"], [0, 0, 1], ["train", "train", "test"])
    for function in (check_disjoint, lambda m: split(m, 0)):
        with pytest.raises(InputError, match=r"1 groups .* in two splits: b in test and train"):
            function(table)


@pytest.mark.parametrize(
    ("splits", "message"),
    [(["train", None], "1 images have no official split, first i1"), (["train", "dev"], "train, val, test or null")],
)
def test_unusable_official_splits(splits, message) -> None:
    with pytest.raises(InputError, match=message):
        split(manifest(["a", "b"], [0, 0], splits), 0)


@pytest.mark.parametrize("fractions", [(0.5, 0.5, 0.5), (0, 0.5, 0.5), (1.2, -0.1, -0.1), (0.5, 0.5)])
def test_unusable_fractions(fractions) -> None:
    with pytest.raises(InputError, match="three shares of train, val and test"):
        check_fractions(fractions)
    with pytest.raises(InputError, match="fractions"):
        ImageOptions.read({"fractions": fractions}, "options")


@given(st.dictionaries(st.integers(0, 9), st.integers(1, 50), min_size=1), st.integers(1, 200))
def test_quotas_add_up_and_stay_near_proportion(counts, limit) -> None:
    limit = min(limit, sum(counts.values()))
    shares = quotas(counts, limit)
    assert sum(shares.values()) == limit
    for label, count in counts.items():
        assert 0 <= shares[label] <= count
        if limit >= len(counts):
            assert shares[label] >= 1
        exact = limit * count / sum(counts.values())
        if all(limit * c >= sum(counts.values()) for c in counts.values()):  # nobody is lifted to 1
            assert abs(shares[label] - exact) < 1


def test_subsets_keep_proportions_are_nested_and_shuffled() -> None:
    labels = [0] * 160 + [1] * 40
    table = split(manifest([f"g{i}" for i in range(200)], labels), seed=0)
    small, large = (take(table, {"train": n}, seed=5).filter(split="train") for n in (20, 60))
    assert small["label"].value_counts().sort("label")["count"].to_list() == [16, 4]
    assert set(small["image_id"]) <= set(large["image_id"])
    everything = take(table, {}, seed=5)
    assert len(everything) == 200
    assert np.flatnonzero(everything.filter(split="train")["label"].to_numpy())[0] < 15  # not sorted by class
    assert not take(table, {"train": 20}, seed=6).filter(split="train")["image_id"].equals(small["image_id"])


def test_real_lesions_are_in_one_split_and_classes_in_their_shares(real_data: Path) -> None:
    result = split(ham10000.read(real_data / "ham10000"), seed=0)
    assert result.group_by("group_id").agg(pl.col("split").n_unique())["split"].max() == 1
    for _, rows in result.group_by("label"):
        for name, share in zip(SPLITS, (0.7, 0.15, 0.15), strict=True):
            assert (rows["split"] == name).mean() == pytest.approx(share, abs=0.03)
