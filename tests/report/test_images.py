"""Pictures in the page are what they claim to be: decoded again, they equal the arrays."""

import base64

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palpate.report.images import Picture, Style, difference, grey_map, magnification, photo


def decoded(picture: Picture) -> np.ndarray:
    """The pixels of a picture through its data URI, RGB or grey in 0 … 255."""
    data = np.frombuffer(base64.b64decode(picture.uri.split(",", 1)[1]), np.uint8)
    pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    return pixels[..., ::-1] if pixels.ndim == 3 else pixels


def test_a_small_photo_is_lossless_and_keeps_its_channels():
    image = np.random.default_rng(0).random((3, 40, 50), np.float32)
    assert np.array_equal(decoded(photo(image)), np.rint(image * 255).astype(np.uint8).transpose(1, 2, 0))


def test_a_large_photo_shrinks_by_area_and_a_small_one_never_grows():
    image = np.zeros((3, 256, 512), np.float32)
    image[0, :, :256] = 1
    small = decoded(photo(image, Style(64, None)))
    assert small.shape == (32, 64, 3)
    assert small[0, 0].tolist() == [255, 0, 0]
    assert decoded(photo(image[:, :20, :20], Style(64, None))).shape == (20, 20, 3)


def test_the_perturbation_is_grey_where_nothing_changed_and_magnified_elsewhere():
    clean = np.full((3, 4, 4), 0.5, np.float32)
    moved = clean.copy()
    moved[1, 0, 0] += 0.004
    picture, stride = difference(clean, moved, 100)
    assert stride == 1
    shown = decoded(picture)
    assert shown[0, 0].tolist() == [128, 230, 128]
    assert (shown[1:] == 128).all()


def test_a_large_perturbation_keeps_its_strength():
    clean = np.full((3, 256, 256), 0.5)
    moved = clean + 0.01 * np.random.default_rng(0).choice([-1, 1], clean.shape)
    picture, stride = difference(clean, moved, 50)
    shown = decoded(picture)
    assert (shown.shape, stride) == ((128, 128, 3), 2)
    assert set(np.unique(shown)) == {0, 255}


@given(st.floats(1e-6, 1))
def test_magnification_never_leaves_the_grey_scale(epsilon):
    times = magnification(epsilon)
    assert times >= 1
    assert times == 1 or times * epsilon <= 0.5 * (1 + 1e-6)
    assert times * 2.5 * epsilon >= 0.5 * (1 - 1e-6)
    assert str(times)[0] in "1245"
    assert set(str(times)[1:]) <= {"0"}


def test_a_map_is_black_at_its_minimum_and_white_at_its_peak():
    values = np.array([[0.0, 1.0], [2.0, 4.0]])
    picture = grey_map(values)
    assert picture is not None
    assert decoded(picture).tolist() == [[0, 64], [128, 255]]


def test_a_large_map_shrinks_by_area():
    values = np.zeros((128, 64))
    values[:64] = 1
    picture = grey_map(values, 32)
    assert picture is not None
    assert decoded(picture).shape == (32, 16)
    assert (decoded(picture)[:16] == 255).all()


@pytest.mark.parametrize("values", [np.zeros((4, 4)), np.full((4, 4), -1.0), np.full((4, 4), np.nan)])
def test_an_empty_map_has_no_picture(values):
    assert grey_map(values) is None


def test_a_constant_positive_map_is_white_and_no_division_by_zero():
    picture = grey_map(np.full((4, 4), 2.0))
    assert picture is not None
    assert (decoded(picture) == 255).all()


def test_a_grey_image_of_one_channel_is_shown_grey():
    assert decoded(photo(np.full((1, 2, 2), 0.5))).tolist() == [[[128] * 3] * 2] * 2
