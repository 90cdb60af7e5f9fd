"""Examples and panels show the images, classes and maps that the stages stored."""

import dataclasses
import json

import numpy as np
import pytest

from palpate.report import samples
from palpate.report.images import heat, photo
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
    assert large.perturbed == photo(one.adversarial[-1, 2])
    assert large.clean == photo(one.clean[2])


def test_a_model_that_never_falls_is_shown_at_the_largest_epsilon_only(found):
    (only,) = samples.examples(with_predictions(found[0], [[0, 0, 0, 0]] * 7), CLASSES)
    assert only.title.startswith("largest epsilon")
    (only,) = samples.examples(with_predictions(found[0], [[1, 1, 1, 1]] * 7), CLASSES)
    assert only.text.startswith("test_0000")


def test_one_epsilon_that_is_both_is_shown_once(found):
    (only,) = samples.examples(with_predictions(found[0], [[0] * 4] * 6 + [[1] * 4]), CLASSES)
    assert only.title == "smallest epsilon that fools the model and largest tried, 0.04 (10.2/255)"


def test_panels_point_at_the_right_photo_and_map_of_every_model(found):
    panel = samples.panels(found, CLASSES, 10**7)
    assert panel is not None
    data, note = panel
    assert "PNG" in note
    json.dumps(data, allow_nan=False)
    assert [view["model"] for view in data["views"]] == [one.model_id for one in found]
    for one, view in zip(found, data["views"], strict=True):
        for step in range(7):
            shown = one.clean if step == 0 else one.adversarial[step - 1]
            for image in range(4):
                assert data["photos"][view["photos"][step][image]] == photo(shown[image])
                for target in range(2):
                    assert view["heat"][step][target][image] == heat(one.maps[step, target, image], 24)
        assert view["predictions"] == one.predictions.tolist()
    assert len(data["photos"]) == 4 + 2 * 6 * 4
    empty = [layer is None for layer in data["views"][1]["heat"][3][0]]
    assert empty == [True, True, True, False]


def test_panels_keep_their_budget(found):
    panel = samples.panels(found, CLASSES, 200_000)
    assert panel is not None
    assert len(json.dumps(panel[0])) < 210_000


def test_a_model_with_other_samples_is_not_shown_beside(found):
    other = dataclasses.replace(found[1], image_ids=("x",) * 4)
    panel = samples.panels([found[0], other], CLASSES, 10**7)
    assert panel is not None
    assert len(panel[0]["views"]) == 1
    assert "resnet10t+full#0" in panel[1]


def test_samples_that_cannot_be_read_are_named(make_run):
    run = make_run()
    data = read(run)
    damaged = data.complete("explain", "phantom-skin")[0]
    (damaged.folder / "maps.npz").write_bytes(b"PK cut short")
    assert len(samples.load(data, "phantom-skin")) == 1
    assert damaged.title in data.problems[0]


def test_no_explained_model_is_no_panel():
    assert samples.panels([], CLASSES, 10**6) is None
