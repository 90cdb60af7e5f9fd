"""Grad-CAM against its formula worked out by hand, and what an empty map is."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import palpate
from palpate.core.errors import InputError
from palpate.explainers.grad_cam import grad_cam


class _Linear(nn.Module):
    """A convolution, its mean over space, and a dense layer: Grad-CAM's weights are then the dense layer's, over h·w."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Conv2d(3, 5, 3, stride=2, padding=1)
        self.head = nn.Linear(5, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(images).mean((2, 3)))


@pytest.fixture
def model():
    return palpate.wrap(_Linear(), mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))


def _by_hand(model, images: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    inner = next(module for module in model.modules() if isinstance(module, _Linear))
    mean, std = torch.tensor((0.5, 0.4, 0.3)), torch.tensor((0.2, 0.3, 0.4))
    x = inner.features((images - mean[:, None, None]) / std[:, None, None])  # (N, 5, h, w)
    weights = inner.head.weight[classes] / x[0, 0].numel()  # (N, 5)
    coarse = (weights[:, :, None, None] * x).sum(1, keepdim=True).clamp_min(0)
    return F.interpolate(coarse, images.shape[-2:], mode="bilinear")[:, 0].detach()


def test_maps_equal_the_formula(model):
    images, classes = torch.rand(5, 3, 16, 16), torch.tensor([0, 1, 2, 0, 1])
    for batch_size in (2, 32):
        found = grad_cam(model, images, classes, batch_size=batch_size)
        torch.testing.assert_close(found, _by_hand(model, images, classes), atol=1e-6, rtol=1e-4)


def test_the_predicted_class_is_the_default(model):
    images = torch.rand(4, 3, 16, 16)
    torch.testing.assert_close(grad_cam(model, images), grad_cam(model, images, model(images).argmax(1)))


def test_a_map_with_nothing_for_the_class_is_empty_and_not_nan(model):
    inner = next(module for module in model.modules() if isinstance(module, _Linear))
    with torch.no_grad():
        inner.features.weight.zero_()
        inner.features.bias.fill_(1.0)
        inner.head.weight.fill_(-1.0)
    assert torch.equal(grad_cam(model, torch.rand(2, 3, 16, 16)), torch.zeros(2, 16, 16))


def test_nothing_of_the_model_is_changed(model):
    model.train()
    grad_cam(model, torch.rand(2, 3, 16, 16))
    assert model.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())


def test_backbone_and_attention_are_the_maps_before_and_after_attention():
    torch.manual_seed(0)
    model = palpate.build("test_resnet", attention="full", size=32, output_stride=8)
    images, classes = torch.rand(3, 3, 32, 32), torch.tensor([0, 1, 1])
    before, after = (grad_cam(model, images, classes, layer) for layer in ("backbone", "attention"))
    assert before.shape == after.shape == (3, 32, 32)
    assert not torch.allclose(before, after)


def test_bad_arguments_are_named(model):
    with pytest.raises(InputError, match="'backbone'"):
        grad_cam(model, torch.rand(1, 3, 16, 16), layer="z")
    with pytest.raises(InputError, match="given 2"):
        grad_cam(model, torch.rand(1, 3, 16, 16), torch.tensor([0, 1]))
