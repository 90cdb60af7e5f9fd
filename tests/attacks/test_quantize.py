"""Grey levels: the nearest image that a file can hold, inside the ball, and the file itself."""

import copy

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import palpate
from palpate.attacks.access import ModelAccess
from palpate.attacks.best import Best
from palpate.attacks.grey_levels import onto_levels
from palpate.attacks.problem import Block
from palpate.attacks.quantize import through_png, to_levels
from palpate.core.errors import InputError

GREY = {"attack": "standard", "levels": 256}


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
    [
        (2.0, 256, 0.0, "epsilon"),
        (-0.1, 256, 0.0, "epsilon"),
        (0.1, 1, 0.0, "levels"),
        (0.1, 256, 0.3 / 255, "images must hold"),
    ],
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


def test_channels_that_no_png_has_are_written_one_by_one():
    clean = _images(256)
    four = torch.cat([clean, clean[:, :1]], 1)
    assert torch.equal(through_png(four + 0.001), four)
    with pytest.raises(InputError, match=r"\(N, C, H, W\)"):
        through_png(torch.zeros(4, 5, 5))


def on_files(problem):
    """The problem's images rounded to the 256 levels of a file, in float32, where the model is right."""
    images = ((problem.images * 255).round() / 255).float()
    model = copy.deepcopy(problem.model).float()
    labels = model(images).argmax(1)
    return model, images, labels


@pytest.mark.parametrize("name", ["linear2", "linear7"])
def test_the_radius_of_a_linear_model_on_files_is_the_smallest_whole_level(name, request):
    """In k levels a pixel can move by k wherever it is not cut off at black or white, so the closed form is ⌈radius · 255⌉."""
    problem = request.getfixturevalue(name)
    model, images, labels = on_files(problem)
    weight = model[1].weight.double()
    logits = images.double().flatten(1) @ weight.T
    lengths = (weight[labels][:, None] - weight[None]).abs().sum(2)
    own = torch.arange(len(weight)) == labels[:, None]
    exact = torch.where(own, float("inf"), (logits.gather(1, labels[:, None]) - logits) / lengths.clamp(min=1e-12))
    least = (exact.amin(1) * 255).ceil()
    result = palpate.sweep(model, images, labels, [0.3], GREY)
    found = result.radius * 255
    torch.testing.assert_close(found, found.round(), rtol=0, atol=1e-9)
    assert (found >= least).all()
    assert ((found == least).double().mean()) >= 0.95
    assert (found <= least + 1).all()


def test_images_on_levels_fool_as_read_from_a_png_and_cost_a_few_passes_more(five):
    model, images, labels = on_files(five)
    free = palpate.sweep(model, images, labels, [2 / 255, 16 / 255])
    held = palpate.sweep(model, images, labels, [2 / 255, 16 / 255], GREY)
    reached = (held.radius > 0) & held.radius.isfinite()
    assert reached.sum() >= 20
    stored = through_png(held.adversarials)
    assert torch.equal(stored, held.adversarials)
    assert (model(stored)[reached].argmax(1) != labels[reached]).all()
    assert (held.radius >= free.radius - 1e-6).all()
    both = held.radius.isfinite() & free.radius.isfinite()
    assert (held.radius[both] <= (free.radius[both] * 255).ceil() / 255 + 1.001 / 255).all()
    distance = (held.adversarials.double() - images.double()).abs().flatten(1).amax(1)
    torch.testing.assert_close(distance[reached], held.radius[reached], rtol=0, atol=1e-7)
    assert held.how["levels"] == 256
    assert held.robust_accuracy("0.9/255") == held.robust_accuracy(0)  # no file can hold less than a level
    assert (held.passes[:, 0] - free.passes[:, 0]).double().mean() <= 3


def test_an_epsilon_below_one_level_leaves_every_image(five):
    model, images, labels = on_files(five)
    result = palpate.sweep(model, images, labels, ["0.9/255"], GREY)
    assert result.radius.isinf().all()
    assert torch.equal(result.adversarials, images)


class Comb(nn.Module):
    """Fooled only where pixels are an even number of levels away from 100, so that the first ball's corner does not do."""

    def forward(self, x):
        level = (x * 255 - 100).flatten(1)
        score = level.abs().mean(1) * torch.cos(torch.pi * level).mean(1) - 1.2
        return torch.stack([torch.zeros_like(score), score], 1)


def test_where_the_first_ball_holds_no_such_image_the_next_is_tried():
    images, labels = torch.full((3, 3, 4, 4), 100 / 255), torch.zeros(3, dtype=torch.long)
    for top, level in ((8 / 255, 2.0), (1.9 / 255, float("inf"))):
        access, best = ModelAccess(Comb(), batch=2), Best(images)
        access.begin(3)
        best.update(torch.arange(3), images + 0.9 / 255, torch.full((3,), 0.9 / 255, dtype=torch.float64), labels == 0)
        onto_levels(Block(slice(0, 3), images, labels, access, best, (top,)), 256)
        torch.testing.assert_close(best.limit * 255, torch.full((3,), level, dtype=torch.float64))
        assert ((best.points - images) * 255).abs().amax().item() == pytest.approx(2 if level == 2 else 0, abs=1e-4)
        assert access.passes[:, 1].tolist() == [5, 5, 5]  # five steps in the first ball, none in the second


def test_images_that_are_not_from_a_file_are_refused_before_the_attack(five):
    with pytest.raises(InputError, match="k / 255"):
        palpate.sweep(five.model, five.images[:2], five.labels[:2], [0.1], GREY)
