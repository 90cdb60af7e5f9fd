"""Normalisations: by name, by numbers, for any number of channels."""

import pytest
import torch

from palpate.core.errors import InputError
from palpate.models.build import build
from palpate.models.normalize import NORMALIZATIONS, make_normalize


@pytest.mark.parametrize(("name", "low", "high"), [("caffe", -123.68, 151.061), ("inception", -1, 1)])
def test_named_ones_span_their_published_range(name, low, high):
    mean, std = (torch.tensor(part) for part in NORMALIZATIONS[name])
    assert float(((0 - mean) / std).min()) == pytest.approx(low, abs=1e-3)
    assert float(((1 - mean) / std).max()) == pytest.approx(high, abs=1e-3)


def test_a_named_one_is_averaged_for_grey_images():
    grey = make_normalize("imagenet", 1)
    assert grey.mean.item() == pytest.approx((0.485 + 0.456 + 0.406) / 3)
    assert grey.std.item() == pytest.approx((0.229 + 0.224 + 0.225) / 3)


def test_numbers_are_folded_into_units_of_the_image():
    normalize = make_normalize({"mean": [100.0], "std": [50.0], "value_range": [-1000, 1000]}, 1)
    images = torch.tensor([0.0, 0.55, 1.0]).view(3, 1, 1, 1)
    torch.testing.assert_close(normalize(images).flatten(), torch.tensor([-22.0, 0.0, 18.0]))


def test_a_classifier_is_built_and_described_with_numbers_and_one_channel():
    model = build("resnet10t", size=64, channels=1, normalization={"value_range": [-1, 1]}).eval()
    assert model.spec is not None
    assert (model.spec["channels"], model.spec["normalization"]) == (1, {"value_range": [-1, 1]})
    images = torch.rand(2, 1, 64, 64)
    torch.testing.assert_close(model(images), model.head(model.backbone(2 * images - 1)))


@pytest.mark.parametrize(
    ("normalization", "channels", "message"),
    [
        ("torch", 3, "expected one of caffe, imagenet, inception; got 'torch'"),
        ("imagenet", 2, "is of 3 channels, and the images have 2"),
        ({"mean": [0.5]}, 1, "expected mean and std, value_range, or all three, got mean"),
        ({"range": [0, 1]}, 1, "got range"),
        ({}, 1, "got nothing"),
        ({"mean": [0.5, 0.5], "std": [1, 1]}, 1, "mean: expected a number for each of 1 channels"),
        ({"mean": float("nan"), "std": 1.0}, 1, "mean: expected a number"),
        ({"value_range": [0, 1, 2]}, 1, "value_range: expected the least and the greatest"),
    ],
)
def test_others_are_refused(normalization, channels, message):
    with pytest.raises(InputError, match=message):
        make_normalize(normalization, channels)
