"""Linear networks, whose exact radius within the box is known, in every norm: found within 1 % on every image."""

import numpy as np
import pytest
import torch
from tests.attacks import exact
from torch import nn

import palpate
from palpate.attacks.head import Head
from palpate.attacks.norms import distance

TOPS = {"linf": 1.0, "l2": 60.0, "l1": 500.0}


def network(classes: int, seed: int, shape: tuple[int, int, int], bias: float = 0.0) -> nn.Sequential:
    """Logits W x + b with rows of very different length, so that the nearest class is seldom the runner-up."""
    generator = torch.Generator().manual_seed(seed)
    pixels = int(np.prod(shape))
    length = torch.logspace(0, 0.9, classes, dtype=torch.float64)[torch.randperm(classes, generator=generator)]
    model = nn.Sequential(nn.Flatten(), nn.Linear(pixels, classes)).double().eval()
    linear = model[1]
    assert isinstance(linear, nn.Linear)
    linear.weight.data = torch.randn(classes, pixels, generator=generator, dtype=torch.float64) * length[:, None]
    linear.bias.data = bias * torch.randn(classes, generator=generator, dtype=torch.float64)
    return model


def full_of_ends(count: int, shape: tuple[int, int, int], seed: int, shift: float) -> torch.Tensor:
    """Images with many pixels at 0, at 1, or at both."""
    generator = torch.Generator().manual_seed(seed)
    return (2.5 * torch.rand(count, *shape, generator=generator, dtype=torch.float64) - 0.75 + shift).clamp(0, 1)


def radii(model: nn.Sequential, images: torch.Tensor, norm: str) -> torch.Tensor:
    linear = model[1]
    assert isinstance(linear, nn.Linear)
    weight, bias = linear.weight.detach().numpy(), linear.bias.detach().numpy()
    return torch.tensor([exact.nearest(weight, bias, image.flatten().numpy(), norm) for image in images]).double()


@pytest.mark.parametrize("strength", ["standard", "ensemble"])
@pytest.mark.parametrize("classes", [2, 7, 10])
@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_the_exact_radius_in_the_box(norm, classes, strength):
    shape, count = (3, 5, 5), 16 if strength == "standard" else 8
    model = network(classes, classes, shape)
    images = torch.cat([full_of_ends(count // 2, shape, 1, 0.0), full_of_ends(count // 2, shape, 2, -0.6)])
    labels = model(images).argmax(1)
    expected = radii(model, images, norm)
    result = palpate.sweep(model, images, labels, [TOPS[norm]], {"attack": strength, "norm": norm})
    assert (result.radius <= 1.01 * expected + 1e-5).all()
    assert (result.radius >= expected * (1 - 1e-9)).all()
    single = palpate.sweep(model.float(), images.float(), labels, [TOPS[norm]], {"attack": strength, "norm": norm})
    assert (single.radius <= 1.01 * expected + 1e-5).all()
    assert single.adversarials is not None
    reached = distance(single.adversarials, images.float(), single.norm)
    torch.testing.assert_close(reached, single.radius, rtol=1e-12, atol=0)
    assert single.adversarials.min() >= 0
    assert single.adversarials.max() <= 1


@pytest.mark.parametrize("attack", ["fast", "standard", "ensemble"])
@pytest.mark.parametrize("area", [400, 40])
def test_a_bright_lesion_on_black_can_only_get_darker(area, attack):
    """One logit, "is there more light than t?": only the lesion's pixels have room."""
    images = torch.zeros(1, 1, 28, 28)
    images.view(-1)[:area] = 0.8
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 1)).eval()
    linear = model[1]
    assert isinstance(linear, nn.Linear)
    linear.weight.data.fill_(1.0)
    linear.bias.data.fill_(-0.4 * area)
    for norm, expected in (("linf", 0.4), ("l2", 0.4 * area**0.5), ("l1", 0.4 * area)):
        top = 1.0 if norm == "linf" else 1000.0
        found = palpate.sweep(model, images, [1], [top], {"attack": attack, "norm": norm})
        assert found.radius.item() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_a_black_image_can_only_get_brighter(norm):
    model = network(2, 5, (1, 6, 6), bias=1.0)
    images = torch.zeros(1, 1, 6, 6, dtype=torch.float64)
    labels = model(images).argmax(1)
    found = palpate.sweep(model, images, labels, [TOPS[norm]], {"attack": "standard", "norm": norm})
    torch.testing.assert_close(found.radius, radii(model, images, norm), rtol=1e-3, atol=0)


def test_a_head_is_straight_by_the_best_prediction_of_each_image():
    head = Head()
    head.judge()
    assert not head.straight
    place = torch.arange(8).repeat(2)
    head.note(place, torch.cat([torch.full((8,), 1e-4), torch.full((8,), 0.9)]).double(), torch.ones(16).double())
    head.judge()
    assert head.straight
    head.note(place, torch.full((16,), 1e-5).double(), torch.ones(16).double())
    other = Head()
    other.note(place, torch.full((16,), 0.01).double(), torch.ones(16).double())
    other.judge()
    assert not other.straight
    assert not other.bends
