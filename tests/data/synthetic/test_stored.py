"""Phantoms behind the same data set as photographs."""

import numpy as np
import pytest

import palpate
from palpate.data.synthetic import generate as phantom
from palpate.data.synthetic import stored as drawn
from palpate.data.synthetic.generate import generate


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


def test_are_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = palpate.load("phantom-chest", size=32, **counts())
    with monkeypatch.context() as patch:
        patch.setattr(phantom, "generate", lambda *_: pytest.fail("drawn again"))
        again = palpate.load("phantom-chest", size=32, **counts())
    assert again.identity == first.identity
    assert again.test.masks is not None
    other = palpate.load("phantom-chest", size=32, seed=1, **counts())
    filtered = palpate.load("phantom-chest", size=32, chest_filter="after", **counts())
    assert len({first.identity, other.identity, filtered.identity}) == 3


def test_changed_drawing_code_draws_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    palpate.load("phantom-fundus", size=32, **counts())
    monkeypatch.setattr(drawn, "_drawing_code", lambda: "changed")
    monkeypatch.setattr(phantom, "generate", lambda *arguments: (_ for _ in ()).throw(RuntimeError("drawn anew")))
    with pytest.raises(RuntimeError, match="drawn anew"):
        palpate.load("phantom-fundus", size=32, **counts())


def test_each_kind_has_its_own_words() -> None:
    dataset = palpate.load("phantom-fundus", size=32, **counts())
    assert dataset.classes == ("drusen", "hard exudates")
    assert dataset.majority_rate == pytest.approx(0.5)
    assert len(dataset.test) == 6
