"""One perturbation for all images: the universal radius of a linear network in closed form, and a patch of exactly the size of a weakness."""

import pytest
import torch
from torch import Tensor, nn

import palpate
from palpate.attacks.norms import distance
from palpate.core.errors import InputError


class Linear(nn.Module):
    """Two logits ±(w·x + b) / 2."""

    def __init__(self, weight: Tensor, bias: float) -> None:
        super().__init__()
        self.weight, self.bias = weight, bias

    def forward(self, images: Tensor) -> Tensor:
        value = (images * self.weight).flatten(1).sum(1) + self.bias
        return torch.stack([value / 2, -value / 2], 1)


class Weakness(nn.Module):
    """Class 1 where any square of `side` pixels is bright in all its pixels, class 0 elsewhere."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, images: Tensor) -> Tensor:
        darkest = -torch.nn.functional.max_pool2d(-images.mean(1, keepdim=True), self.side, 1)  # of each square
        mean = torch.nn.functional.avg_pool2d(images.mean(1, keepdim=True), self.side, 1)
        value = (0.2 * mean + 0.8 * darkest).flatten(1).amax(1) - 0.7
        return torch.stack([-value, value], 1)


@pytest.fixture
def images() -> Tensor:
    return torch.rand(30, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 0.2 + 0.4


def test_the_universal_radius_of_a_linear_network_is_the_closed_form(images):
    """One sign pattern serves all images of a class: every image falls at (w·x + b) / ‖w‖₁, and half of them at the median."""
    weight = torch.randn(images[0].shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    values = (images * weight).flatten(1).sum(1)
    model = Linear(weight, 0.5 - float(values.min()))
    exact = (values - values.min() + 0.5) / weight.abs().sum()
    found = palpate.sweep(model, images, [0] * 30, [0.01, 0.02, 0.04, 0.08], attack="universal")
    assert exact.max() < 0.08
    assert (found.radius / exact - 1).abs().max() < 1e-3
    assert bool((found.radius >= exact * (1 - 1e-9)).all())
    assert torch.equal(model(found.adversarials).argmax(1), torch.ones(30).long())
    shift = (found.images_at(0.04) - images)[0]
    assert torch.allclose(found.images_at(0.04), images + shift), "one perturbation for all"
    assert float(shift.abs().max()) == pytest.approx(0.04)
    other = palpate.sweep(model, images[:5], [0] * 5, [0.08], attack="universal", training=(images[5:], [0] * 25))
    assert (other.radius / exact[:5] - 1).abs().max() < 1e-3


@pytest.mark.parametrize("side", [3, 5])
def test_a_patch_of_exactly_the_size_of_the_weakness_is_found(images, side):
    model, dark = Weakness(side), images[:, :, :, :].repeat(1, 1, 2, 2) * 0.5
    found = palpate.sweep(model, dark, [0] * 30, [2, 3, 4, 5, 6], attack="patch", training=(dark[15:], [0] * 15))
    assert set(found.radius.tolist()) == {float(side)}
    assert found.norm == "px"
    assert distance(found.adversarials, dark, "px").tolist() == [side] * 30
    assert found.robust_accuracy(side - 1) == 1
    assert found.robust_accuracy(side) == 0


def test_the_worst_place_is_at_least_as_bad(images):
    """The weakness is seen in the middle only."""

    class Middle(Weakness):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images[:, :, 5:11, 5:11])

    dark = images.repeat(1, 1, 2, 2) * 0.5
    settings = {"attack": "patch", "steps": 60}
    one = palpate.sweep(Middle(3), dark, [0] * 30, [3, 5], attack=settings)
    worst = palpate.sweep(Middle(3), dark, [0] * 30, [3, 5], attack={**settings, "places": 16})
    assert bool((worst.radius <= one.radius).all())
    assert worst.robust_accuracy(5) < one.robust_accuracy(5)
    again = palpate.sweep(Middle(3), dark, [0] * 30, [3, 5], attack={**settings, "places": 16}, batch_size=7)
    assert torch.equal(worst.radius, again.radius)


def test_grey_images_get_a_grey_perturbation():
    grey = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0)).expand(-1, 3, -1, -1) * 0.2 + 0.4
    weight = torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(1))
    model = Linear(weight, 40.0)
    for attack, size in (("universal", 0.05), ("patch", 3)):
        made = palpate.sweep(model, grey, [0] * 8, [size], attack=attack).images_at(size)
        assert torch.allclose(made, made[:, :1].expand_as(made)), attack
        assert not torch.equal(made, grey)


def test_sides_in_millimetres_need_a_pixel_spacing(images):
    model, dark = Weakness(4), images * 0.5
    found = palpate.sweep(
        model, dark, [0] * 30, ["1 mm", "2 mm", "3 mm"], attack={"attack": "patch", "pixel_spacing": 0.5}
    )
    assert found.epsilons == (2, 4, 6)
    assert set(found.radius.tolist()) == {4.0}
    for epsilons, words in (
        (["2 mm"], "need pixel_spacing"),
        ([2.5], "whole pixels"),
        ([0.2], "whole pixels"),
        ([9], "larger than the images"),
    ):
        with pytest.raises(InputError, match=words):
            palpate.sweep(model, dark, [0] * 30, epsilons, attack="patch")


def test_training_images_are_for_attacks_that_learn(images):
    model = Weakness(3)
    with pytest.raises(InputError, match="learns from no images"):
        palpate.sweep(model, images, [0] * 30, [0.1], training=(images, [0] * 30))
    with pytest.raises(InputError, match="a pair of images and labels"):
        palpate.sweep(model, images, [0] * 30, [0.1], attack="universal", training=images)


def test_the_side_of_a_change_is_measured():
    clean = torch.zeros(2, 3, 8, 8)
    moved = clean.clone()
    moved[1, 2, 2, 3], moved[1, 0, 6, 4] = 1, 1
    assert distance(moved, clean, "px").tolist() == [0, 5]
