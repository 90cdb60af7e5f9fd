"""Heads that are flat or saturated where the network is sure: float64 has no gradient either, and the decisions are those of the plain logits."""

import copy
import dataclasses

import pytest
import torch
from tests.attacks.conftest import train
from torch import nn
from torch.nn import functional as F

import palpate
from palpate.attacks import precision
from palpate.attacks.surrogate import unsaturated

pytestmark = pytest.mark.usefixtures("opaque")  # else most of these heads are seen through

TOP = {"linf": 0.3, "l2": 4.0}


@pytest.fixture(scope="module")
def networks():
    return {classes: train(classes) for classes in (2, 3, 7)}


class Headed(nn.Module):
    def __init__(self, network, head):
        super().__init__()
        self.network, self.head = network, head

    def forward(self, x):
        return self.head(self.network(x))


def centred(z):
    """Logits with the boundary between the two largest at 0, so that the flat parts of a head hold no ties of the two."""
    return z - z.topk(2, 1).values.mean(1, keepdim=True)


def sparsemax(z):
    largest = z.sort(1, descending=True).values
    total, number = largest.cumsum(1), torch.arange(1, z.shape[1] + 1)
    support = (1 + number * largest > total).sum(1, keepdim=True)
    return (z - (total.gather(1, support - 1) - 1) / support).clamp(min=0)


HEADS = {
    "log softmax": lambda z: (3000 * z).softmax(1).log(),
    "softmax": lambda z: (3000 * z).softmax(1),
    "softmax, clamped": lambda z: (60 * z).softmax(1).clamp(1e-7, 1 - 1e-7).log(),
    "2p - 1": lambda z: 2 * (60 * z).softmax(1) - 1,
    "sigmoid": lambda z: (3000 * centred(z)).sigmoid(),
    "tanh": lambda z: (60 * centred(z)).tanh(),
    "sparsemax": lambda z: sparsemax(60 * z),
    "hard sigmoid": lambda z: F.hardsigmoid(60 * centred(z)),
    "clamp": lambda z: (60 * centred(z)).clamp(-10, 10),
    "hardtanh": lambda z: F.hardtanh(60 * centred(z)),
    "relu6": lambda z: F.relu6(60 * centred(z) + 3),
    "threshold": lambda z: F.threshold((60 * centred(z)).clamp(max=1), -1.0, -1.0),
}
MORE = {
    "relu": lambda z: F.relu(60 * centred(z) + 1),
    "erf": lambda z: (60 * centred(z)).erf(),
    "sign": lambda z: (60 * centred(z)).sign(),
    "maximum": lambda z: torch.minimum(torch.ones(()), torch.maximum(60 * centred(z), -torch.ones(()))),
    "where": lambda z: torch.where(60 * centred(z) < -1, -torch.ones_like(z), 60 * centred(z)).clamp(max=1),
    "as a map": lambda z: (800 * z)[:, :, None, None].softmax(1).flatten(1),
    "by hand": lambda z: 1 / (1 + (-900 * centred(z)).exp()),
}
SINGLE = {
    "sigmoid": lambda z: (3000 * z).sigmoid(),
    "2p - 1": lambda z: 2 * (60 * z).sigmoid() - 1,
    "clamp": lambda z: (60 * z).clamp(-1, 1),
}


def check(network, head, images, labels, attack, dtype, finding=None, share=0.05):
    network = copy.deepcopy(network).to(dtype)
    spec, images = {"attack": attack, "norm": "linf"} if isinstance(attack, str) else attack, images.to(dtype)
    plain, flat = (
        palpate.sweep(model.eval(), images, labels, [TOP[spec["norm"]]], spec, finding=finding)
        for model in (network, Headed(network, head))
    )
    found = plain.radius.isfinite() & (plain.radius > 0)
    assert found.sum() >= 8
    assert flat.status == plain.status
    assert flat.radius[found].isfinite().all()
    assert ((flat.radius / plain.radius - 1)[found] <= share).double().mean() >= 0.95


@pytest.mark.filterwarnings("ignore:model seems to give probabilities")
@pytest.mark.parametrize(
    ("head", "classes"), [(head, count) for at, head in enumerate(HEADS) for count in (3, [2, 7][at % 2])]
)
def test_a_flat_head_changes_no_radius(networks, head, classes):
    problem, place = networks[classes], list(HEADS).index(head) + classes
    spec = {"attack": "standard", "norm": ["linf", "l2"][place % 2]}
    dtype = [torch.float32, torch.float64][place // 2 % 2]
    check(problem.model, HEADS[head], problem.images[:24], problem.labels[:24], spec, dtype)


@pytest.mark.filterwarnings("ignore:model seems to give probabilities")
@pytest.mark.parametrize("head", MORE)
def test_rarer_flat_heads_change_no_radius(networks, head):
    problem = networks[3]
    norm = ["linf", "l2"][list(MORE).index(head) % 2]
    spec = {"attack": "standard", "norm": norm}
    check(problem.model, MORE[head], problem.images[:24], problem.labels[:24], spec, torch.float32)


@pytest.mark.filterwarnings("ignore:model seems to give probabilities")
def test_nearest_neighbours_by_a_steep_softmax_hide_nothing(five):
    """The softmax is over neighbours and not over classes, and a product follows it."""
    generator = torch.Generator().manual_seed(0)
    neighbours, images = torch.randn(15, 5, generator=generator), five.images[:24]

    class Neighbours(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = five.model

        def forward(self, x):
            return -torch.cdist(self.network(x) / 4, neighbours.to(x))

    class Steep(Neighbours):
        def forward(self, x):
            near = (2000 * super().forward(x)).softmax(1)
            return (near @ F.one_hot(torch.arange(15) % 5).to(near)).log()

    class Nearest(Neighbours):
        def forward(self, x):
            return super().forward(x).view(-1, 3, 5).amax(1)

    labels = Nearest()(images).argmax(1)
    nearest, steep = (palpate.sweep(network.eval(), images, labels, [0.3]) for network in (Nearest(), Steep()))
    assert steep.status == nearest.status == ("ok",) * 24
    assert ((steep.radius / nearest.radius)[nearest.radius > 0] <= 1.2).double().mean() >= 0.8


def test_a_vote_of_sure_members_is_no_more_robust(two):
    """A mean of probabilities that are 0 or 1 is a vote; of two classes and three members its margin is the median of theirs."""

    class Members(nn.Module):
        def __init__(self, vote):
            super().__init__()
            self.network, self.vote = two.model, vote

        def forward(self, x):
            return self.vote(torch.stack([self.network(view) for view in (x, x.flip(3), x.flip(2))]))

    def median(z):
        middle = (z[..., 1] - z[..., 0]).median(0).values
        return torch.stack([-middle, middle], 1)

    images = two.images[:24]
    plain, voting = Members(median).eval(), Members(lambda z: (500 * z).softmax(2).mean(0).log()).eval()
    labels = plain(images).argmax(1)
    expected, found = (palpate.sweep(network, images, labels, [0.3]) for network in (plain, voting))
    assert found.status == ("ok",) * 24
    assert ((found.radius / expected.radius)[expected.radius > 0] <= 1.1).double().mean() >= 0.8


@pytest.mark.filterwarnings("ignore:model seems to give probabilities")
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("head", SINGLE)
def test_one_flat_number_or_finding_changes_no_radius(networks, head, norm):
    for classes, finding in ((2, None), (3, 1)):
        network = Headed(networks[classes].model, lambda z: (z - z.mean(1, keepdim=True))[:, -2:]).eval()
        if finding is None:
            network = Headed(network, lambda z: z.diff(dim=1)).eval()
        images = networks[classes].images[:24]
        labels = (network(images)[:, finding or 0] > 0).long()
        check(network, SINGLE[head], images, labels, {"attack": "standard", "norm": norm}, torch.float32, finding)


def test_the_ensemble_finds_the_same_behind_a_flat_head(networks):
    problem = networks[3]
    check(problem.model, HEADS["tanh"], problem.images[:10], problem.labels[:10], "ensemble", torch.float32, share=0.02)


def test_what_a_surrogate_answers_decides_nothing(networks):
    """Behind a head that gives one class whatever the image, the surrogate crosses boundaries that the network does not have."""
    problem = networks[2]
    constant = Headed(problem.model, lambda z: 5 * F.one_hot(torch.zeros_like(z[:, 0]).long(), 2) + z.clamp(-1, 1))
    found = palpate.sweep(constant.eval(), problem.images[:8], torch.zeros(8, dtype=torch.long), [0.3])
    assert found.status == ("ok",) * 8
    assert found.radius.isinf().all()


def test_a_network_without_a_head_has_no_surrogate():
    """Rectifiers, gates and attention before the last product with weights are no head."""
    torch.manual_seed(0)
    inner = nn.Sequential(
        nn.Flatten(), nn.Linear(12, 8), nn.ReLU6(), nn.Linear(8, 8), nn.Sigmoid(), nn.Softmax(1), nn.Linear(8, 3)
    )
    x = torch.rand(2, 3, 2, 2)
    assert unsaturated(inner, x) is None
    assert unsaturated(nn.Sequential(inner, nn.Tanh()), x) is not None


def test_checks_confirm_a_sweep_behind_a_flat_head_and_catch_one_that_saw_nothing(networks):
    """What a head does to gradients is said of the model; of the result only what it says too much."""
    images, labels = networks[2].images[:12], networks[2].labels[:12]
    model = Headed(networks[2].model, HEADS["clamp"]).eval()
    found = palpate.sweep(model, images, labels, [0.1])
    blind = dataclasses.replace(found, radius=found.radius.where(found.radius == 0, torch.inf), adversarials=None)
    for sweep, wrong in ((found, set()), (blind, {"independent attacks"})):
        verdicts = palpate.trust(model, images, labels, [0.1], sweep=sweep, budget=7000)
        assert {v.name for v in verdicts if v.subject == "result" and v.status == "fail"} == wrong


@pytest.mark.filterwarnings("ignore:model seems to give probabilities")
@pytest.mark.parametrize("head", [lambda z: z, lambda z: z.softmax(1), lambda z: z.diff(dim=1).sigmoid()])
def test_a_network_that_has_gradients_is_attacked_as_if_there_were_no_surrogate(two, head, monkeypatch):
    model = Headed(two.model, head).eval()
    found = palpate.sweep(model, two.images[:16], two.labels[:16], [0.1])
    monkeypatch.setattr(precision, "unsaturated", lambda *_: None)
    plain = palpate.sweep(model, two.images[:16], two.labels[:16], [0.1])
    assert torch.equal(found.radius, plain.radius)
    assert torch.equal(found.passes, plain.passes)
