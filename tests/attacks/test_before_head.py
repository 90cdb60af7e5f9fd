"""Heads that change no decision are seen through: descents go by the logits before them, and the network's own answers decide."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import palpate
from palpate.attacks.before_head import before_head, product_before_head
from palpate.attacks.fuse import fuse_batchnorm
from palpate.attacks.losses import certain_margin
from palpate.attacks.precision import open_access


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
    "in place": lambda z: z.pow_(3),
    "no gradient at the largest": lambda z: -(z.amax(1, keepdim=True) - z).sqrt(),
    "log of probabilities of 0": lambda z: (300 * z).softmax(1).log(),
    "some set to a number": lambda z: (z**3).masked_fill_(z < z.topk(2).values[:, 1:], -1e9),
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
    "chance": lambda z: z**3 * (1 + 0.3 * torch.randn_like(z)),
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


class Own(nn.Module):
    """The features of a network with a head of its own, a function of them and of the last layer."""

    def __init__(self, model: nn.Module, head) -> None:
        super().__init__()
        self.features, self.last, self.head = copy.deepcopy(model), model.head, head
        self.features.head = nn.Identity()

    def forward(self, x):
        return self.head(self.features(x), self.last)


def temperature(f):
    return torch.sigmoid((f - 0.5) @ torch.linspace(-3, 3, f.shape[1])[:, None])


def before(f, last):
    divisor = temperature(f)
    return last(f) / divisor


def mean_of_a_map(f, last):
    return F.conv2d(f[:, :, None, None].expand(-1, -1, 2, 2), last.weight[:, :, None, None], last.bias).mean((2, 3))


BIAS = torch.linspace(-1, 1, 5)
OWN = {
    "temperature after the logits": lambda f, last: last(f) / temperature(f),
    "temperature before them": before,
    "size of the features": lambda f, last: last(f) * f.norm(dim=1, keepdim=True) ** 3,
    "bias of its own": lambda f, last: (f @ last.weight.T + last.bias) ** 3,
    "mean of a map": lambda f, last: mean_of_a_map(f, last) ** 3,
}


@pytest.mark.parametrize("name", OWN)
def test_a_head_may_have_a_branch_and_end_in_a_sum_or_a_mean(five, name):
    x, y = five.images[:24], five.labels[:24]
    plain, found = (palpate.sweep(model, x, y, [0.5]) for model in (five.model, Own(five.model, OWN[name]).eval()))
    torch.testing.assert_close(found.radius, plain.radius, rtol=0.01, atol=0)
    assert found.passes.double().mean() <= 1.1 * plain.passes.double().mean()


class Doubled(torch.autograd.Function):
    """A product with a gradient of its own, as quantised networks have."""

    @staticmethod
    def forward(ctx, f, weight):
        ctx.save_for_backward(weight)
        return 2 * F.linear(f, weight)

    @staticmethod
    def backward(ctx, slope):
        return 2 * slope @ ctx.saved_tensors[0], None


def experts(f, last):
    """Each image is decided by one of two experts; the first images and their negatives, which have few features, by the second."""
    chosen = F.one_hot((f[:, 0] > 1e3).long(), 2) * 0.9
    return chosen[:, 1:] * F.linear(f, last.weight.flip(0)) + chosen[:, :1] * last(f)


SEVERAL = {
    "another expert": experts,
    "no gradient of its product": lambda f, last: Doubled.apply(f, last.weight) ** 3,
}


@pytest.mark.parametrize("name", SEVERAL)
@pytest.mark.parametrize("count", [1, 2])
def test_a_head_that_may_decide_otherwise_for_other_images_is_left_in_place(five, name, count):
    assert product_before_head(Own(five.model, SEVERAL[name]).eval(), five.images[:count]) is None


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("count", [1, 2])
def test_a_sign_of_each_image_changes_decisions(five, count, sign):
    class Signed(Headed):
        def forward(self, x):
            return super().forward(x) * sign * (x[..., :8] - x[..., 8:]).mean((1, 2, 3))[:, None]

    assert product_before_head(Signed(five.model, KEEPING["cube"]).eval(), five.images[:count]) is None


def test_the_mean_of_several_answers_is_of_the_networks_own(five):
    """A mean of cubes is not the cube of a mean."""
    model = Own(five.model, lambda f, last: last(F.dropout(f, 0.4, True)) ** 3).eval()
    access = open_access(model, five.images[:2], 64, 4, "float32", decisions=True)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        expected = torch.stack([model(five.images) for _ in range(4)]).mean(0)
        torch.manual_seed(0)
        torch.testing.assert_close(access.judge(five.images), expected)


def test_a_network_that_keeps_a_running_mean_is_not_shown_what_is_made_up(five):
    class Running(Headed):
        mean = torch.zeros(5)

        def forward(self, x):
            z = super().forward(x)
            self.mean = 0.9 * self.mean + 0.1 * z.detach().mean(0)
            return z + 0 * self.mean

    model = Running(five.model, KEEPING["cube"]).eval()
    assert product_before_head(model, five.images[:2]) is not None
    assert torch.equal(model.mean, torch.zeros(5))
    x, y = five.images[:24], five.labels[:24]
    plain, found = (palpate.sweep(each, x, y, [0.5]) for each in (five.model, model))
    torch.testing.assert_close(found.radius, plain.radius, rtol=0.01, atol=0)


def test_batch_norm_that_is_folded_before_a_sum_moves_no_product(five):
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.norm = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
            self.last = nn.Linear(8, 5)

        def forward(self, x):
            x = self.first(x)
            return self.last((x + self.norm(self.second(x))).amax((2, 3))) ** 3

    model, x = Residual().eval().requires_grad_(False), five.images[:8]
    number = product_before_head(model, x[:2])
    assert number is not None
    asked = [before_head(each, number)(x) for each in (model, fuse_batchnorm(model, x[:2]))]
    assert (asked[0].argmax(1) == model(x).argmax(1)).all()
    torch.testing.assert_close(asked[0] ** 3, model(x))
    torch.testing.assert_close(*asked)


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
