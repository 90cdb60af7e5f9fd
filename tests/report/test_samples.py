"""Samples are read as the stages stored them, whole or mapped, and examples show the right ones."""

import dataclasses

import numpy as np
import pytest

from palpate.report import samples
from palpate.report.run_data import read

CLASSES = ("nevus", "melanoma", "keratosis")


@pytest.fixture(scope="module")
def found(whole_run) -> list[samples.Samples]:
    data = read(whole_run)
    loaded = samples.load(data, "phantom-skin")
    assert not data.problems
    return loaded


def with_predictions(one: samples.Samples, predictions: list[list[int]]) -> samples.Samples:
    labels = np.zeros(len(one.labels), int)
    return dataclasses.replace(one, labels=labels, predictions=np.array(predictions))


def test_the_first_image_that_falls_is_taken(found):
    one = with_predictions(found[0], [[1, 0, 0, 0]] + [[1, 0, 0, 0]] * 2 + [[1, 0, 2, 1]] * 3 + [[1, 0, 7, 1]])
    assert samples.first_fooled(one) == 2
    text = "test_0002, label “nevus”: “nevus” when clean, “class 7” when perturbed."
    assert samples.described(one, 2, CLASSES) == text
    assert samples.first_fooled(with_predictions(found[0], [[1, 0, 0, 0]] * 7)) == 1
    assert samples.first_fooled(with_predictions(found[0], [[1, 1, 1, 1]] * 7)) == 0


def test_samples_that_cannot_be_read_are_named(make_run):
    run = make_run()
    data = read(run)
    damaged = data.complete("explain", "phantom-skin")[0]
    (damaged.folder / "maps.npz").write_bytes(b"PK cut short")
    assert len(samples.load(data, "phantom-skin")) == 1
    assert "resnet10t#0 on phantom-skin" in data.problems[0]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_mapped_arrays_are_those_that_were_saved(tmp_path, save):
    rng = np.random.default_rng(0)
    stored = {
        "a": rng.random((3, 4, 5)),
        "b": np.asfortranarray(rng.random((4, 3), np.float32)),
        "c": np.array(["x", "yz"]),
        "d": np.empty((0, 2)),
    }
    save(tmp_path / "a.npz", **stored)
    found = samples.mapped(tmp_path / "a.npz")
    assert found.keys() == stored.keys()
    for name, values in stored.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)
    assert samples.mapped(tmp_path / "a.npz", ("c",)).keys() == {"c"}


def test_a_pickle_is_not_read(tmp_path):
    class Evil:
        def __reduce__(self):
            return (pytest.fail, ("it was run",))

    np.savez(tmp_path / "a.npz", a=np.array([Evil(), None], object))
    with pytest.raises(ValueError, match="objects"):
        samples.mapped(tmp_path / "a.npz")


def test_confidence_is_the_softmax_probability_of_the_prediction(whole_run):
    one = samples.load(read(whole_run), "phantom-skin")[0]
    assert one.confidence is not None
    assert one.confidence.shape == one.predictions.shape == (7, 4)
    np.testing.assert_allclose(one.confidence, np.exp(2) / (np.exp(2) + 2), rtol=1e-6)
