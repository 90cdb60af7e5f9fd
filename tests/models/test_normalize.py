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
        ({"mean": [0.5]}, 1, "mean and std, value_range, or all three.*; given mean"),
        ({"range": [0, 1]}, 1, "given range"),
        ({}, 1, "given nothing"),
        ({"mean": [0.5, 0.5], "std": [1, 1]}, 1, "mean: expected a number for each of 1 channels"),
        ({"mean": float("nan"), "std": 1.0}, 1, "mean: expected a number"),
        ({"value_range": [0, 1, 2]}, 1, "value_range: expected the least and the greatest"),
    ],
)
def test_others_are_refused(normalization, channels, message):
    with pytest.raises(InputError, match=message):
        make_normalize(normalization, channels)


def test_a_window_lies_inside_the_network_and_its_gradient() -> None:
    """Centre 40 and width 400 of Hounsfield units: the closed form of DICOM PS3.3 C.11.2.1.3.2, and its slope."""
    values = torch.tensor([-1024.0, -160.0, 40.0, 140.0, 240.0, 3071.0])
    images = ((values + 1024) / 4095).double().view(-1, 1, 1, 1).requires_grad_()
    normalize = make_normalize(
        {"value_range": [-1024, 3071], "window": [40, 400], "mean": 0.5, "std": 0.25}, 1
    ).double()
    expected = (((values.double() - 40) / 400 + 0.5).clamp(0, 1) - 0.5) / 0.25
    assert torch.allclose(normalize(images).flatten(), expected, atol=1e-6)
    normalize(images).sum().backward()
    slopes = images.grad.flatten()
    assert torch.allclose(slopes[2:4], torch.full((2,), 4095 / 400 / 0.25, dtype=torch.float64), rtol=1e-5)
    assert slopes[[0, 5]].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"window": [40, 400]}, "window: is in units of value_range; state that, too"),
        ({"value_range": [0, 255], "window": [40, 0]}, "window: expected a centre and a width above 0"),
        ({"value_range": [0, 255], "window": [900, 100]}, "lies outside the value range 0 to 255"),
    ],
)
def test_a_window_that_cannot_be_is_refused(given: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_normalize(given, 1)
