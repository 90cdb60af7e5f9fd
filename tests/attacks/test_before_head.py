"""Heads that change no decision are seen through: descents go by the logits before them, and the network's own answers decide."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import palpate
from palpate.attacks.before_head import before_head, product_before_head
from palpate.attacks.losses import certain_margin


def ranks(z):
    return z.argsort(1).argsort(1).float() + 0 * z


KEEPING = {
    "cube": lambda z: z**3,
    "fifth power": lambda z: z**5,
    "exp": torch.exp,
    "softmax of steep logits": lambda z: (20 * z).softmax(1),
    "log of a softmax": lambda z: z.log_softmax(1),
    "atan": lambda z: z.atan(),
    "bonus": lambda z: z + 10 * F.one_hot(z.argmax(1), z.shape[1]),
    "ranks": ranks,
    "cube and a masked class": lambda z: torch.cat([z**3, torch.full_like(z[:, :1], -1e9)], 1),
    "a class of probability 0": lambda z: F.pad(z.softmax(1), (0, 1)),
    "square root of the size": lambda z: z.sign() * z.abs().sqrt(),
    "as a map": lambda z: (z[:, :, None, None] ** 3).flatten(1),
    "in float64": lambda z: z.double() ** 7,
    "behind half precision": lambda z: z.bfloat16().float() ** 3,
}
ONE = {"cube": lambda z: z**3, "tanh": lambda z: (4 * z).tanh(), "no second axis": lambda z: z[:, 0] ** 3}
CHANGING = {
    "none": lambda z: z,
    "shift of one class": lambda z: z + 0.1 * F.one_hot(torch.tensor(1), z.shape[1]),
    "another order": lambda z: z[:, [1, 0, 2, 3, 4]] ** 3,
    "class weights": lambda z: z * torch.linspace(1, 1.2, z.shape[1]),
    "size": lambda z: z.abs(),
    "descending": lambda z: -z,
    "fewer classes": lambda z: z[:, :3] ** 3,
    "a class that may win": lambda z: F.pad(z, (0, 1)),
    "saturated": lambda z: (1e4 * z).sigmoid(),
    "chance": lambda z: (z + 0.3 * torch.randn_like(z)) ** 3,
    "a mean with another view": lambda z: (z.softmax(1) + z.flip(0).softmax(1)) / 2,
}


class Headed(nn.Module):
    def __init__(self, model: nn.Module, head) -> None:
        super().__init__()
        self.model, self.head = model, head

    def forward(self, x):
        return self.head(self.model(x))


@pytest.mark.filterwarnings("ignore:model seems to give probabilities")
@pytest.mark.parametrize("name", KEEPING)
def test_a_head_that_changes_no_decision_changes_neither_radii_nor_passes(five, name):
    x, y = five.images[:24], five.labels[:24]
    attack = {"attack": "standard", "norm": ["linf", "l2", "l1"][list(KEEPING).index(name) % 3]}
    plain = palpate.sweep(five.model, x, y, [30.0 if attack["norm"] == "l1" else 0.5], attack)
    found = palpate.sweep(Headed(five.model, KEEPING[name]).eval(), x, y, plain.epsilons, attack)
    assert found.status == plain.status
    assert (found.radius <= plain.radius * 1.01).all()
    assert (found.radius >= plain.radius * 0.99).all()
    assert (found.passes.double().mean(0) <= 1.1 * plain.passes.double().mean(0)).all()


@pytest.mark.filterwarnings("ignore:model seems to give probabilities")
@pytest.mark.parametrize("name", ONE)
def test_one_logit_behind_a_head_is_seen_through_too(two, name):
    difference = Headed(two.model, lambda z: z.diff(dim=1) @ torch.ones(1, 1)).eval()
    headed = Headed(difference, ONE[name]).eval()
    plain, found = (palpate.sweep(model, two.images[:24], two.labels[:24], [0.3]) for model in (difference, headed))
    torch.testing.assert_close(found.radius, plain.radius, rtol=0.01, atol=0)


@pytest.mark.parametrize("name", CHANGING)
def test_a_head_that_changes_decisions_is_left_in_place(five, name):
    assert product_before_head(Headed(five.model, KEEPING["cube"]).eval(), five.images[:2]) is not None
    assert product_before_head(Headed(five.model, CHANGING[name]).eval(), five.images[:2]) is None


def test_a_vote_of_two_networks_and_a_scripted_one_are_left_as_they_are(five):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = five.model, nn.Sequential(nn.Flatten(), nn.Linear(five.images[0].numel(), 5))

        def forward(self, x):
            return self.first(x).softmax(1) + self.second(x).softmax(1)

    assert product_before_head(Two().eval(), five.images[:2]) is None
    assert product_before_head(Two().eval(), five.images[:1]) is None
    exported = torch.export.export(Headed(five.model, KEEPING["cube"]).eval(), (five.images[:2],)).module()
    watched = product_before_head(exported, five.images[:2])
    assert watched in (None, 1)  # whether an exported program can be watched is its own business


def test_the_networks_own_decision_counts_where_the_head_changes_it_after_all(five):
    """The head looks harmless on logits of the usual size and turns around beyond."""
    far = 12 * five.model(five.images[:2]).abs().max()
    model = Headed(five.model, lambda z: torch.where(z.abs().amax(1, keepdim=True) > far, -z, z**3)).eval()
    x, y = five.images[:24], model(five.images[:24]).argmax(1)
    number = product_before_head(model, five.images[:2])
    assert number is not None
    points = torch.cat([x, 100 * x, -100 * x])
    label = y.repeat(3)
    turned = model(points).abs().amax(1) > far
    assert 0 < turned.sum() < len(points)
    asked = before_head(model, number)(points)
    own = model(points)
    assert torch.equal(certain_margin(asked, label) > 0, certain_margin(own, label) > 0)
    assert torch.equal(asked.argmax(1), own.argmax(1))
    found = palpate.sweep(model, x, y, [0.5])
    reached = found.radius.isfinite() & (found.radius > 0)
    assert torch.equal(model(found.adversarials).argmax(1) != y, reached | (found.radius == 0))
