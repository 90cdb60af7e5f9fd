"""A table of images: paths, labels or findings, groups, splits and metadata; every fault with its line and column."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from palpate.core.errors import InputError
from palpate.data.dataset import Dataset
from palpate.data.decode import decode
from palpate.data.manifest import Labelled
from palpate.data.preprocess import resize
from palpate.data.readers import ham10000
from palpate.data.table import Columns
from palpate.data.table import read as read_rows
from palpate.data.table_file import open_table


def write(
    root: Path, publish: SimpleNamespace, lines: Sequence[str], images: Sequence[str] = ("a", "b", "c", "d")
) -> Path:
    for i, name in enumerate(images):
        publish.image(root / (name if "." in name else f"{name}.png"), i, (12, 12, 3))
    root.mkdir(exist_ok=True)
    (root / "t.csv").write_text("\n".join(lines) + "\n")
    return root / "t.csv"


def columns(**names: Any) -> Columns:
    return Columns.read(names, "columns")


def read(
    path: Path, images: Path | None = None, columns: Columns | None = None, classes: Sequence[str] | None = None
) -> Labelled:
    columns = Columns.read({}, "columns") if columns is None else columns
    return read_rows(open_table(path), images or path.parent, columns, classes)


FOUR = ["path,label,age", "a,mel,80", "b.png,nv,", "c,nv,7", "d,mel,NA"]


def test_paths_labels_and_metadata(tmp_path: Path, publish: SimpleNamespace) -> None:
    found = read(write(tmp_path, publish, FOUR))
    assert found.classes == ("mel", "nv")
    assert found.rows["image_id"].to_list() == ["a", "b.png", "c", "d"]
    assert found.rows["path"].to_list() == [str(tmp_path / f"{name}.png") for name in "abcd"]
    assert found.rows["label"].to_list() == [0, 1, 1, 0]
    assert found.rows["metadata"].struct.unnest().rows() == [("80",), (None,), ("7",), ("NA",)]
    dataset = Dataset.from_table(tmp_path / "t.csv", size=8, test_only=True)
    assert dict(zip(dataset.test.ids, dataset.test.metadata["age"], strict=True)) == {
        "a": "80",
        "b.png": None,
        "c": "7",
        "d": "NA",
    }


def test_columns_of_other_names_groups_and_stated_splits(tmp_path: Path, publish: SimpleNamespace) -> None:
    lines = ["image_id,dx,lesion,fold,label", "a,1.0,L1,Training,x", "b,0,L2,val,x", "c,0,,TEST,x", "d,1,L1,train,x"]
    path = write(tmp_path, publish, lines)
    found = read(
        path, columns=columns(path="image_id", label="dx", group="lesion", split="fold"), classes=["healthy", "ill"]
    )
    assert found.rows["label"].to_list() == [1, 0, 0, 1]
    assert found.rows["split"].to_list() == ["train", "val", "test", "train"]
    assert found.rows["group_id"].to_list() == ["L1", "L2", "image:c", "L1"]
    assert found.rows["metadata"].struct.unnest().columns == ["label"]
    assert found.notes == ("'dx' holds the numbers of the stated classes, from 0 healthy",)


def test_columns_group_and_split_are_used_where_they_are(tmp_path: Path, publish: SimpleNamespace) -> None:
    path = write(
        tmp_path, publish, ["path,label,group,split", "a,0,g,train", "b,1,h,train", "c,1,i,test", "d,0,g,train"]
    )
    assert read(path).rows["group_id"].to_list() == ["g", "h", "i", "g"]
    rows = read(path, columns=columns(group=None, split=None)).rows
    assert rows["split"].is_null().all()
    assert rows["metadata"].struct.unnest().columns == ["group", "split"]


@pytest.mark.parametrize("data", [";", "\t"])
def test_semicolons_utf16_and_parquet_read_the_same(tmp_path: Path, publish: SimpleNamespace, data: str) -> None:
    path = write(tmp_path, publish, FOUR)
    expected = read(path).rows
    path.write_bytes("\r\n".join(line.replace(",", data) for line in FOUR).encode("utf-16"))
    assert read(path).rows.equals(expected)
    pl.DataFrame({"path": list("abcd"), "label": ["mel", "nv", "nv", "mel"], "age": [80, None, 7, 8]}).write_parquet(
        tmp_path / "t.parquet"
    )
    typed = read(tmp_path / "t.parquet").rows
    assert typed["label"].equals(expected["label"])
    assert typed["metadata"].struct.unnest()["age"].dtype == pl.Int64


def test_images_are_found_below_the_folder_by_path_or_unique_name(tmp_path: Path, publish: SimpleNamespace) -> None:
    images = ["x/1.png", "y/1.png", "y/2.jpg", "y/deep/3.tif"]
    path = write(tmp_path, publish, ["path,label", "x/1.png,0", "y\\1,1", "2,0", "3.tif,1"], images)
    found = read(path)
    assert found.rows["path"].to_list() == [str(tmp_path / name) for name in images]
    assert found.notes[1:] == ("2 images were found by name in folders that the table does not name",)
    write(tmp_path, publish, ["path,label", "2,0", "1,1"], images)
    with pytest.raises(
        InputError,
        match=r"t.csv: .*x/1.png and .*y/1.png both have this name: line 3 \('1'\); write the path of the one meant",
    ):
        read(path)
    publish.image(tmp_path / "y" / "2.png", 77)
    write(tmp_path, publish, ["path,label", "x/1.png,0", "y/2,1"], images)
    with pytest.raises(InputError, match=r"y/2.jpg and .*y/2.png both have this name: line 3 \('y/2'\)"):
        read(path)


def test_copies_of_one_file_in_two_folders_are_one_image(tmp_path: Path, publish: SimpleNamespace) -> None:
    for name in ("part_1/a.png", "part_2/a.png", "part_2/b.png"):
        publish.image(tmp_path / name, ord(name[-5]))
    assert read(write(tmp_path, publish, ["path,label", "a,0", "b.png,1"], ())).rows["path"].to_list() == [
        str(tmp_path / "part_1" / "a.png"),
        str(tmp_path / "part_2" / "b.png"),
    ]


def test_images_in_another_folder_and_linked_ones(tmp_path: Path, publish: SimpleNamespace) -> None:
    path = write(tmp_path / "tables", publish, FOUR, ())
    write(tmp_path / "images" / "far", publish, ["x"])
    (tmp_path / "link").symlink_to(tmp_path / "images")
    assert len(read(path, tmp_path / "link").rows) == 4
    with pytest.raises(
        InputError,
        match=r"names 4 images, of which 4 are absent below .*tables: line 2 \('a'\), line 3 \('b.png'\)",
    ):
        read(path)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["path,label", "../a.png,0", "b,1"],
            r"image outside .*: line 2 \('../a.png'\); name the folder that holds all images",
        ),
        (["path,label", "/etc/passwd,0", "b,1"], r"image outside .*: line 2 \('/etc/passwd'\)"),
        (
            ["path,label", "a,0", "b,1", "a,0"],
            r"1 images are listed more than once: line 4 \('a'\); keep one row of each",
        ),
        (
            ["path,label", "a,0", "b,1", "./a.png,0"],
            r"1 images are listed more than once: line 4 \('./a.png'\); keep one row of each",
        ),
        (
            ["path,label", "a,0", "b,", "c,1", "d,NA"],
            r"column 'label' is blank in 2 rows: line 3, line 5; label or remove those rows",
        ),
        (["path,label", "a,0", ",1"], r"column 'path' is blank in 1 rows: line 3"),
        (["path,label", "a,0", "b,mel"], r"'label': labels mix numbers \(0\) and words \(mel\)"),
        (["path,dx", "a,0", "b,1"], r"column 'label' is missing; found 'path', 'dx'"),
        (
            ["path,label,split", "a,0,train", "b,1,fold 3"],
            r"column 'split' must hold train, val or test: line 3 \('fold 3'\)",
        ),
        (
            ["path,label,split", "a,0,train", "b,1,"],
            r"column 'split' is blank in 1 rows: line 3; give every image a split, or leave the column out",
        ),
        (["path,label", "a,0", "b,0"], r"two or more classes are needed, found \['0'\]"),
    ],
)
def test_faults_are_named_with_line_and_remedy(tmp_path: Path, publish: SimpleNamespace, lines, message) -> None:
    with pytest.raises(InputError, match=message):
        read(write(tmp_path, publish, lines))


def test_labels_outside_the_stated_classes_and_unknown_columns(tmp_path: Path, publish: SimpleNamespace) -> None:
    path = write(tmp_path, publish, FOUR)
    with pytest.raises(
        InputError,
        match=r"'label' has 2 labels outside mel, bcc: line 3 \('nv'\), line 4 \('nv'\); correct them",
    ):
        read(path, classes=["mel", "bcc"])
    with pytest.raises(InputError, match="column 'lesion_id' is missing; found 'path', 'label', 'age'"):
        read(path, columns=columns(group="lesion_id"))
    with pytest.raises(InputError, match="columns: lable: unknown key; did you mean `label`"):
        Dataset.from_table(path, columns={"lable": "dx"})
    for twice in ({"label": "path"}, {"findings": ("label", "label")}, {"group": "label"}):
        with pytest.raises(
            InputError, match=r"column '(path|label)' is named more than once; name each for one purpose"
        ):
            Dataset.from_table(path, columns=twice)


FINDINGS = [
    "path,edema,mass,sex",
    *[f"a{i},{[1, 0, '', '-1'][i % 4]},{int(i % 5 == 0)},{'MF'[i % 2]}" for i in range(40)],
]


def test_several_findings_with_uncertain_and_missing_labels(tmp_path: Path, publish: SimpleNamespace) -> None:
    path = write(tmp_path, publish, FINDINGS, [f"a{i}" for i in range(40)])
    dataset = Dataset.from_table(path, size=8, columns={"findings": ["edema", "mass"]})
    assert dataset.findings == ("edema", "mass")
    assert dataset.train.labels.dtype == np.int64
    for split in (dataset.train, dataset.val, dataset.test):
        for name, labels in zip(split.ids, split.labels, strict=True):
            i = int(name[1:])
            assert labels.tolist() == [[1, 0, -1, -1][i % 4], int(i % 5 == 0)]
    assert "edema: 10 uncertain and 10 blank labels are unknown and count nowhere" in dataset.notes
    of_each = [np.bincount(labels[labels >= 0]).max() / (labels >= 0).sum() for labels in dataset.test.labels.T]
    assert dataset.majority_rate == pytest.approx(np.mean(of_each))
    assert (
        sum((split.labels[:, 1] == 1).sum() > 0 for split in (dataset.train, dataset.val, dataset.test)) == 3
    )  # stratified by the rarer one
    one = dataset.of_finding("edema")
    assert (one.classes, one.finding, one.findings) == (("absent", "present"), "edema", ())
    known = dataset.test.labels[:, 0] >= 0
    assert one.test.ids.tolist() == dataset.test.ids[known].tolist()
    assert one.test.labels.tolist() == dataset.test.labels[known, 0].tolist()
    assert one.test.metadata["sex"].to_list() == dataset.test.metadata.filter(known)["sex"].to_list()
    assert np.array_equal(one.test.images[:], dataset.test.images[known])
    assert one.notes[-1] == "20 images without a known label of edema were left out"
    assert one.identity != dataset.identity
    with pytest.raises(InputError, match="finding must be one of 'edema', 'mass', given 'cyst'"):
        dataset.of_finding("cyst")


def test_one_finding_is_a_label_and_images_without_it_are_left_out(tmp_path: Path, publish: SimpleNamespace) -> None:
    path = write(tmp_path, publish, FINDINGS, [f"a{i}" for i in range(40)])
    dataset = Dataset.from_table(path, size=8, columns={"findings": ["edema"]})
    assert (dataset.classes, dataset.findings) == (("no edema", "edema"), ())
    assert len(dataset.train) + len(dataset.val) + len(dataset.test) == 20


def test_a_column_that_is_no_finding_is_refused_with_its_lines(tmp_path: Path, publish: SimpleNamespace) -> None:
    path = write(tmp_path, publish, ["path,edema", "a,1", "b,maybe", "c,2"])
    with pytest.raises(
        InputError,
        match=r"column 'edema' must hold 1, 0, -1 \(uncertain\) or nothing: line 3 \('maybe'\), line 4 \('2'\)",
    ):
        read(path, columns=columns(findings=["edema"]))


def test_real_ham10000_as_a_plain_table_is_the_built_in_task(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "ham10000"
    names = {"path": "image_id", "label": "dx", "group": "lesion_id"}
    plain = read(folder / "HAM10000_metadata.csv", columns=columns(**names))
    assert plain.classes == ham10000.CLASSES
    assert plain.rows.equals(ham10000.read(folder))
    assert plain.rows["metadata"].struct.unnest().columns == ["dx_type", "age", "sex", "localization"]
    lines = (folder / "HAM10000_metadata.csv").read_text().splitlines()
    (tmp_path / "t.csv").write_text("\n".join([lines[0], *lines[5000:5200]]))
    few = Dataset.from_table(tmp_path / "t.csv", folder, columns=names, classes=ham10000.CLASSES, size=16)
    path = next(folder.rglob(f"{few.test.ids[0]}.jpg"))
    expected = np.moveaxis(resize(decode(str(path)), 16), -1, 0)
    assert np.array_equal(np.rint(few.test.images[0].numpy() * 255), expected)
