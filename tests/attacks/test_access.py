"""Passes are counted and kept within a budget, memory is respected, draws are averaged."""

import pytest
import torch
from torch import nn

from palpate.attacks.access import IN_VAIN, ModelAccess
from palpate.attacks.budget import BudgetExceeded, PassBudget
from palpate.attacks.losses import cross_entropy, margin


def test_passes_are_counted_per_image(five):
    access = ModelAccess(five.model, batch=4)
    access.begin(10)
    points, place = five.images[:6], torch.tensor([0, 1, 2, 2, 2, 9])
    access.logits(points, place)
    access.gradient(points, margin, five.labels[:6], image=place)
    access.class_gradients(points, five.labels[:6], range(3), place)
    assert access.passes[:, 0].tolist() == [3, 3, 9, 0, 0, 0, 0, 0, 0, 3]
    assert access.passes[:, 1].tolist() == [4, 4, 12, 0, 0, 0, 0, 0, 0, 4]
    assert (access.budget.forward, access.budget.backward) == (18, 24)


def test_points_belong_to_the_images_selected(five):
    access = ModelAccess(five.model)
    access.begin(6)
    access.select(torch.tensor([1, 4, 5]))
    access.logits(five.images[:3])
    access.judge(five.images[:2], torch.tensor([0, 2]))
    assert access.passes[:, 0].tolist() == [0, 2, 0, 0, 1, 2]
    with pytest.raises(ValueError, match="4 points for 3 images"):
        access.logits(five.images[:4])


def test_class_gradients_are_those_of_autograd(five):
    points, labels = five.images[:5], five.labels[:5]
    logits, gaps, gradients = ModelAccess(five.model, batch=2).class_gradients(points, labels, range(9))
    assert gaps.shape == (5, 4)
    assert gradients.shape == (4, 5, 3, 16, 16)
    leaf = points[3:4].clone().requires_grad_(True)
    output = five.model(leaf)
    ranked = logits[3].scatter(0, labels[3], -torch.inf).argsort(descending=True)[:4]
    for rank, other in enumerate(ranked.tolist()):
        gap = output[0, other] - output[0, labels[3]]
        torch.testing.assert_close(gaps[3, rank], gap.double(), rtol=1e-5, atol=0)
        (expected,) = torch.autograd.grad(gap, leaf, retain_graph=True)
        torch.testing.assert_close(gradients[rank, 3:4], expected)


def test_the_gradient_is_each_image_s_own(five):
    access = ModelAccess(five.model)
    _, values, gradient = access.gradient(five.images[:4], margin, five.labels[:4])
    _, value, alone = access.gradient(five.images[2:3], margin, five.labels[2:3])
    torch.testing.assert_close(values[2:3], value)
    torch.testing.assert_close(gradient[2:3], alone)


@pytest.mark.parametrize(
    "model", [lambda x: x.round().flatten(1)[:, :3].detach(), lambda x: torch.ones(len(x), 3, requires_grad=True) * 1]
)
def test_without_a_differentiable_way_the_gradient_is_zero(model):
    points, labels = torch.rand(4, 1, 2, 2), torch.zeros(4, dtype=torch.long)
    with torch.no_grad():  # gradients are asked for whatever the caller's mode
        _, _, gradient = ModelAccess(model).gradient(points, cross_entropy, labels)
        _, _, gradients = ModelAccess(model).class_gradients(points, labels, range(2))
    assert torch.equal(gradient, torch.zeros_like(points))
    assert torch.equal(gradients, torch.zeros(2, *points.shape))


class Narrow(nn.Module):
    """Runs out of memory for more than three images."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def forward(self, x):
        if len(x) > self.most:
            raise torch.OutOfMemoryError("too many")
        return x.flatten(1)[:, :2]


@pytest.mark.parametrize("batch", [16, None])
def test_the_batch_halves_when_memory_runs_out(batch):
    points = torch.rand(11, 1, 2, 2)
    access = ModelAccess(Narrow(3), batch=batch)
    access.begin(11)
    assert torch.equal(access.logits(points), points.flatten(1)[:, :2])
    assert access.batch == 2
    assert access.passes[:, 0].tolist() == [1] * 11
    _, _, gradient = access.gradient(points, margin, torch.zeros(11, dtype=torch.long))
    assert gradient.shape == points.shape


def test_a_model_too_large_for_one_image_is_an_error():
    with pytest.raises(torch.OutOfMemoryError):
        ModelAccess(Narrow(0), batch=4).logits(torch.rand(4, 1, 2, 2))


def test_draws_are_averaged_and_counted():
    answers = iter(range(100))

    def model(x):
        return x.flatten(1)[:, :2] * 0 + next(answers)

    access = ModelAccess(model, batch=4, draws=4)
    access.begin(1)
    assert access.logits(torch.rand(1, 1, 2, 2)).tolist() == [[1.5, 1.5]]
    assert access.passes.tolist() == [[4, 0]]


def test_success_is_confirmed_in_full_precision_only_where_it_seems_so(two):
    points, labels = two.images[:3], torch.zeros(3, dtype=torch.long)
    access = ModelAccess(two.model, fast=lambda x: -two.model(x), confirm=True, batch=4)
    access.begin(3)
    seems = torch.tensor([[0.0, 9.0], [9.0, 0.0], [0.0, 9.0]])  # what a fast model of low precision might say
    exact = (two.model(points).argmax(1) != labels).tolist()
    assert access.fooled(points, access.certain_margin(seems, labels), labels).tolist() == [exact[0], False, exact[2]]
    assert access.passes[:, 0].tolist() == [1, 0, 1]


def test_a_budget_is_kept_by_all_who_share_it(five):
    budget = PassBudget(20)
    one, other = ModelAccess(five.model, budget=budget), ModelAccess(five.model, budget=budget)
    one.logits(five.images[:6])
    other.gradient(five.images[:5], margin, five.labels[:5])
    assert (budget.forward, budget.backward, budget.left) == (11, 5, 4)
    with pytest.raises(BudgetExceeded, match="up to 6 passes and 4 of 20 are left; raise budget"):
        one.logits(five.images[:6])
    assert budget.left == 4
    assert PassBudget().left == float("inf")


def test_a_gradient_that_is_no_number_is_asked_again_in_float64():
    """exp(−200 x) rounds to 0 in float32 for x = 1, so that its logarithm has no gradient; in float64 it is −200. At x = 5 neither has one."""

    def model(x: torch.Tensor) -> torch.Tensor:
        low = (-200 * x.mean((1, 2, 3))).exp().log()
        return torch.stack([torch.zeros_like(low), low], 1)

    careful = ModelAccess(model, careful=lambda: lambda x: model(x.double()).float())
    x = torch.tensor([0.1, 1.0, 5.0]).view(3, 1, 1, 1)
    for access, blind in ((careful, [False, False, True]), (ModelAccess(model), [False, True, True])):
        access.begin(3)
        _, value, gradient = access.gradient(x, margin, torch.zeros(3, dtype=torch.long))
        assert access.blind.tolist() == blind
        torch.testing.assert_close(gradient.flatten(), torch.where(torch.tensor(blind), 0.0, -200.0), rtol=1e-5, atol=0)
    careful.begin(3)
    _, value, _ = careful.gradient(x, margin, torch.zeros(3, dtype=torch.long))
    torch.testing.assert_close(value, torch.tensor([-20.0, -200.0, float("-inf")]), rtol=1e-5, atol=0)
    assert careful.passes.tolist() == [[1, 1], [2, 2], [2, 2]]
    for _ in range(20):
        careful.gradient(x[2:], margin, torch.zeros(1, dtype=torch.long), image=torch.tensor([2]))
    assert careful.passes[2].tolist() == [21 + IN_VAIN, 21 + IN_VAIN]
