"""Which classes are never aimed at: those whose logit no pixel moves and that are below all others."""

import math

import pytest
import torch
from torch import Tensor, nn

from palpate.attacks.losses import wrong_by_logit
from palpate.attacks.precision import still_classes

EXAMPLE = torch.linspace(0, 1, 2 * 12).view(2, 3, 2, 2)


class Head(nn.Module):
    """Logits of three linear functions, and what a head makes of them."""

    def __init__(self, head) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.weight = nn.Parameter(torch.randn(12, 3, generator=generator))
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        return self.head((x.flatten(1) - 0.5) @ self.weight)


def constant(z: Tensor, *values: float) -> Tensor:
    return torch.cat([torch.full_like(z[:, :1], value) for value in values], 1)


HEADS = {
    "three classes": (lambda z: z, []),
    "masked": (lambda z: torch.cat([z[:, :2], constant(z, -50.0, -1e9, -math.inf), z[:, 2:]], 1), [2, 3, 4]),
    "a reference class among the others": (lambda z: torch.cat([constant(z, 0.0), z], 1), []),
    "one sigmoid logit as two": (lambda z: torch.cat([constant(z, 0.0), z[:, :1] + 9], 1), []),
    "probabilities that float32 rounds to 0": (lambda z: (400 * z).softmax(1), []),
    "a logit cut off above the others": (lambda z: torch.cat([z, z[:, :1].clamp(min=30)], 1), []),
    "nothing moves": (lambda z: constant(z, 1.0, 2.0, 3.0), []),
}


@pytest.mark.parametrize("name", HEADS)
def test_only_masked_classes_are_found(name):
    head, wanted = HEADS[name]
    model = Head(head).requires_grad_(False)
    precise = Head(head).double()
    found = still_classes(model, lambda: lambda points: precise(points.double()).float(), EXAMPLE)
    assert ([] if found is None else found.nonzero()[:, 0].tolist()) == wanted


def test_a_still_class_is_aimed_at_where_it_is_the_best_wrong_one():
    logits = torch.tensor([[4.0, 1.0, -50.0, 3.0], [4.0, -70.0, -50.0, -90.0]])
    still = torch.tensor([False, False, True, False])
    assert wrong_by_logit(logits, torch.tensor([0, 0]), 9, still).tolist() == [[3, 1], [2, 1]]
    assert wrong_by_logit(logits, torch.tensor([0, 0]), 1, still).tolist() == [[3], [2]]


def test_the_true_class_is_never_aimed_at_next_to_classes_at_minus_infinity():
    logits = torch.tensor([[2.0, -math.inf, -math.inf]])
    assert sorted(wrong_by_logit(logits, torch.tensor([0]), 9)[0].tolist()) == [1, 2]
