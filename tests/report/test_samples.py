"""Samples are read as the stages stored them, whole or mapped, and examples show the right ones."""

import dataclasses

import numpy as np
import pytest

from palpate.report import samples
from palpate.report.images import photo
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


def test_examples_take_the_first_image_that_falls_at_its_smallest_and_at_the_largest_epsilon(found):
    one = with_predictions(found[0], [[1, 0, 0, 0]] + [[1, 0, 0, 0]] * 2 + [[1, 0, 2, 1]] * 4)
    small, large = samples.examples(one, CLASSES)
    assert small.title == "smallest epsilon that fools the model, 0.005 (1.28/255)"
    assert large.title == "largest epsilon, 0.04 (10.2/255)"
    assert small.text == "test_0002, label “nevus”: “nevus” when clean, “keratosis” when perturbed."
    assert (small.magnified, large.magnified) == ("×100", "×10")
    assert large.perturbed == photo(one.adversarial[-1, 2]).uri
    assert large.clean == photo(one.clean[2]).uri


def test_a_model_that_never_falls_is_shown_at_the_largest_epsilon_only(found):
    (only,) = samples.examples(with_predictions(found[0], [[0, 0, 0, 0]] * 7), CLASSES)
    assert only.title.startswith("largest epsilon")
    (only,) = samples.examples(with_predictions(found[0], [[1, 1, 1, 1]] * 7), CLASSES)
    assert only.text.startswith("test_0000")


def test_one_epsilon_that_is_both_is_shown_once(found):
    (only,) = samples.examples(with_predictions(found[0], [[0] * 4] * 6 + [[1] * 4]), CLASSES)
    assert only.title == "smallest epsilon that fools the model and largest tried, 0.04 (10.2/255)"


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
