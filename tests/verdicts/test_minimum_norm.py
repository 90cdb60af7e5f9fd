"""The reference attack, against linear models whose exact radius is known."""

import pytest
import torch
from tests.verdicts.linear import Line, images
from torch import nn

from palpate.attacks.access import ModelAccess
from palpate.verdicts.minimum_norm import NORMS, fmn


def _access(model: nn.Module) -> ModelAccess:
    return ModelAccess(model.requires_grad_(False), batch=64)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("factor", [1.0, 1000.0])
def test_the_radius_of_a_line_is_found(norm, factor):
    """l∞: |w · (x − ½)| / ‖w‖₁; l2: the same distance over ‖w‖₂, √192 times as long where all pixels weigh the same."""
    x, y, exact = images()
    access = _access(Line(factor))
    radius, points = fmn(access, x, y, norm)
    expected = exact if norm == "linf" else exact * 192**0.5
    assert ((radius >= expected * (1 - 1e-4)) & (radius <= expected * 1.05)).all()
    assert (Line(factor)(points).argmax(1) != y).all()
    reached = (points.double() - x.double()).flatten(1).norm(torch.inf if norm == "linf" else 2, dim=1)
    torch.testing.assert_close(reached, radius, rtol=1e-5, atol=1e-7)
    assert points.min() >= 0
    assert points.max() <= 1
    assert (access.budget.forward, access.budget.backward) == (100 * len(x), 100 * len(x))


def test_the_nearest_of_several_classes_is_found():
    """Ten linear logits: the radius is the smallest of margin_j / ‖w_y − w_j‖₁."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(10, 192, generator=generator)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 10, bias=False))
    model[1].weight.data = weight
    x = 0.5 + 0.1 * (torch.rand(16, 3, 8, 8, generator=generator) - 0.5)
    logits = x.flatten(1) @ weight.T
    y = logits.argmax(1)
    gaps = logits.gather(1, y[:, None]) - logits
    exact = gaps / (weight[y][:, None] - weight).abs().sum(2).clamp(min=1e-9)
    exact = exact.scatter(1, y[:, None], torch.inf).amin(1).double()
    radius, _ = fmn(_access(model), x, y)
    assert (radius >= exact * (1 - 1e-4)).all()
    assert float((radius / exact).median()) < 1.05
    assert float((radius / exact).max()) < 1.3


def test_without_a_gradient_nothing_is_found_and_nothing_breaks():
    class Cut(Line):
        def forward(self, x):
            return super().forward(x.detach())

    x, y, _ = images()
    radius, points = fmn(_access(Cut()), x, y)
    assert radius.isinf().all()
    assert torch.equal(points, x)
