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


class Wrapped(nn.Module):
    """The model with a function before and one behind it."""

    def __init__(self, model: nn.Module, before=lambda x: x, behind=lambda z: z) -> None:
        super().__init__()
        self.model, self.before, self.behind = model, before, behind

    def forward(self, x):
        return self.behind(self.model(self.before(x)))


@pytest.mark.usefixtures("opaque")
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize(
    "rounded",
    [
        {"before": lambda x: (x * 255).round() / 255},
        {"before": lambda x: torch.floor(x * 255 + 0.5) / 255},
        {"before": lambda x: ((x * 255).trunc() / 255).clamp(0, 1)},
        {"behind": lambda z: (1000 * z).round()},
    ],
)
def test_roundings_hide_nothing(five, rounded, norm):
    """They have a gradient of zero; the radius is that of the network without them, to half a grey level and to ties of the logits."""
    x, y, spec = five.images[:24], five.labels[:24], {"attack": "standard", "norm": norm}
    top = {"linf": 0.3, "l2": 3.0}[norm]
    plain = palpate.sweep(five.model, x, y, [top], spec)
    found = palpate.sweep(Wrapped(five.model, **rounded).eval(), x, y, [top], spec)
    assert found.status == ("ok",) * 24
    right = (plain.radius > 0) & (found.radius > 0)
    slack = {"linf": 0.6 / 255, "l2": 0.6 / 255 * x[0].numel() ** 0.5}[norm] if "before" in rounded else 0.0
    assert (found.radius <= 1.05 * plain.radius + slack)[right].double().mean() >= 0.9
    assert found.radius[right].median() <= 1.02 * plain.radius[right].median() + slack


@pytest.mark.usefixtures("opaque")
def test_a_gradient_that_is_zero_everywhere_leaves_no_image_robust(five):
    x, y = five.images[:24], five.labels[:24]
    ranks = Wrapped(five.model, behind=lambda z: z.argsort(1).argsort(1).float() + 0 * z).eval()
    right = ranks(x).argmax(1) == y
    for attack in ("standard", {"attack": "pgd", "steps": 5}):
        found = palpate.sweep(ranks, x, y, [0.01], attack)
        assert set(found.status) <= {"ok", "no gradient"}
        assert not found.radius.isinf().any()
        assert found.robust_accuracy(0) == pytest.approx(right.double().mean().item())
    ensemble = palpate.sweep(ranks, x, y, [0.3], "ensemble")
    assert ensemble.radius[right].isfinite().any()  # by Square


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


@pytest.mark.parametrize("factor", [1.0, 4.0])
@pytest.mark.parametrize("columns", [1, 3])
def test_a_sigmoid_behind_one_logit_or_a_finding_changes_no_radius(linear2, columns, factor):
    """Class 1 is a probability above ½, and not above 0, which all of them are."""
    x, finding = linear2.images, None if columns == 1 else 1
    model = Findings(8)
    raw = Wrapped(model, behind=lambda z: z[:, 3 - columns :]).eval()
    scale = factor / raw(x).abs().median().item()
    sure = Wrapped(raw, behind=lambda z: (scale * z).sigmoid()).eval()
    labels = (raw(x)[:, finding or 0] > 0).long()
    plain = palpate.sweep(raw, x, labels, [0.25], finding=finding)
    with pytest.warns(UserWarning, match="probabilities instead of logits"):
        found = palpate.sweep(sure, x, labels, [0.25], finding=finding)
    torch.testing.assert_close(found.radius, plain.radius, rtol=0.01, atol=0)
    verdicts = palpate.trust(sure, x, labels, [0.05], sweep=found, finding=finding, budget=600)
    status = {verdict.name: verdict.status for verdict in verdicts}
    assert (status["mode and logits"], status["clean accuracy"], status["class order"]) == ("fail", "pass", "pass")
    double = x.dtype == torch.float64
    with pytest.warns(UserWarning, match="gives probabilities"):
        wrapped = palpate.wrap(sure.double() if double else sure, value_range=(0, 1), size=8)
    again = palpate.sweep(wrapped, x, labels, [0.25], finding=finding)
    torch.testing.assert_close(again.radius, plain.radius, rtol=0.01, atol=0)


def test_logits_between_zero_and_one_are_no_probabilities(linear2):
    small = Wrapped(Findings(8), behind=lambda z: 0.5 + z[:, :1] / 1000).eval()
    logits = small(linear2.images)
    assert ((logits > 0) & (logits < 1)).all()
    labels = torch.ones(len(logits), dtype=torch.long)
    palpate.sweep(small, linear2.images, labels, [0.25])  # a warning is an error here
    assert palpate.wrap(small, value_range=(0, 1), size=8).head.odds is False
