"""Synthetic images behind the same data set as photographs."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

import palpate
from palpate.core.registry import TASKS
from palpate.data.synthetic import stored
from palpate.data.synthetic.generate import SyntheticImages, generate


def counts() -> dict[str, int]:
    return {"train_images": 12, "val_images": 6, "test_images": 6}


def test_images_labels_groups_and_masks_are_the_generators() -> None:
    dataset = palpate.load("phantom-skin", size=32, seed=1, **counts())
    made = generate("skin", 12, 32, 3)
    assert sorted(dataset.train.ids) == sorted(f"train/{i}" for i in made.ids)
    for n, name in enumerate(dataset.train.ids):
        row = int(np.flatnonzero(made.ids == name.removeprefix("train/"))[0])
        assert dataset.train.labels[n] == made.labels[row]
        assert dataset.train.groups[n] == f"train/{made.groups[row]}"
        assert np.array_equal((dataset.train.images[n] * 255).round().numpy(), np.moveaxis(made.images[row], -1, 0))
        assert dataset.train.masks is not None
        assert np.array_equal(dataset.train.masks[n], made.masks[row])
    assert not {*dataset.train.groups} & {*dataset.val.groups, *dataset.test.groups}
    assert dataset.train.masks is not None
    assert dataset.train.masks.dtype == bool


@pytest.fixture
def calls(enter: Callable, monkeypatch: pytest.MonkeyPatch) -> list:
    """The calls of the generator of "phantom-chest"."""
    made = []

    def counted(*arguments: int) -> SyntheticImages:
        made.append(arguments)
        return generate("chest", *arguments)

    enter(TASKS, "phantom-chest", dataclasses.replace(TASKS["phantom-chest"], generate=counted))
    monkeypatch.setattr(stored, "_code", lambda _: "the same code")
    return made


@pytest.mark.usefixtures("mirror")
def test_are_generated_once(calls: list) -> None:
    first = palpate.load("phantom-chest", size=32, **counts())
    assert len(calls) == 3
    again = palpate.load("phantom-chest", size=32, **counts())
    assert len(calls) == 3
    assert again.identity == first.identity
    assert again.test.masks is not None
    other = palpate.load("phantom-chest", size=32, seed=1, **counts())
    filtered = palpate.load("phantom-chest", size=32, filter="mirror", **counts())
    assert len({first.identity, other.identity, filtered.identity}) == 3


def test_changed_code_generates_anew(calls: list, monkeypatch: pytest.MonkeyPatch) -> None:
    palpate.load("phantom-chest", size=32, **counts())
    monkeypatch.setattr(stored, "_code", lambda _: "changed")
    palpate.load("phantom-chest", size=32, **counts())
    assert len(calls) == 6


def test_the_code_is_the_folder_of_the_function_that_generates() -> None:
    code = stored._code(TASKS["phantom-skin"].generate)
    assert code == stored._code(TASKS["phantom-chest"].generate) == stored._code(generate)
    assert code != stored._code(palpate.load)


def test_each_kind_has_its_own_words() -> None:
    dataset = palpate.load("phantom-fundus", size=32, **counts())
    assert dataset.classes == ("drusen", "hard exudates")
    assert dataset.majority_rate == pytest.approx(0.5)
    assert len(dataset.test) == 6
