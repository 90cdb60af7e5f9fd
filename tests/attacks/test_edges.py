"""Networks that have no gradient at pixels of exactly 0 or 1 are attacked as if they had one."""

import pytest
import torch
from tests.attacks.test_doors import IMAGES, NETWORK, plain
from torch import nn

import palpate

CLAMPS = {
    "clamp": lambda x: x.clamp(0, 1),
    "clamp from below": lambda x: x.clamp(min=0),
    "clamp from above": lambda x: x.clamp(max=1),
    "relu": lambda x: x.relu(),
    "bytes": lambda x: (255 * x).clamp(0, 255) / 255,
    "hardtanh": lambda x: (nn.functional.hardtanh(2 * x - 1) + 1) / 2,
    "standardised": lambda x: ((x - 0.5) / 0.25).clamp(-2, 2) * 0.25 + 0.5,
}


@pytest.mark.parametrize("attack", ["standard", {"attack": "standard", "norm": "l2"}])
@pytest.mark.parametrize("name", CLAMPS)
def test_a_network_that_clamps_its_input_is_no_more_robust(name, attack):
    """At its ends torch.clamp has no gradient, so that black backgrounds would seem to be out of reach."""

    class Clamped(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = plain()

        def forward(self, x):
            return self.network(CLAMPS[name](x))

    images = torch.where(IMAGES < 0.4, 0.0, torch.where(IMAGES > 0.8, 1.0, IMAGES))
    labels = NETWORK(images).argmax(1)
    expected = palpate.sweep(NETWORK, images, labels, [0.002, 0.3], attack)
    found = palpate.sweep(Clamped().eval(), images, labels, [0.002, 0.3], attack)
    torch.testing.assert_close(found.radius, expected.radius, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("strength", ["standard", "ensemble"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("name", ["mask", "shrink", "clamp", "below 1"])
def test_a_network_that_blackens_dark_pixels_is_no_more_robust(name, norm, strength):
    """Black and white pixels have no gradient before they have moved by some grey levels, as every larger perturbation moves them."""
    dead, reached = {
        "mask": (lambda x: x * (x > 0.02), 0.1),
        "shrink": (lambda x: nn.functional.softshrink(x, 0.02), 0.12),
        "clamp": (lambda x: x.clamp(0.03, 0.97) - 0.03, 0.13),
        "below 1": (lambda x: 1 - (1 - x).clamp(0, 0.999), 0.1),
    }[name]

    class Dark(nn.Module):
        """More light than .1 on average is class 1; so every pixel of a black image must reach `reached`."""

        def forward(self, x):
            light = 10 * (dead(x).mean((1, 2, 3)) - 0.1)
            return torch.stack([-light, light], 1)

    images = torch.zeros(3, 1, 8, 8)
    exact = reached * {"linf": 1, "l2": 8}[norm]
    found = palpate.sweep(Dark().eval(), images, [0, 0, 0], [2 * exact], {"attack": strength, "norm": norm})
    torch.testing.assert_close(found.radius, torch.full_like(found.radius, exact), rtol=0.01, atol=0)


@pytest.mark.parametrize("name", ["square root", "gamma", "optical density"])
def test_a_network_without_a_gradient_at_black_is_as_robust_as_one_that_has_one(name):
    """The slope of a root is infinite at 0, and a logarithm that is clamped just above 0 has none there."""
    curves = {
        "square root": (lambda x: x.sqrt(), lambda x: (x + 1e-6).sqrt()),
        "gamma": (lambda x: x.pow(1 / 2.2), lambda x: (x + 1e-6).pow(1 / 2.2)),
        "optical density": (lambda x: x.clamp(min=1e-5).log(), lambda x: (x + 1e-5).log()),
    }

    class Curved(nn.Module):
        def __init__(self, curve):
            super().__init__()
            self.network, self.curve = plain(), curve

        def forward(self, x):
            return self.network(self.curve(x))

    images = torch.where(IMAGES < 0.4, 0.0, IMAGES)
    steep, smooth = (Curved(curve).eval() for curve in curves[name])
    labels = steep(images).argmax(1)
    found = palpate.sweep(steep, images, labels, [0.3])
    assert found.status == ("ok",) * 6
    assert (found.radius <= 1.5 * palpate.sweep(smooth, images, labels, [0.3]).radius + 2e-5).all()
