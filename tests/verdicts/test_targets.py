"""A sweep towards given classes is examined as one of two classes, the target against the best of all others."""

import pytest
import torch
from tests.verdicts.helpers import by_name
from torch import Tensor, nn

import palpate
from palpate.core.errors import InputError
from palpate.verdicts.api import trust


@pytest.fixture(scope="module")
def honest() -> tuple[nn.Module, Tensor, Tensor]:
    """A linear network of four classes, 40 images, and their predictions."""
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 4, bias=False)).eval()
    model[1].weight.data = torch.randn(4, 64, generator=generator) / 8
    images = 0.3 + 0.4 * torch.rand(40, 1, 8, 8, generator=generator)
    return model, images, model(images).argmax(1)


@pytest.mark.parametrize("one", [True, False])
def test_an_honest_sweep_towards_a_class_is_not_accused(honest, one):
    model, images, labels = honest
    most = int(labels.mode().values)
    target = (most + 1) % 4
    targets = target if one else torch.where(labels == target, most, target)
    found = palpate.sweep(model, images, labels, [0.05, 0.2], "ensemble", targets=targets)
    verdicts = trust(model, images, labels, [0.05, 0.2], sweep=found, seed=1)
    assert not [verdict for verdict in verdicts if verdict.status == "fail"]
    assert by_name(verdicts)["ball and box"].status == "pass"


def test_a_sweep_towards_a_class_that_is_too_good_to_be_true_is_accused(honest):
    model, images, labels = honest
    target = (int(labels.mode().values) + 1) % 4
    found = palpate.sweep(model, images, labels, [0.05, 0.2], targets=target)
    found.radius[found.done & (found.radius > 0)] = float("inf")
    verdicts = trust(model, images, labels, [0.05, 0.2], sweep=found)
    assert "fail" in {verdict.status for verdict in verdicts if verdict.subject == "result"}


def test_targets_are_the_sweeps_and_go_with_no_expected_accuracy(honest):
    model, images, labels = honest
    target = (int(labels.mode().values) + 1) % 4
    found = palpate.sweep(model, images, labels, [0.05], "fast", targets=target)
    with pytest.raises(InputError, match="targets must be those of the sweep"):
        trust(model, images, labels, [0.05], sweep=found, targets=(target + 1) % 4)
    with pytest.raises(InputError, match="expect is an accuracy among all classes"):
        trust(model, images, labels, [0.05], targets=target, expect=0.9)
    with pytest.raises(InputError, match=r"model must be a torch.nn.Module, given function"):
        trust(lambda x: x, images, labels, [0.05])
    assert trust(model, images, labels, [0.05], targets=target, budget=0)
