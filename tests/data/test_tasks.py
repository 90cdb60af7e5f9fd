"""The table of tasks, and where they are looked for."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

import palpate
from palpate.core.errors import InputError
from palpate.core.registry import TASKS
from palpate.data.manifest import manifest
from palpate.data.tasks import Task, find_task, overview, task_folders


def test_every_task_says_what_a_user_must_know() -> None:
    for name, task in TASKS.items():
        assert task.name == name
        assert len(task.classes) >= 2
        assert len(set(task.classes)) == len(task.classes)
        assert all((task.title, task.finding, task.licence, task.cite, task.how_to_get, task.images > 0))
        assert (task.kind == "synthetic") == (task.generate is not None) == (task.reader is None)


def test_published_sizes_are_selected_by_name() -> None:
    task = find_task("pathmnist-224")
    assert (task.name, task.marker) == ("pathmnist-224", "pathmnist_224.npz")
    assert task.download is not None
    assert task.download.checksum == "md5:2c51a510bcdc9cf8ddb2af93af1eadec"


@pytest.mark.parametrize("name", ["ham1000", "", "pathmnist-96", "ham10000-64", "mnist-28"])
def test_an_unknown_task_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(InputError, match=f"task must be one of .*'ham10000', .*'phantom-chest'.*, given '{name}'"):
        find_task(name)


def test_a_plug_ins_task_is_read_like_a_built_in_one(tmp_path: Path, publish: SimpleNamespace, enter: Callable) -> None:
    def reader(folder: Path) -> pl.DataFrame:
        files = sorted(folder.glob("*.png"))
        rows = pl.DataFrame({"image_id": [f.stem for f in files], "path": [str(f) for f in files]}).with_columns(
            pl.col("image_id").alias("group_id"),
            pl.col("image_id").str.ends_with("1").cast(pl.Int32).alias("label"),
            pl.col("image_id").str.tail(1).alias("published"),
        )
        return manifest(rows, folder)

    task = Task("mine", "Mine", ("a", "b"), "finding", 60, "none", "nobody", "ask me", folder="mine", reader=reader)
    enter(TASKS, "mine", task)
    for i in range(60):
        publish.image(tmp_path / "mine" / f"{i:03d}_{i % 2}.png", i, (20, 20))
    dataset = palpate.load("mine", tmp_path, size=8)
    assert dataset.classes == ("a", "b")
    assert len(dataset.train) + len(dataset.val) + len(dataset.test) == 60
    assert "mine" in {line.task.name for line in overview(tmp_path) if line.present}


def test_without_a_root_the_error_says_how_to_give_one_and_get_the_data() -> None:
    with pytest.raises(
        InputError, match=r"idrid: no data root; give --data .*PALPATE_DATA.*idrid/\. .*B\. Disease Grading"
    ):
        task_folders(find_task("idrid"), None)


def test_a_missing_folder_is_named_with_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PALPATE_DATA", str(tmp_path))
    with pytest.raises(InputError, match=rf"looked in {tmp_path / 'ham10000'}, which is no folder"):
        task_folders(find_task("ham10000"), None)
    (tmp_path / "ham10000").mkdir()
    assert task_folders(find_task("ham10000"), None) == [tmp_path / "ham10000"]
    with pytest.raises(InputError, match=r"looked in .*isic2018.*holds ham10000/ and isic2018/"):
        task_folders(find_task("ham10000-isic2018"), None)


def test_overview_says_what_is_there(tmp_path: Path, publish: SimpleNamespace) -> None:
    publish.idrid(tmp_path, [0], [1])
    publish.medmnist(tmp_path, "breastmnist.npz", {"train": [0], "val": [0], "test": [0]})
    (tmp_path / "ham10000").mkdir()  # a folder without the set in it
    lines = {line.task.name: line for line in overview(tmp_path)}
    assert list(lines) == list(TASKS)
    there = {name for name, line in lines.items() if line.present}
    assert there == {"idrid", "breastmnist", "phantom-skin", "phantom-fundus", "phantom-chest"}
    assert lines["ham10000"].looked_in == tmp_path / "ham10000"
    assert lines["ham10000-isic2018"].looked_in == tmp_path / "isic2018"
    assert all(line.looked_in is None for line in overview())
