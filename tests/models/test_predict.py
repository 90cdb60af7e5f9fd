"""Prediction: evaluation mode inside, everything as before outside."""

import pytest
import torch
from torch import nn

from palpate.core.errors import InputError
from palpate.models.predict import choose_device, evaluating, predict_logits


def _network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(4 * 36, 3))


def test_logits_do_not_depend_on_batches_and_ignore_training_mode():
    model, images = _network().double(), torch.rand(11, 3, 8, 8, dtype=torch.float64)
    expected = model.eval()(images)
    model.train()
    for batch_size in (1, 4, 11):
        torch.testing.assert_close(predict_logits(model, images, batch_size), expected, atol=1e-12, rtol=0)
    assert model.training


def test_modes_and_flags_come_back_even_after_an_error():
    model = _network().train()
    model[1].eval()
    model[0].weight.requires_grad_(False)
    with pytest.raises(RuntimeError), evaluating(model):
        assert not any(module.training for module in model.modules())
        assert not any(parameter.requires_grad for parameter in model.parameters())
        raise RuntimeError
    assert model.training
    assert not model[1].training
    assert [parameter.requires_grad for parameter in model[0].parameters()] == [False, True]


@pytest.mark.parametrize("name", ["gpu", "cuda:99", ""])
def test_a_device_that_is_not_there_is_named(name):
    with pytest.raises(InputError, match=r"auto|cpu"):
        choose_device(name)
