"""`palpate.load`: the whole way from a publisher's folder to tensors."""

import re
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

import palpate
from palpate.core.errors import InputError
from palpate.data.dataset import Dataset, Split
from palpate.data.fill import UnreadableImages

LESIONS = {
    f"HAM_{dx}{i}": (dx, 1 + i % 3) for dx in ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc") for i in range(8)
}


@pytest.fixture
def ham(tmp_path: Path, publish: SimpleNamespace) -> Path:
    publish.ham(tmp_path, LESIONS)
    return tmp_path


def everything(dataset: Dataset) -> list[Split]:
    return [dataset.train, dataset.val, dataset.test]


def test_splits_hold_all_images_once_and_no_lesion_twice(ham: Path) -> None:
    dataset = palpate.load("ham10000", ham, size=16)
    ids = [i for split in everything(dataset) for i in split.ids]
    assert len(ids) == len(set(ids)) == sum(count for _, count in LESIONS.values())
    groups = [set(split.groups) for split in everything(dataset)]
    assert not groups[0] & groups[1]
    assert not (groups[0] | groups[1]) & groups[2]
    for split in everything(dataset):
        assert len(split) == len(split.labels) == len(split.groups) == len(split.ids) == len(split.images)
        assert [dataset.classes[label] for label in split.labels] == [
            group[4:].rstrip("0123456789") for group in split.groups
        ]
        assert split.masks is None


def test_images_come_by_slice_index_mask_and_tensor(ham: Path) -> None:
    images = palpate.load("ham10000", ham, size=16).train.images
    assert images.shape == (len(images), 3, 16, 16)
    part = images[2:7]
    assert part.dtype == torch.float32
    assert part.shape == (5, 3, 16, 16)
    assert 0 <= part.min() < part.max() <= 1
    chosen = np.array([6, 2, 4])
    for index in (chosen, chosen.tolist(), torch.from_numpy(chosen)):
        assert torch.equal(images[index], part[[4, 0, 2]])
    assert torch.equal(images[np.arange(len(images)) == 3], part[1:2])
    assert torch.equal(images[3], part[1])
    assert torch.equal(images[-1], images[len(images) - 1])
    assert images[5:5].shape == (0, 3, 16, 16)
    assert torch.equal(torch.stack(list(images)), images[:])
    part.zero_()  # a tensor of one's own: the store stays as it is
    assert images[2:7].max() > 0.5


def test_pixels_are_the_files_resized(ham: Path) -> None:
    dataset = palpate.load("ham10000", ham, size=16)
    path = next((ham / "ham10000").rglob(f"{dataset.val.ids[0]}.jpg"))
    image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)  # pyright: ignore[reportCallIssue,reportArgumentType]
    expected = cv2.resize(image, (16, 16), interpolation=cv2.INTER_AREA)
    assert np.array_equal((dataset.val.images[0] * 255).round().numpy().astype(np.uint8), np.moveaxis(expected, -1, 0))


def test_limits_keep_proportions_and_subsets_nest(ham: Path) -> None:
    whole = palpate.load("ham10000", ham, size=16)
    part = palpate.load("ham10000", ham, size=16, train_images=14, test_images=7)
    assert (len(part.train), len(part.val), len(part.test)) == (14, len(whole.val), 7)
    assert set(part.train.ids) <= set(whole.train.ids)
    assert len(set(part.train.labels)) == 7
    with pytest.raises(InputError, match=r"load: val_images: .* greater than or equal to 1, given 0"):
        palpate.load("ham10000", ham, val_images=0)


@pytest.mark.usefixtures("mirror")
def test_identity_follows_content_not_place(ham: Path, tmp_path: Path) -> None:
    dataset = palpate.load("ham10000", ham, size=16)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (ham / "ham10000").rename(moved / "ham10000")
    assert palpate.load("ham10000", moved, size=16).identity == dataset.identity
    others = [
        palpate.load("ham10000", moved, size=24),
        palpate.load("ham10000", moved, size=16, seed=1),
        palpate.load("ham10000", moved, size=16, train_images=20),
        palpate.load("ham10000", moved, size=16, filter="mirror"),
    ]
    csv = moved / "ham10000" / "HAM10000_metadata.csv"
    csv.write_text(csv.read_text().replace("HAM_nv0", "HAM_nv9"))  # the same pictures, another lesion
    others.append(palpate.load("ham10000", moved, size=16))
    path = next((moved / "ham10000").rglob("*.jpg"))
    cv2.imwrite(str(path), np.zeros((30, 40, 3), np.uint8))  # other pixels
    others.append(palpate.load("ham10000", moved, size=16))
    assert len({dataset.identity, *(other.identity for other in others)}) == 7


def test_identity_knows_the_groups(tmp_path: Path, publish: SimpleNamespace) -> None:
    rows = [(f"{i:08d}_000.png", "Pneumothorax" if i % 3 == 0 else "No Finding", str(i)) for i in range(40)]
    folder = publish.chest(tmp_path, rows)
    (folder / "train_val_list.txt").write_text("\n".join(row[0] for row in rows[:30]))
    (folder / "test_list.txt").write_text("\n".join(row[0] for row in rows[30:]))
    first = palpate.load("chestxray14", tmp_path, size=32)
    csv = folder / "Data_Entry_2017_v2020.csv"
    csv.write_text(csv.read_text().replace(",35,35,", ",35,36,"))  # two test images are one patient's after all
    second = palpate.load("chestxray14", tmp_path, size=32)
    assert [list(split.ids) for split in everything(second)] == [list(split.ids) for split in everything(first)]
    assert second.identity != first.identity


@pytest.mark.usefixtures("mirror")
def test_chest_images_are_grey_and_filtered_where_asked(tmp_path: Path, publish: SimpleNamespace) -> None:
    rows = [(f"{i:08d}_000.png", "Pneumothorax" if i % 3 == 0 else "No Finding", str(i)) for i in range(60)]
    folder = publish.chest(tmp_path, rows)
    dataset = palpate.load("chestxray14", tmp_path, size=48)
    image = cv2.imread(str(next(folder.rglob(f"{dataset.test.ids[0]}.png"))), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    filtered = palpate.load("chestxray14", tmp_path, size=48, filter="mirror")
    for one, expected in ((dataset, image), (filtered, image[:, ::-1])):
        found = (one.test.images[0] * 255).round().numpy().astype(np.uint8)
        assert all(np.array_equal(channel, expected) for channel in found)
    assert dataset.majority_rate == pytest.approx(2 / 3, abs=0.08)


def test_idrids_twin_leaves_training_and_is_mentioned(tmp_path: Path, publish: SimpleNamespace) -> None:
    pixels = {"train/IDRiD_003": 97, "test/IDRiD_002": 97, "train/IDRiD_010": 98, "train/IDRiD_020": 98}
    publish.idrid(tmp_path, [i % 5 for i in range(40)], [0, 3, 4, 1], pixels)
    dataset = palpate.load("idrid", tmp_path, size=16)
    assert "train/IDRiD_003" not in {*dataset.train.ids, *dataset.val.ids}
    assert "test/IDRiD_002" in dataset.test.ids
    assert len(dataset.train) + len(dataset.val) == 39
    assert "1 dropped: the identical picture is in a later official split: train/IDRiD_003" in dataset.notes
    groups = dict(
        zip([*dataset.train.ids, *dataset.val.ids], [*dataset.train.groups, *dataset.val.groups], strict=True)
    )
    assert groups["train/IDRiD_010"] == groups["train/IDRiD_020"]


def test_a_group_in_two_official_splits_stops_before_decoding(
    tmp_path: Path, publish: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = publish.chest(
        tmp_path, [("00000001_000.png", "Pneumothorax", "1"), ("00000001_001.png", "No Finding", "1")]
    )
    (folder / "train_val_list.txt").write_text("00000001_000.png\n")
    (folder / "test_list.txt").write_text("00000001_001.png\n")
    monkeypatch.setattr("palpate.data.assemble.open_files", lambda *_: pytest.fail("decoded all the same"))
    with pytest.raises(InputError, match="1 in test and train"):
        palpate.load("chestxray14", tmp_path)


def test_a_class_without_images_in_a_split_is_a_note(tmp_path: Path, publish: SimpleNamespace) -> None:
    publish.ham(tmp_path, {k: v for k, v in LESIONS.items() if v[0] not in ("df", "vasc")})
    notes = palpate.load("ham10000", tmp_path, size=16).notes
    assert [f"class 'df', 'vasc' has no {name} image" for name in ("train", "val", "test")] == list(notes[-3:])


def test_blank_lesions_are_each_their_own_group(tmp_path: Path, publish: SimpleNamespace) -> None:
    publish.ham(tmp_path, LESIONS)
    csv = tmp_path / "ham10000" / "HAM10000_metadata.csv"
    csv.write_text(re.sub("^HAM_nv[0-9],", ",", csv.read_text(), flags=re.MULTILINE).replace("HAM_mel1,", "NA,"))
    dataset = palpate.load("ham10000", tmp_path, size=16)
    alone = [group for split in everything(dataset) for group in split.groups if group.startswith("image:")]
    assert len(alone) == len(set(alone)) == 15 + 2
    assert dataset.notes[0].startswith(
        "17 of 105 images have no group (blank or NA): each is its own group, first ISIC_"
    )


def test_unreadable_images_are_left_out_and_noted(tmp_path: Path, publish: SimpleNamespace) -> None:
    publish.idrid(tmp_path, [i % 5 for i in range(120)], [0, 3])
    next((tmp_path / "idrid").rglob("IDRiD_077.jpg")).write_text("a web page")
    with pytest.warns(UnreadableImages, match="1 of 122"):
        dataset = palpate.load("idrid", tmp_path, size=16)
    assert len(dataset.train) + len(dataset.val) == 119
    assert "1 unreadable images left out" in dataset.notes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "ham"}, "task must be one of .*, given 'ham'"),
        ({"task": "ham10000"}, "no data root; give --data"),
        ({"task": "ham10000", "root": "/nowhere"}, "looked in /nowhere/ham10000"),
        ({"task": "ham10000", "size": 4}, "load: size: .* greater than or equal to 8, given 4"),
        ({"task": "ham10000", "filter": "blur"}, "image filter must be one of .*, given 'blur'"),
        ({"task": "ham10000", "filter_at": "before"}, "load: filter_at is given without a filter"),
        ({"task": "phantom-skin", "train_images": 0}, "load: train_images: .* greater than or equal to 1, given 0"),
        ({"task": "breastmnist", "root": "/nowhere"}, "looked in /nowhere/medmnist"),
    ],
)
def test_mistakes_are_named(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        palpate.load(**arguments)


def test_real_ham10000_end_to_end(real_data: Path) -> None:
    dataset = palpate.load("ham10000", real_data, size=16)
    assert sum(len(split) for split in everything(dataset)) == 10015
    assert dataset.majority_rate == pytest.approx(0.67, abs=0.01)
    groups = [set(split.groups) for split in everything(dataset)]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 7470
    assert dataset.notes[0].startswith("10015 images were not square and were stretched, first ISIC_")
    assert len(dataset.notes) == 2  # the two pairs of identical pictures lie inside lesions
    batch = dataset.test.images[:64]
    assert 0.4 < float(batch.mean()) < 0.8


def test_real_idrid_keeps_its_test_set_and_loses_one_training_image(real_data: Path) -> None:
    dataset = palpate.load("idrid", real_data, size=32)
    assert len(dataset.test) == 103
    assert len(dataset.train) + len(dataset.val) == 412
    assert "train/IDRiD_118" not in {*dataset.train.ids, *dataset.val.ids}
    together = dict(
        zip([*dataset.train.ids, *dataset.val.ids], [*dataset.train.groups, *dataset.val.groups], strict=True)
    )
    for a, b in ((45, 333), (79, 279), (21, 391), (73, 375), (28, 327)):
        assert together[f"train/IDRiD_{a:03d}"] == together[f"train/IDRiD_{b:03d}"]


def test_real_chest_sample_and_pneumoniamnist(real_data: Path) -> None:
    chest = palpate.load("chestxray14", real_data, size=64)
    assert sum(len(split) for split in everything(chest)) == 778
    assert all(split.labels.sum() >= 5 for split in everything(chest))
    mnist = palpate.load("pneumoniamnist", real_data, size=28)
    assert (len(mnist.val), len(mnist.test)) == (524, 624)
    assert len(mnist.train) == 4708 - 10  # ten pictures are in val as well
