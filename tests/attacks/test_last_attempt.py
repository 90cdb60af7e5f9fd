"""What a single gradient step at the largest epsilon fools is not reported as not fooled, not even by "fast"."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import palpate
from palpate.attacks.losses import log_odds
from palpate.attacks.norms import per_image, project, steepest


class Sure(nn.Module):
    """A network that is 50 times as sure, or that adds a bonus to its prediction: both mislead a search for the boundary."""

    def __init__(self, model: nn.Module, kind: str) -> None:
        super().__init__()
        self.model, self.kind = model, kind

    def forward(self, x):
        z = self.model(x)
        if self.kind == "bonus":
            return z + 20 * F.one_hot(z.argmax(1), z.shape[1])
        return z * 50 if self.kind == "scaled" else z**5 if self.kind == "fifth power" else z


def one_step(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, epsilon: float, norm: str) -> torch.Tensor:
    """Which images the fast gradient method fools: a step of epsilon along the gradient of the log-odds, whose sign is cross-entropy's."""
    leaf = images.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(log_odds(model(leaf), labels).sum(), leaf)
    radius = torch.full((len(images),), epsilon, dtype=torch.float64)
    points = project(images + steepest(gradient, norm) * per_image(radius, images), images, radius, norm)
    return (model(points).argmax(1) != labels).detach()


@pytest.mark.parametrize("kind", ["plain", "scaled", "fifth power", "bonus"])
@pytest.mark.parametrize("name", ["two", "five"])
def test_fast_finds_what_one_step_finds(name, kind, request):
    problem = request.getfixturevalue(name)
    model = Sure(problem.model, kind).eval()
    images = problem.images[:48]
    labels = model(images).argmax(1)
    seen = 0
    for norm, epsilons in (("linf", (0.005, 0.02, 0.08)), ("l2", (0.1, 0.5, 2.0))):
        for epsilon in epsilons:
            found = palpate.sweep(model, images, labels, [epsilon], {"attack": "fast", "norm": norm})
            fooled = one_step(model, images, labels, epsilon, norm)
            assert found.radius[fooled].isfinite().all()
            seen += int(fooled.sum())
    assert seen > 0


def test_random_networks_of_many_layers():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        images = torch.rand(64, 1, 6, 6)
        for depth in (1, 3, 6):
            layers = [layer for _ in range(depth) for layer in (nn.Linear(36, 36), nn.Tanh())]
            model = nn.Sequential(nn.Flatten(), *layers, nn.Linear(36, 3)).eval()
            for parameter in model.parameters():
                parameter.data *= 2
            labels = model(images).argmax(1)
            for epsilon in (0.03, 0.1, 0.3):
                found = palpate.sweep(model, images, labels, [epsilon], "fast")
                assert found.radius[one_step(model, images, labels, epsilon, "linf")].isfinite().all()
