"""Grey levels: the nearest image that a file can hold, inside the ball, and the file itself."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from palpate.errors import InputError
from palpate.verdicts.levels import through_png, to_levels


def _images(levels: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, levels, (4, 3, 5, 5), generator=generator).float() / (levels - 1)


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1), st.sampled_from([2, 4, 17, 256, 1024]), st.integers(0, 10**6), st.floats(0, 3))
def test_the_result_is_on_the_grid_in_the_ball_and_in_the_box(epsilon, levels, seed, spread):
    clean = _images(levels, seed)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))
    adversarial = clean + spread * noise
    result = to_levels(adversarial, clean, epsilon, levels)
    place = result.double() * (levels - 1)
    assert (place - place.round()).abs().max() < 1e-3
    assert (result.double() - clean.double()).abs().max() <= epsilon + 1e-6 / (levels - 1) + 2.0**-23
    assert result.min() >= 0
    assert result.max() <= 1
    assert result.dtype == clean.dtype
    assert torch.equal(to_levels(result, clean, epsilon, levels), result)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 20), st.integers(0, 10**6))
def test_no_image_of_the_file_in_the_ball_is_nearer(reach, seed):
    """Brute force over all 256 levels of every pixel."""
    clean = _images(256, seed)[:1]
    adversarial = clean + 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))
    result = to_levels(adversarial, clean, reach / 255)
    grid = torch.arange(256, dtype=torch.float64) / 255
    allowed = (grid - clean.double().unsqueeze(-1)).abs() <= reach / 255 + 1e-6
    gaps = (grid - adversarial.double().unsqueeze(-1)).abs().where(allowed, torch.inf)
    best = gaps.amin(-1)
    assert ((result.double() - adversarial.double()).abs() - best).abs().max() < 1e-6


def test_one_epsilon_per_image():
    clean = torch.full((3, 3, 4, 4), 100 / 255)
    result = to_levels(clean + 0.5, clean, torch.tensor([0.5, 2.0, 7.9]) / 255)
    assert (result * 255).round()[:, 0, 0, 0].tolist() == [100, 102, 107]


def test_an_epsilon_below_a_level_leaves_the_clean_image():
    clean = _images(256)
    assert torch.equal(to_levels(clean + 0.9 / 255, clean, 0.99 / 255), clean)


@pytest.mark.parametrize(
    ("epsilon", "levels", "shift", "message"),
    [(2.0, 256, 0.0, "epsilon"), (-0.1, 256, 0.0, "epsilon"), (0.1, 1, 0.0, "levels"), (0.1, 256, 0.3 / 255, "clean")],
)
def test_mistakes_are_named(epsilon, levels, shift, message):
    clean = torch.full((1, 3, 4, 4), 100 / 255) + shift
    with pytest.raises(InputError, match=message):
        to_levels(clean, clean, epsilon, levels)


def test_the_round_trip_is_that_of_a_file_on_disk(tmp_path):
    images = torch.rand(3, 3, 6, 7, generator=torch.Generator().manual_seed(1))
    read = through_png(images)
    for place, image in enumerate(images):
        path = tmp_path / f"{place}.png"
        pixels = (image.permute(1, 2, 0).double().numpy() * 255).round().astype(np.uint8)
        assert cv2.imwrite(str(path), pixels)
        from_disk = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert np.array_equal((read[place].permute(1, 2, 0).double().numpy() * 255).round(), from_disk)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_on_the_grid_survive_the_file_to_the_last_bit(channels):
    clean = _images(256)[:, :channels]
    assert torch.equal(through_png(clean), clean)
    adversarial = to_levels(clean + 0.03 * torch.randn(clean.shape), clean, 4 / 255)
    assert torch.equal(through_png(adversarial), adversarial)
    assert through_png(clean[:0]).shape == (0, channels, 5, 5)


def test_a_shape_that_no_png_has_is_refused():
    with pytest.raises(InputError, match=r"\(N, 3, H, W\)"):
        through_png(torch.zeros(2, 4, 5, 5))
