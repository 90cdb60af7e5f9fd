"""What changes no decision changes no radius: offsets, scales, the order of classes, classes that cannot win, and monotone heads."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import palpate

ORDER = [2, 0, 3, 1]
Function = Callable[[Tensor], Tensor]


def mask(value: float) -> Function:
    return lambda z: torch.cat([z, torch.full_like(z[:, :1], value)], 1)


SAME: dict[str, Function] = {
    "offset 1e4": lambda z: z + 1e4,
    "offset -1e4": lambda z: z - 1e4,
    "x 1e-6": lambda z: z * 1e-6,
    "x 1/3": lambda z: z / 3,
    "x 1e6": lambda z: z * 1e6,
    "mask -50": mask(-50.0),
    "mask -1e4": mask(-1e4),
    "mask -1e9": mask(-1e9),
    "mask -inf": mask(float("-inf")),
    "five masks": lambda z: F.pad(z, (0, 5), value=-1e30),
}
BENT: dict[str, Function] = {
    "cube": lambda z: z**3,
    "fifth power": lambda z: z**5,
    "exp": torch.exp,
    "sigmoid": torch.sigmoid,
    "softmax": lambda z: z.softmax(1),
    "+10 at the prediction": lambda z: z + 10 * F.one_hot(z.argmax(1), z.shape[1]),
}


class Head(nn.Module):
    def __init__(self, model: nn.Module, function: Function) -> None:
        super().__init__()
        self.model, self.function = model, function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.model(x))


@pytest.fixture(scope="module")
def plain() -> tuple[nn.Module, Tensor, Tensor]:
    """A two-layer network with four classes in float64, 24 images in all of [0, 1], and their predictions."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        images = torch.rand(24, 1, 8, 8)
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 4)).double().eval()
    return model, images.double(), model(images.double()).argmax(1)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("name", SAME)
def test_heads_that_change_no_decision_change_no_radius(plain, name, norm):
    model, images, labels = plain
    top, attack = {"linf": 0.5, "l2": 4.0, "l1": 30.0}[norm], {"attack": "standard", "norm": norm}
    raw = palpate.sweep(model, images, labels, [top], attack)
    found = palpate.sweep(Head(model, SAME[name]).eval(), images, labels, [top], attack)
    torch.testing.assert_close(found.radius, raw.radius, rtol=1e-6, atol=0)
    assert raw.radius.isfinite().all()


@pytest.mark.parametrize("name", [name for name in SAME if "offset" not in name])
def test_nor_do_they_in_float32(plain, name):
    model, images, labels = plain
    single = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 4)).eval()
    single.load_state_dict(model.state_dict())
    raw = palpate.sweep(single, images.float(), labels, [0.5])
    found = palpate.sweep(Head(single, SAME[name]).eval(), images.float(), labels, [0.5])
    torch.testing.assert_close(found.radius, raw.radius, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("strength", ["fast", "ensemble"])
def test_the_other_strengths_know_a_masked_class_too(plain, strength):
    model, images, labels = plain
    raw = palpate.sweep(model, images[:6], labels[:6], [0.5], strength)
    found = palpate.sweep(Head(model, mask(float("-inf"))).eval(), images[:6], labels[:6], [0.5], strength)
    torch.testing.assert_close(found.radius, raw.radius, rtol=1e-6, atol=0)


def test_the_order_of_the_classes_does_not_matter(plain):
    model, images, labels = plain
    place = torch.tensor([ORDER.index(label) for label in labels.tolist()])
    raw = palpate.sweep(model, images, labels, [0.5])
    found = palpate.sweep(Head(model, lambda z: z[:, ORDER]).eval(), images, place, [0.5])
    torch.testing.assert_close(found.radius, raw.radius, rtol=1e-6, atol=0)


@pytest.mark.filterwarnings("ignore:model seems to give probabilities")
@pytest.mark.usefixtures("opaque")
@pytest.mark.parametrize("name", BENT)
def test_monotone_heads_and_a_bonus_leave_the_radius_within_five_percent(plain, name):
    model, images, labels = plain
    raw = palpate.sweep(model, images, labels, [0.5])
    found = palpate.sweep(Head(model, BENT[name]).eval(), images, labels, [0.5])
    ratio = found.radius.clamp(max=0.5) / raw.radius
    assert (ratio <= 1.05).double().mean() >= 0.95
