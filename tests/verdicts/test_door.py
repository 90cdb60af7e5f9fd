"""The door counts what really happens, and stops before the budget is exceeded."""

import pytest
import torch
from tests.verdicts.lines import Line, images
from torch import nn
from torch.nn import functional as F

from palpate.attacks.losses import cross_entropy, margin
from palpate.verdicts.door import Door, Ledger, NotRun, as_classes


def test_passes_are_the_images_that_the_model_saw():
    seen = []

    class Watched(Line):
        def forward(self, x):
            seen.append((len(x), torch.is_grad_enabled() and x.requires_grad))
            return super().forward(x)

    x, y, _ = images(10)
    door = Door(Watched().requires_grad_(False), Ledger(1000), batch=4)
    door.logits(x)
    door.gradient(x, y, cross_entropy)
    assert sum(count for count, _ in seen) == door.ledger.forward == 20
    assert sum(count for count, differentiated in seen if differentiated) == door.ledger.backward == 10


def test_nothing_is_asked_beyond_the_budget():
    x, y, _ = images(10)
    ledger = Ledger(25)
    door = Door(Line().requires_grad_(False), ledger)
    door.gradient(x, y, margin)
    with pytest.raises(NotRun, match="10 passes and 5 of 25"):
        door.logits(x)
    assert ledger.left == 5


def test_the_gradient_is_autograds():
    x, y, _ = images(6)
    line = Line().requires_grad_(False)
    _, slope = Door(line, Ledger(100), batch=4).gradient(x, y, margin)
    expected = line.weight * (1 - 2 * y).view(-1, 1, 1, 1)  # towards the other class
    torch.testing.assert_close(slope, expected.expand_as(slope))


def test_a_model_without_any_path_for_gradients_has_a_zero_gradient():
    class Cut(Line):
        def forward(self, x):
            return super().forward(x.detach().round())

    x, y, _ = images(4)
    logits, slope = Door(Cut().requires_grad_(False), Ledger(100)).gradient(x, y, margin)
    assert logits.shape == (4, 2)
    assert not slope.any()


@pytest.mark.parametrize("shape", [(7,), (7, 1)])
def test_one_logit_becomes_two_with_the_same_loss(shape):
    z = torch.randn(7, generator=torch.Generator().manual_seed(0))
    y = torch.arange(7) % 2
    pair = as_classes(z.view(shape))
    torch.testing.assert_close(F.cross_entropy(pair, y), F.binary_cross_entropy_with_logits(z, y.float()))
    torch.testing.assert_close(margin(pair, y), torch.where(y == 1, -z, z))
    assert torch.equal(pair.argmax(1), (z > 0).long())


def test_more_logits_stay_as_they_are():
    z = torch.randn(3, 4)
    assert as_classes(z) is z
    assert isinstance(Door(nn.Identity(), Ledger(5)).raw(z), torch.Tensor)
