"""Balls and boxes hold exactly, and nothing depends on the batch."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from palpate.attacks.norms import distance, dual_norm, project, random_start, round_bits, seeded, steepest


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(seed=st.integers(0, 10**6), exponent=st.floats(-5, 1.5))
def test_projected_points_are_in_ball_and_box_in_float64(norm, dtype, seed, exponent):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(4, 3, 5, 5, generator=generator, dtype=dtype).round(decimals=1)  # with exact 0s and 1s
    radius = 10**exponent * torch.rand(4, generator=generator, dtype=torch.float64)
    points = images + 3 * torch.randn(images.shape, generator=generator, dtype=dtype)
    result = project(points, images, radius, norm)
    assert (distance(result, images, norm) <= radius).all()
    assert result.min() >= 0
    assert result.max() <= 1


def test_projection_moves_nothing_that_is_inside():
    images = torch.full((1, 3, 4, 4), 0.5)
    points = images + 0.09 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0)).sign()
    assert torch.equal(project(points, images, torch.tensor([0.1])), points)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_steepest_direction_gains_the_dual_norm(norm):
    gradient = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    gain = (gradient * steepest(gradient, norm)).flatten(1).sum(1)
    torch.testing.assert_close(gain, dual_norm(gradient, norm))


def test_zero_gradient_has_no_direction():
    for norm in ("linf", "l2"):
        assert torch.equal(steepest(torch.zeros(1, 1, 2, 2), norm), torch.zeros(1, 1, 2, 2))


@given(st.floats(1e-30, 1e30))
def test_round_bits_keeps_four_figures(value):
    exact = torch.tensor([value], dtype=torch.float64)
    assert (round_bits(exact) / exact - 1).abs().item() <= 2**-12


def test_draws_depend_on_seed_image_and_stage():
    def first(*key: int) -> float:
        return torch.rand((), generator=seeded(*key)).item()

    assert first(0, 3, 1) == first(0, 3, 1)
    assert len({first(0, 3, 1), first(1, 3, 1), first(0, 4, 1), first(0, 3, 2), first(3, 0, 1)}) == 5


def test_random_start_of_an_image_is_the_same_in_any_batch():
    images, radius = torch.rand(4, 3, 6, 6), torch.full((4,), 0.1)
    whole = random_start(images, radius, [seeded(5, place, 1) for place in (10, 11, 12, 13)])
    alone = random_start(images[2:3], radius[2:3], [seeded(5, 12, 1)])
    assert torch.equal(whole[2:3], alone)
    assert not torch.equal(whole[2] - images[2], whole[3] - images[3])
