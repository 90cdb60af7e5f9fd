"""The table of tasks, and where they are looked for."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from palpate.core.errors import InputError
from palpate.data.tasks import TASKS, find_task, overview, task_folders


def test_every_task_says_what_a_user_must_know() -> None:
    for name, task in TASKS.items():
        assert task.name == name
        assert len(task.classes) >= 2
        assert len(set(task.classes)) == len(task.classes)
        assert all((task.title, task.finding, task.licence, task.cite, task.how_to_get, task.images > 0))
        assert (task.kind == "phantom") == (task.phantom is not None) == (task.reader is None)


def test_published_sizes_are_selected_by_name() -> None:
    task = find_task("pathmnist-224")
    assert (task.name, task.marker) == ("pathmnist-224", "pathmnist_224.npz")
    assert task.download is not None
    assert task.download.md5 == "2c51a510bcdc9cf8ddb2af93af1eadec"


@pytest.mark.parametrize("name", ["ham1000", "", "pathmnist-96", "ham10000-64", "mnist-28"])
def test_an_unknown_task_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(InputError, match=f"ham10000, .*phantom-chest are allowed, got '{name}'"):
        find_task(name)


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
