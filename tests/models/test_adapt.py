"""One logit and findings of a multi-label head, as two classes."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from palpate.models.adapt import as_logits_model


class Head(nn.Module):
    """Hands its input on in another shape."""

    def __init__(self, shape):
        super().__init__()
        self.shape = shape

    def forward(self, x):
        return x.reshape(self.shape)


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
@pytest.mark.parametrize("finding", [None, 0])
def test_one_logit_has_the_same_decision_and_cross_entropy_as_two(shape, finding):
    logit = torch.tensor([2.0, -1.0, 0.5])
    pair = as_logits_model(Head(shape), finding)(logit[:, None])
    assert pair.tolist() == [[0.0, 2.0], [0.0, -1.0], [0.0, 0.5]]
    truth = torch.tensor([1, 0, 0])
    torch.testing.assert_close(F.cross_entropy(pair, truth), F.binary_cross_entropy_with_logits(logit, truth.float()))


def test_a_finding_is_a_column_and_without_one_the_logits_stay():
    logits = torch.tensor([[1.0, -2.0, 3.0]])
    assert as_logits_model(nn.Identity())(logits) is logits
    assert as_logits_model(nn.Identity(), 1)(logits).tolist() == [[0.0, -2.0]]
