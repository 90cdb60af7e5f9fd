"""Passes are counted, memory is respected, draws are averaged."""

import pytest
import torch
from torch import nn

from palpate.attacks.access import Oracle
from palpate.attacks.losses import margin


def test_passes_are_counted_per_image(five):
    oracle = Oracle(five.model, 10, batch=4)
    points, place = five.images[:6], torch.tensor([0, 1, 2, 2, 2, 9])
    oracle.logits(points, place)
    oracle.gradient(points, place, margin, five.labels[:6])
    oracle.class_gradients(points, five.labels[:6], place, most=3)
    assert oracle.passes[:, 0].tolist() == [3, 3, 9, 0, 0, 0, 0, 0, 0, 3]
    assert oracle.passes[:, 1].tolist() == [4, 4, 12, 0, 0, 0, 0, 0, 0, 4]


def test_class_gradients_are_those_of_autograd(five):
    points, labels = five.images[:5], five.labels[:5]
    logits, classes, gradients = Oracle(five.model, 5, batch=2).class_gradients(points, labels, torch.arange(5), 9)
    assert classes.shape == (5, 4)
    assert gradients.shape == (4, 5, 3, 16, 16)
    leaf = points[3:4].clone().requires_grad_(True)
    output = five.model(leaf)
    for rank, other in enumerate(classes[3].tolist()):
        gap = output[0, other] - output[0, labels[3]]
        (expected,) = torch.autograd.grad(gap, leaf, retain_graph=True)
        torch.testing.assert_close(gradients[rank, 3:4], expected)
    ranked = logits[3].scatter(0, labels[3], -torch.inf).argsort(descending=True)[:4]
    assert classes[3].tolist() == ranked.tolist()


class Narrow(nn.Module):
    """Runs out of memory for more than three images."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def forward(self, x):
        if len(x) > self.most:
            raise torch.OutOfMemoryError("too many")
        return x.flatten(1)[:, :2]


def test_the_batch_halves_when_memory_runs_out():
    points = torch.rand(11, 1, 2, 2)
    oracle = Oracle(Narrow(3), 11, batch=16)
    assert torch.equal(oracle.logits(points, torch.arange(11)), points.flatten(1)[:, :2])
    assert oracle.batch == 2
    assert oracle.passes[:, 0].tolist() == [1] * 11
    _, _, gradient = oracle.gradient(points, torch.arange(11), margin, torch.zeros(11, dtype=torch.long))
    assert gradient.shape == points.shape


def test_a_model_too_large_for_one_image_is_an_error():
    with pytest.raises(torch.OutOfMemoryError):
        Oracle(Narrow(0), 4, batch=4).logits(torch.rand(4, 1, 2, 2), torch.arange(4))


def test_draws_are_averaged_and_counted():
    answers = iter(range(100))

    def model(x):
        return x.flatten(1)[:, :2] * 0 + next(answers)

    oracle = Oracle(model, 1, batch=4, draws=4)
    assert oracle.logits(torch.rand(1, 1, 2, 2), torch.tensor([0])).tolist() == [[1.5, 1.5]]
    assert oracle.passes.tolist() == [[4, 0]]


def test_success_is_confirmed_in_full_precision_only_where_it_seems_so(two):
    oracle = Oracle(two.model, 3, batch=4, exact=two.model)
    fooled = oracle.confirmed(
        two.images[:3], torch.tensor([True, False, True]), torch.arange(3), lambda logits, rows: rows == 2
    )
    assert fooled.tolist() == [False, False, True]
    assert oracle.passes[:, 0].tolist() == [1, 0, 1]
