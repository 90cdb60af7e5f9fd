"""Networks whose margin is rough or jumps: found out on the first images, and attacked with more patience."""

import itertools

import pytest
import torch
from torch import nn

import palpate
from palpate.attacks.api import sweep_blocks
from palpate.attacks.boundary import across
from palpate.attacks.minimum_norm import MinimumNorm
from palpate.attacks.problem import Problem

TOP = 0.5


class Winners(nn.Module):
    """Keeps the eight largest activations (Xiao, Zhong & Zheng 2020, arXiv 1905.10510), so that logits jump where another one takes over."""

    def forward(self, x):
        return x * (x >= x.topk(8, 1).values[:, -1:])


class Sign(nn.Module):
    """No gradient passes it, so that a surrogate is asked."""

    def forward(self, x):
        return x.sign()


def network(activation: type[nn.Module], classes: int, seed: int) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """A small network with random weights, 40 images, and its own answers as labels."""
    draw = torch.Generator().manual_seed(seed)
    widths = (36, 64, 64, classes)
    layers = [nn.Linear(one, other) for one, other in itertools.pairwise(widths)]
    with torch.no_grad():
        for parameter in (each for layer in layers for each in layer.parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=draw) / parameter.shape[-1] ** 0.5)
    net = nn.Sequential(nn.Flatten(), layers[0], activation(), layers[1], activation(), layers[2]).eval()
    images = torch.rand(40, 1, 6, 6, generator=torch.Generator().manual_seed(9))
    return net, images, net(images).argmax(1)


def attacked(net, images, labels):
    """The block of the images after `standard`."""
    problem = Problem(net, images, labels, (TOP,), images[:2], len(net(images[:1])[0]))
    block = next(problem.blocks(problem.access(), "linf", batches=4))
    MinimumNorm(strength="standard")._attack(block)
    return block


@pytest.mark.parametrize(("classes", "seed"), [(2, 0), (2, 1), (4, 1), (4, 2)])
def test_radii_of_a_network_that_jumps_are_near_those_of_the_ensemble(classes, seed):
    net, images, labels = network(Winners, classes, seed)
    standard, ensemble = (
        palpate.sweep(net, images, labels, [TOP], strength).radius.clamp(max=TOP).mean()
        for strength in ("standard", "ensemble")
    )
    assert standard < 1.5 * ensemble  # 1.7 to 2.5 times without the restarts


@pytest.mark.parametrize(
    ("activation", "classes", "seed", "rough", "jumps"),
    [
        (Winners, 2, 1, True, True),
        (Winners, 4, 3, True, True),
        (Sign, 2, 0, True, True),
        (Sign, 2, 1, True, True),
        (nn.ReLU, 2, 0, True, False),
        (nn.ReLU, 2, 1, False, False),
        (nn.ReLU, 4, 3, False, False),
    ],
)
def test_what_kind_a_network_is_shows_on_the_first_images(activation, classes, seed, rough, jumps):
    block = attacked(*network(activation, classes, seed))
    assert (block.head.rough, block.head.jumps) == (rough, jumps)


def test_a_rough_network_has_its_radii_polished(monkeypatch):
    net, images, labels = network(nn.ReLU, 2, 0)
    polished = palpate.sweep(net, images, labels, [TOP]).radius.clamp(max=TOP)
    monkeypatch.setattr("palpate.attacks.head.ROUGH", 1e9)
    monkeypatch.setattr("palpate.attacks.rescue.UNEVEN", 1e9)
    assert (polished <= palpate.sweep(net, images, labels, [TOP]).radius.clamp(max=TOP)).all()
    assert polished.mean() < 0.99 * palpate.sweep(net, images, labels, [TOP]).radius.clamp(max=TOP).mean()


class Threshold(nn.Module):
    """A margin of 4 · (x − .6) at the first pixel, with a jump of `jump` there."""

    def __init__(self, jump: float) -> None:
        super().__init__()
        self.jump = jump

    def forward(self, x):
        margin = 4 * (x.flatten(1)[:, 0] - 0.6)
        return torch.stack([0 * margin, margin + self.jump * (margin > 0)], 1)


@pytest.mark.parametrize("jump", [0.0, 0.1])
def test_the_margin_is_compared_across_the_boundary(jump):
    images, labels = torch.full((16, 1, 2, 2), 0.5), torch.zeros(16, dtype=torch.long)
    block = attacked(Threshold(jump), images, labels)
    # The two points are a 512th of the radius, which is .1, apart.
    expected = 1 + jump / (4 * 0.1 / 512)
    assert across(block, torch.arange(16)).numpy() == pytest.approx(expected, rel=0.02)


def test_a_sweep_that_goes_on_knows_what_kind_the_network_is():
    net, images, labels = network(Winners, 2, 1)
    whole = palpate.sweep(net, images, labels, [TOP], batch_size=10)
    carry: dict = {}
    blocks = {"batch_size": 10, "block": 20, "carry": carry}
    _, first = next(sweep_blocks(net, images, labels, [TOP], **blocks))
    rest = [part.radius for _, part in sweep_blocks(net, images, labels, [TOP], start=20, **blocks)]
    assert torch.cat([first.radius, *rest]).tolist() == whole.radius.tolist()


def test_a_network_is_judged_by_as_many_images_in_batches_of_one():
    net, images, labels = network(Winners, 4, 1)
    whole, single = (palpate.sweep(net, images, labels, [TOP], batch_size=size) for size in (40, 1))
    # Another batch rounds otherwise, which may end a descent elsewhere; a block of 4 images had a twelfth fewer passes.
    assert single.passes.sum().item() == pytest.approx(whole.passes.sum().item(), rel=0.02)
    assert single.radius.clamp(max=TOP).mean().item() == pytest.approx(
        whole.radius.clamp(max=TOP).mean().item(), rel=0.01
    )


class Power(nn.Module):
    """Each logit raised to a power at which it is a close call whether the head bends."""

    def forward(self, z):
        return z.sign() * z.abs() ** 1.8


@pytest.mark.parametrize("seed", [4, 6])
def test_what_the_ensemble_tries_more_does_not_change_what_kind_the_network_is(seed):
    net, images, labels = network(nn.Tanh, 3, seed)
    net = nn.Sequential(net, Power()).eval()
    problem = Problem(net, images, labels, (TOP,), images[:2], 3, batch_size=5)
    kinds = []
    for block in problem.blocks(problem.access(), "linf", batches=4):
        MinimumNorm(strength="ensemble")._attack(block)
        kinds.append((block.head.bends, block.head.straight))
    assert kinds[0] == kinds[1]
