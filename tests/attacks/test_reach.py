"""What a linear function gains within ball and box: against linear programming and an independent bisection, on images full of 0s and 1s."""

import numpy as np
import pytest
import scipy.optimize
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.attacks import exact

from palpate.attacks.norms import distance, project
from palpate.attacks.reach import Reach, rate

NORMS = ["linf", "l2", "l1"]


def drawn(seed: int, pixels: int = 27) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (4, 3, 3, 3) of which a third is at 0 and a third at 1, and gradients with some zeros and some equal pixels."""
    generator = torch.Generator().manual_seed(seed)
    images = (3 * torch.rand(4, pixels, generator=generator, dtype=torch.float64) - 1).clamp(0, 1)
    gradient = torch.randn(4, pixels, generator=generator, dtype=torch.float64)
    gradient[:, :4] = 0
    gradient[:, 4:8] = gradient[:, 4:5]
    return images.view(4, 3, 3, 3), gradient.view(4, 3, 3, 3)


def programmed(gradient: np.ndarray, image: np.ndarray, radius: float, norm: str) -> float:
    """The same maximum by linear programming: l1 in the moves upwards and downwards of each pixel apart."""
    if norm == "linf":
        bounds = np.stack([np.maximum(-radius, -image), np.minimum(radius, 1 - image)], 1)
        return -scipy.optimize.linprog(-gradient, bounds=bounds).fun
    both = np.concatenate([gradient, -gradient])
    bounds = np.stack([np.zeros(len(both)), np.concatenate([1 - image, image])], 1)
    return -scipy.optimize.linprog(-both, A_ub=np.ones((1, len(both))), b_ub=[radius], bounds=bounds).fun


@pytest.mark.parametrize("norm", ["linf", "l1"])
@pytest.mark.parametrize("radius", [0.05, 0.3, 0.9])
def test_the_gain_is_the_optimum_of_a_linear_programme(norm, radius):
    images, gradient = drawn(0)
    size = radius if norm == "linf" else 9 * radius
    found = Reach(images, gradient, norm).gain(torch.full((4,), size, dtype=torch.float64))
    expected = [
        programmed(g.flatten().numpy(), x.flatten().numpy(), size, norm) for g, x in zip(gradient, images, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), share=st.floats(0.01, 0.999) | st.just(1.01))
@pytest.mark.parametrize("norm", NORMS)
def test_gain_radius_and_delta_agree_with_bisection_and_each_other(norm, seed, share):
    images, gradient = drawn(seed)
    reach = Reach(images, gradient, norm)
    most = reach.gain(torch.full((4,), 1e3, dtype=torch.float64))
    wanted = share * most
    radius = reach.radius(wanted)
    expected = [
        exact.radius(g.flatten().numpy(), x.flatten().numpy(), float(w), norm)
        for g, x, w in zip(gradient, images, wanted, strict=True)
    ]
    np.testing.assert_allclose(radius, expected, rtol=1e-6)
    if share <= 1:
        torch.testing.assert_close(reach.gain(radius), wanted, rtol=1e-6, atol=0)
        moved = images + reach.delta(radius)
        assert moved.min() >= -1e-12
        assert moved.max() <= 1 + 1e-12
        torch.testing.assert_close((gradient * (moved - images)).flatten(1).sum(1), wanted, rtol=1e-6, atol=0)
        assert (distance(moved, images, norm) <= radius * (1 + 1e-6)).all()
    else:
        assert radius.isinf().all()


@pytest.mark.parametrize("norm", NORMS)
def test_nothing_wanted_needs_no_radius_and_no_gradient_gains_nothing(norm):
    images, gradient = drawn(1)
    reach = Reach(images, gradient, norm)
    assert reach.radius(torch.tensor([0.0, -1.0, 0.0, -1e-9], dtype=torch.float64)).tolist() == [0] * 4
    flat = Reach(images, torch.zeros_like(gradient), norm)
    one = torch.ones(4, dtype=torch.float64)
    assert flat.gain(one).tolist() == [0] * 4
    assert flat.radius(one).isinf().all()
    assert torch.equal(flat.delta(one), torch.zeros_like(images))


@pytest.mark.parametrize("norm", NORMS)
def test_the_rate_is_the_derivative_of_the_gain_where_no_pixel_is_near_its_end(norm):
    generator = torch.Generator().manual_seed(2)
    images = 0.5 + 0.1 * torch.rand(3, 1, 5, 5, generator=generator, dtype=torch.float64)
    gradient = torch.randn(3, 1, 5, 5, generator=generator, dtype=torch.float64)
    radius = torch.full((3,), 0.05, dtype=torch.float64)
    reach = Reach(images, gradient, norm)
    slope = (reach.gain(radius + 1e-6) - reach.gain(radius)) / 1e-6
    torch.testing.assert_close(rate(images, gradient, radius, norm), slope, rtol=1e-4, atol=0)


@pytest.mark.parametrize("norm", NORMS)
def test_the_rate_counts_only_pixels_that_the_box_leaves_free(norm):
    images = torch.tensor([0.0, 1.0, 0.5, 0.5]).view(1, 1, 2, 2)
    gradient = torch.tensor([-9.0, 9.0, 3.0, -4.0]).view(1, 1, 2, 2)
    expected = {"linf": 7.0, "l2": 5.0, "l1": 4.0}[norm]
    assert rate(images, gradient, torch.tensor([0.1], dtype=torch.float64), norm).item() == pytest.approx(expected)


@pytest.mark.parametrize("norm", NORMS)
def test_the_optimum_of_a_grey_image_is_grey(norm):
    images = drawn(3)[0][:, :1].expand(-1, 3, -1, -1).float()
    gradient = drawn(3)[1][:, :1].expand(-1, 3, -1, -1).float()
    for size in (0.03, 0.3, 3.0):
        delta = Reach(images, gradient, norm).delta(torch.full((4,), size, dtype=torch.float64))
        assert torch.equal(delta, delta[:, :1].expand_as(delta))
        point = project(images + delta, images, torch.full((4,), size / 2, dtype=torch.float64), norm)
        assert torch.equal(point, point[:, :1].expand_as(point))


def test_the_projection_is_the_nearest_point_of_ball_and_box():
    """Against a general solver with constraints, on a few pixels."""
    generator = torch.Generator().manual_seed(5)
    images = (3 * torch.rand(3, 1, 2, 3, generator=generator, dtype=torch.float64) - 1).clamp(0, 1)
    points = images + torch.randn(images.shape, generator=generator, dtype=torch.float64)
    for norm, order in (("linf", np.inf), ("l2", 2), ("l1", 1)):
        found = project(points, images, torch.full((3,), 0.4, dtype=torch.float64), norm).flatten(1).numpy()
        for point, image, nearest in zip(points.flatten(1).numpy(), images.flatten(1).numpy(), found, strict=True):

            def ball(x, image=image, order=order):
                return 0.4 - np.linalg.norm(x - image, order)

            solved = scipy.optimize.minimize(
                lambda x, point=point: ((x - point) ** 2).sum(),
                image + 1e-3 * (0.5 - image),
                bounds=[(0, 1)] * len(image),
                constraints=[{"type": "ineq", "fun": ball}],
                options={"maxiter": 500, "ftol": 1e-14},
            )
            assert np.linalg.norm(nearest - image, order) <= 0.4
            assert ((nearest - point) ** 2).sum() <= solved.fun + 1e-5
