"""Heads other than K logits: one sigmoid logit, one finding of many, and gradients that say nothing."""

import contextlib

import pytest
import torch
from torch import nn

import palpate
from palpate.core.errors import InputError

GRID = [0.02, 0.05, 0.25]


class OneLogit(nn.Module):
    """The difference of a two-class model's logits."""

    def __init__(self, model: nn.Module, flat: bool) -> None:
        super().__init__()
        self.model, self.flat = model, flat

    def forward(self, x):
        logits = self.model(x)
        difference = logits[:, 1] - logits[:, 0]
        return difference if self.flat else difference[:, None]


@pytest.mark.parametrize("flat", [True, False])
def test_one_logit_is_two_classes(linear2, flat):
    one = palpate.sweep(OneLogit(linear2.model, flat).eval(), linear2.images, linear2.labels, GRID)
    two = palpate.sweep(linear2.model, linear2.images, linear2.labels, GRID)
    torch.testing.assert_close(one.radius, two.radius, rtol=1e-3, atol=0)


class Findings(nn.Module):
    """Three sigmoid findings, each its own linear function."""

    def __init__(self, side: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        weight = torch.randn(3, 3 * side**2, generator=generator, dtype=torch.float64)
        self.weight = nn.Parameter(weight - weight.mean(1, keepdim=True))

    def forward(self, x):
        return x.flatten(1) @ self.weight.T


def test_a_finding_of_a_multi_label_head_has_its_own_radius(linear2):
    model = Findings(8).eval()
    logits = model(linear2.images).detach()
    labels = (logits > 0).long()
    for finding in range(3):
        exact = logits[:, finding].abs() / model.weight[finding].abs().sum()
        for given in (labels, labels[:, finding]):
            result = palpate.sweep(model, linear2.images, given, [0.25], finding=finding)
            assert (result.radius <= 1.01 * exact).all()
            assert (result.radius >= exact * (1 - 1e-9)).all()


def test_a_matrix_of_labels_needs_a_finding(linear2):
    with pytest.raises(InputError, match="finding="):
        palpate.sweep(Findings(8).eval(), linear2.images, torch.zeros(40, 3), GRID)
    with pytest.raises(InputError, match=r"finding must be a column of the model's 3, given 5"):
        palpate.sweep(Findings(8).eval(), linear2.images, torch.zeros(40), GRID, finding=5)


class Steps(nn.Module):
    """The model behind a rounding to 16 grey levels, which has no gradient."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model((x * 15).round() / 15 + 0 * x)


def test_without_a_gradient_random_corners_and_square_still_find_something(five):
    model = Steps(five.model).eval()
    right = model(five.images[:24]).argmax(1) == five.labels[:24]
    standard = palpate.sweep(model, five.images[:24], five.labels[:24], [0.3])
    assert standard.status == ("ok",) * 24
    assert standard.radius[right].isfinite().any()
    ensemble = palpate.sweep(model, five.images[:24], five.labels[:24], [0.3], "ensemble")
    assert (ensemble.radius <= standard.radius).all()
    assert ensemble.radius.clamp(max=0.3).sum() < standard.radius.clamp(max=0.3).sum()


class Saturated(nn.Module):
    """The model with its margins in the thousands: cross-entropy has no gradient in float32."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x):
        return 3000 * self.model(x)


def test_a_saturated_head_hides_nothing(two):
    plain = palpate.sweep(two.model, two.images, two.labels, GRID)
    saturated = palpate.sweep(Saturated(two.model).eval(), two.images, two.labels, GRID)
    torch.testing.assert_close(saturated.radius, plain.radius, rtol=0.02, atol=1e-5)


class Noisy(nn.Module):
    """A model that adds noise to every answer."""

    def __init__(self, model: nn.Module, size: float) -> None:
        super().__init__()
        self.model, self.size = model, size

    def forward(self, x):
        return self.model(x) + self.size * torch.randn(len(x), 2)


def test_a_random_model_is_warned_of_and_its_mean_can_be_attacked(two):
    torch.manual_seed(0)
    model = Noisy(two.model, 0.3).eval()
    with pytest.warns(UserWarning, match=r"not deterministic.*draws=8"):
        palpate.sweep(model, two.images[:4], two.labels[:4], GRID)
    result = palpate.sweep(model, two.images[:16], two.labels[:16], GRID, {"attack": "standard", "draws": 8})
    plain = palpate.sweep(two.model, two.images[:16], two.labels[:16], GRID)
    assert (result.passes % 8 == 0).all()
    assert result.radius.isfinite().sum() >= plain.radius.isfinite().sum() - 2


class Probabilities(nn.Module):
    """The model's logits times a factor as probabilities, or as their logarithms."""

    def __init__(self, model: nn.Module, factor: float, log: bool) -> None:
        super().__init__()
        self.model, self.factor, self.log = model, factor, log

    def forward(self, x):
        p = (self.factor * self.model(x)).softmax(1)
        return p.log() if self.log else p


@pytest.mark.parametrize("log", [True, False])
def test_probabilities_that_round_to_zero_hide_nothing(five, log):
    """The gradient of log 0 is no number and that of 0 is zero; in float64 these probabilities are larger than 0."""
    x, y = five.images[:32], five.labels[:32]
    spread = float(five.model(x).detach().diff(dim=1).abs().mean())
    model = Probabilities(five.model, 200 / spread, log).eval()
    assert (model(x).exp() if log else model(x)).eq(0).any(1).double().mean() > 0.5
    plain = palpate.sweep(five.model, x, y, GRID)
    with contextlib.nullcontext() if log else pytest.warns(match="probabilities instead of logits"):
        bent = palpate.sweep(model, x, y, GRID)
    assert bent.status == ("ok",) * 32
    found = plain.radius.isfinite() & (plain.radius > 0)
    near = (bent.radius / plain.radius - 1)[found] <= 0.05
    assert near.double().mean() >= 0.95
