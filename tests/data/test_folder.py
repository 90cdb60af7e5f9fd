"""A folder of class folders: classes, stated splits, groups from paths, linked folders, and whatever lies beside them."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from palpate.core.errors import InputError
from palpate.data.dataset import Dataset
from palpate.data.folder import read


def write(root: Path, publish: SimpleNamespace, names: list[str]) -> Path:
    for i, name in enumerate(names):
        publish.image(root / name, i, (12, 12, 3))
    return root


def classes(count: int = 20) -> list[str]:
    return [f"{name}/p{i // 2}_{i}.png" for name in ("nevus", "melanoma") for i in range(count)]


def test_class_folders_become_classes_in_alphabetical_order(tmp_path: Path, publish: SimpleNamespace) -> None:
    dataset = Dataset.from_folder(write(tmp_path / "my skin", publish, classes()), size=8, seed=3)
    assert dataset.classes == ("melanoma", "nevus")
    assert (dataset.task.name, dataset.task.kind, dataset.channels, dataset.levels) == ("my-skin", "real", 3, 256)
    for split in (dataset.train, dataset.val, dataset.test):
        assert [name.split("/")[0] for name in split.ids] == [dataset.classes[label] for label in split.labels]
    assert len(dataset.train) + len(dataset.val) + len(dataset.test) == 40
    assert dataset.notes == (
        "classes were numbered in order: 0 melanoma, 1 nevus",
        "no image has a group (patient or lesion): each is its own, so images of one patient may be in two splits",
        "the split was drawn by group, in the classes' proportions: 70% train, 15% val, 15% test, seed 3",
    )
    stated = Dataset.from_folder(tmp_path / "my skin", classes=["nevus", "melanoma"], size=8, seed=3)
    assert stated.classes == ("nevus", "melanoma")
    assert stated.identity != dataset.identity


def test_folders_of_splits_are_the_split(tmp_path: Path, publish: SimpleNamespace) -> None:
    names = ["Training/a/1.png", "Training/b/deep/er/2.png", "valid/a/1.png", "testing/a/1.jpg", "testing/b/2.tif"]
    dataset = Dataset.from_folder(write(tmp_path, publish, names), size=8)
    assert sorted(dataset.train.ids) == ["Training/a/1.png", "Training/b/deep/er/2.png"]
    assert (dataset.val.ids.tolist(), len(dataset.test)) == (["valid/a/1.png"], 2)
    assert "class 'b' has no val image" in dataset.notes
    write(tmp_path, publish, ["extra/a/1.png"])
    with pytest.raises(InputError, match="has folders of splits beside extra; move extra out of it"):
        read(tmp_path)


def test_groups_come_from_the_path(tmp_path: Path, publish: SimpleNamespace) -> None:
    root = write(tmp_path, publish, classes())
    assert read(root, group="/(p[0-9]+)_").rows["group_id"].unique().sort().to_list() == sorted(
        f"p{i}" for i in range(10)
    )
    dataset = Dataset.from_folder(root, size=8, group="p[0-9]+")
    assert not set(dataset.train.groups) & set(dataset.test.groups)
    with pytest.raises(InputError, match=r"group 'q' is not found in 40 of 40 paths, first melanoma/p0_0.png"):
        read(root, group="q")
    with pytest.raises(InputError, match="is no regular expression"):
        read(root, group="(p")


def test_linked_folders_are_followed_and_a_link_back_is_no_trap(tmp_path: Path, publish: SimpleNamespace) -> None:
    write(tmp_path / "far", publish, ["1.png", "2.png"])
    root = write(tmp_path / "set", publish, ["a/1.png", "b/1.png"])
    (root / "c").symlink_to(tmp_path / "far")
    (root / "a" / "up").symlink_to(root)
    (root / "b" / "other.png").symlink_to(tmp_path / "far" / "1.png")
    found = read(root)
    assert found.classes == ("a", "b", "c")
    assert found.rows["image_id"].to_list() == ["a/1.png", "b/1.png", "b/other.png", "c/1.png", "c/2.png"]


def test_what_lies_beside_the_class_folders_is_said(tmp_path: Path, publish: SimpleNamespace) -> None:
    root = write(
        tmp_path, publish, ["a/1.png", "b/1.png", "cover.png", ".hidden/1.png", "__MACOSX/a/1.png", "a/.1.png"]
    )
    (root / "a" / "notes.txt").touch()
    (root / "a" / "Thumbs.db").touch()
    found = read(root)
    assert found.rows["image_id"].to_list() == ["a/1.png", "b/1.png"]
    assert found.notes[1:] == (
        "1 images outside the class folders were left out, first cover.png",
        "2 files that are no images were left out (.db, .txt)",
    )


def test_one_stem_in_two_folders_is_two_images(tmp_path: Path, publish: SimpleNamespace) -> None:
    rows = read(write(tmp_path, publish, ["a/1.png", "b/1.png", "a/1.jpg"])).rows
    assert rows["image_id"].to_list() == ["a/1.jpg", "a/1.png", "b/1.png"]
    assert rows["path"].n_unique() == 3


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], r"no class folder with images \(.bmp, .*\) is in it$"),
        (["1.png", "2.png"], "2 images lie in it without a class folder: give a table of their labels"),
        (["a/1.png"], r"'class folder': two or more classes are needed, found \['a'\]; if .* state the classes"),
        (["Nevus/1.png", "nevus/1.png"], "'Nevus', 'nevus' differ in case only"),
        (["test/1.png"], "no class folder with images"),
    ],
)
def test_folders_without_classes_are_refused(tmp_path: Path, publish: SimpleNamespace, names, message) -> None:
    write(tmp_path, publish, names)
    with pytest.raises(InputError, match=message):
        read(tmp_path)


def test_an_unknown_class_and_a_missing_folder_are_named(tmp_path: Path, publish: SimpleNamespace) -> None:
    write(tmp_path, publish, ["a/1.png", "b/1.png"])
    with pytest.raises(InputError, match=r"'class folder' has 1 labels outside a, c: b/1.png \('b'\); correct them"):
        read(tmp_path, ("a", "c"))
    assert read(tmp_path, ("b", "c", "a")).rows["label"].to_list() == [2, 0]
    with pytest.raises(InputError, match=r"nowhere: is no folder"):
        read(tmp_path / "nowhere")


def test_a_test_set_alone_needs_no_split(tmp_path: Path, publish: SimpleNamespace) -> None:
    root = write(tmp_path, publish, ["a/1.png", "b/1.png", "b/2.png"])
    with pytest.raises(InputError, match="the val split is empty; more images or groups are needed, or test_only=True"):
        Dataset.from_folder(root, size=8)
    dataset = Dataset.from_folder(root, size=8, test_only=True)
    assert [len(split) for split in (dataset.train, dataset.val, dataset.test)] == [0, 0, 3]
    assert "there are no train images" in dataset.notes
    assert dataset.test.images[:].shape == (3, 3, 8, 8)
    assert dataset.train.images[:].shape == (0, 3, 8, 8)
    both = write(tmp_path / "both", publish, ["train/a/1.png", "train/b/1.png", "test/a/9.png", "test/b/8.png"])
    (both / "train" / "a" / "1.png").write_text("not read where only the test set is wanted")
    assert len(Dataset.from_folder(both, size=8, test_only=True).test) == 2


def test_identical_images_in_two_stated_splits_are_dropped_and_said(tmp_path: Path, publish: SimpleNamespace) -> None:
    root = write(
        tmp_path, publish, [f"{split}/{name}/{i}.png" for split in ("train", "test") for name in "ab" for i in range(3)]
    )
    (root / "train/a/0.png").write_bytes((root / "test/a/2.png").read_bytes())
    dataset = Dataset.from_folder(root, size=8)
    assert "train/a/0.png" not in {*dataset.train.ids, *dataset.val.ids}
    assert "1 dropped: the identical picture is in a later official split: train/a/0.png" in dataset.notes
    assert "validation images were drawn from the training images by group, seed 0" in dataset.notes


def test_an_unknown_option_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Dataset.from_folder: sise: unknown key; did you mean `size`?"):
        Dataset.from_folder(tmp_path, sise=8)
    for options, message in (
        ({"value_range": (4095, 0)}, "the value of black comes first"),
        ({"fractions": (0.5, 0.1, 0.1)}, "shares of train, val and test that sum to 1"),
        ({"channels": 0}, "channels"),
        ({"filter_at": "before"}, "without a filter"),
    ):
        with pytest.raises(InputError, match=message):
            Dataset.from_folder(tmp_path, **options)


def test_stratification_can_be_left_out(tmp_path: Path, publish: SimpleNamespace) -> None:
    root = write(tmp_path, publish, [f"{name}/{i}.png" for name, n in (("a", 60), ("b", 20)) for i in range(n)])
    stratified, plain = (Dataset.from_folder(root, size=8, stratify=stratify) for stratify in (True, False))
    assert stratified.test.labels.mean() == pytest.approx(0.25, abs=0.01)
    assert set(plain.test.ids) != set(stratified.test.ids)
    assert "the split was drawn by group: 70% train, 15% val, 15% test, seed 0" in plain.notes
