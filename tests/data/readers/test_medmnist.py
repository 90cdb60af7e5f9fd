"""MedMNIST: one npz per set and size, read without the package."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from palpate.core.errors import InputError
from palpate.data.readers import medmnist
from palpate.data.split import SPLITS

LABELS = {"train": [0, 1, 1], "val": [1, 0], "test": [0]}


def test_reads_the_official_splits(tmp_path: Path, publish: SimpleNamespace) -> None:
    manifest = medmnist.read(publish.medmnist(tmp_path, "pneumoniamnist.npz", LABELS), "pneumoniamnist")
    assert manifest["label"].to_list() == [0, 1, 1, 1, 0, 0]
    assert manifest["split"].to_list() == ["train"] * 3 + ["val"] * 2 + ["test"]
    assert manifest["image_id"][4] == "val/000001"
    assert manifest["path"][4].endswith("pneumoniamnist.npz#val_images#1")


def test_of_a_multi_label_set_one_finding_is_the_label(tmp_path: Path, publish: SimpleNamespace) -> None:
    only_pneumothorax = [int(i == 7) for i in range(14)]
    all_but = [1 - bit for bit in only_pneumothorax]
    labels = {split: [only_pneumothorax, all_but] for split in SPLITS}
    manifest = medmnist.read(publish.medmnist(tmp_path, "chestmnist_64.npz", labels), "chestmnist", 64)
    assert manifest["label"].to_list() == [1, 0] * 3


def test_the_table_of_sets_is_sound() -> None:
    sums = [md5 for spec in medmnist.SETS.values() for md5 in spec["md5"]]
    assert len(set(sums)) == 12 * len(medmnist.SIZES)
    assert all(len(md5) == 32 and int(md5, 16) >= 0 for md5 in sums)
    assert (
        sum(spec["images"] for spec in medmnist.SETS.values()) == 708_069 - 107
    )  # version 3 lacks 107 CT slices of version 2


def test_what_is_wrong_with_a_file_is_named(tmp_path: Path, publish: SimpleNamespace) -> None:
    with pytest.raises(InputError, match=r"breastmnist.npz: is missing"):
        medmnist.read(tmp_path, "breastmnist")
    folder = publish.medmnist(tmp_path, "breastmnist.npz", LABELS)
    path = folder / "breastmnist.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="damaged or no npz"):
        medmnist.read(folder, "breastmnist")
    arrays = {
        f"{split}_{kind}": np.zeros((2, 28, 28) if kind == "images" else (2, 1), np.uint8)
        for split in ("train", "val")
        for kind in ("images", "labels")
    }
    np.savez(path, **arrays)  # pyright: ignore[reportArgumentType]
    with pytest.raises(
        InputError, match=r"needs train_images, val_images and test_images; download https://.*breastmnist.npz again"
    ):
        medmnist.read(folder, "breastmnist")
    publish.medmnist(tmp_path, "breastmnist.npz", LABELS | {"val": [0, 7]})
    with pytest.raises(InputError, match=r"1 labels outside 0, 1: image 4 \('7'\)"):
        medmnist.read(folder, "breastmnist")
    publish.medmnist(tmp_path, "breastmnist.npz", LABELS | {"val": [[0, 1], [1, 1]]})
    with pytest.raises(InputError, match=r"breastmnist.npz: its labels differ in shape \(.* dimension 1"):
        medmnist.read(folder, "breastmnist")
    publish.medmnist(tmp_path, "chestmnist.npz", LABELS)
    with pytest.raises(InputError, match=r"chestmnist.npz: labels must have shape \(N,\)"):
        medmnist.read(folder, "chestmnist")


def test_a_pickle_inside_is_refused(tmp_path: Path) -> None:
    arrays = {f"{split}_{kind}": np.array([{}], object) for split in SPLITS for kind in ("images", "labels")}
    np.savez(tmp_path / "breastmnist.npz", **arrays)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="damaged or no npz"):
        medmnist.read(tmp_path, "breastmnist")


def test_real_pneumoniamnist_has_the_official_counts(real_data: Path) -> None:
    manifest = medmnist.read(real_data / "medmnist", "pneumoniamnist")
    assert dict(manifest["split"].value_counts().iter_rows()) == {"train": 4708, "val": 524, "test": 624}
