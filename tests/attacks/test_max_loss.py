"""Attack "max-loss": the worst image at each epsilon, for measures that early exit would falsify."""

import pytest
import torch
from torch.nn import functional as F

import palpate
from palpate.attacks.norms import distance
from palpate.attacks.pgd import pgd
from palpate.core.errors import InputError

GRID = [0.005, 0.01, 0.02, 0.04]


def losses(problem, images):
    with torch.no_grad():
        return F.cross_entropy(problem.model(images).double(), problem.labels, reduction="none")


@pytest.mark.parametrize("name", ["two", "five"])
def test_loss_rises_with_epsilon_and_is_no_less_than_a_longer_pgd_s(name, request):
    problem = request.getfixturevalue(name)
    result = palpate.sweep(problem.model, problem.images, problem.labels, GRID, "max-loss")
    before = losses(problem, problem.images)
    for epsilon in GRID:
        images = result.images_at(epsilon)
        assert (distance(images, problem.images) <= epsilon).all()
        worst = losses(problem, images)
        assert (worst >= before - 1e-6).all()
        rival = losses(problem, pgd(problem.model, problem.images, problem.labels, epsilon, steps=75))
        assert worst.mean() >= 0.99 * rival.mean()
        before = worst


def test_it_goes_on_where_the_radius_stops(two):
    loss = palpate.sweep(two.model, two.images, two.labels, GRID, "max-loss")
    radius = palpate.sweep(two.model, two.images, two.labels, GRID)
    assert losses(two, loss.images_at(GRID[-1])).mean() > losses(two, radius.images_at(GRID[-1])).mean()


def test_radius_and_curve_are_those_of_its_images(five):
    result = palpate.sweep(five.model, five.images, five.labels, GRID, "max-loss", batch_size=10)
    for epsilon in GRID:
        fooled = five.model(result.images_at(epsilon)).argmax(1) != five.labels
        assert fooled.double().mean().item() >= 1 - result.robust_accuracy(epsilon) - 1e-9
    assert (result.passes[:, 1] == len(GRID) * 10).all()
    with pytest.raises(InputError, match="one of"):
        result.images_at(0.015)


def test_a_saturated_head_has_a_worst_image_too(two):
    class Saturated(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = two.model

        def forward(self, x):
            return 3000 * self.model(x)

    result = palpate.sweep(Saturated().eval(), two.images, two.labels, GRID, "max-loss")
    plain = palpate.sweep(two.model, two.images, two.labels, GRID, "max-loss")
    for epsilon in GRID:
        assert losses(two, result.images_at(epsilon)).mean() >= 0.9 * losses(two, plain.images_at(epsilon)).mean()
