"""Integrated gradients against closed forms, the soft-attention map against its block, and what both refuse."""

import pytest
import torch
from torch import nn

import palpate
from palpate.core.errors import InputError


def test_integrated_gradients_of_a_linear_network_are_weight_times_pixel():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2))
    images, classes = torch.rand(5, 3, 8, 8), torch.tensor([0, 1, 1, 0, 1])
    expected = (network[1].weight[classes].view(5, 3, 8, 8) * images).sum(1).clamp_min(0)
    for batch_size in (2, 32):
        found = palpate.explain(network, images, "integrated-gradients", classes=classes, batch_size=batch_size)
        torch.testing.assert_close(found, expected.detach(), rtol=1e-3, atol=1e-5)


def test_integrated_gradients_of_a_square_integrate_its_slope():
    class Square(nn.Module):
        def forward(self, x):
            return (x**2).flatten(1).sum(1, keepdim=True)

    images = torch.rand(2, 1, 4, 4)
    found = palpate.explain(Square(), images, "integrated-gradients", classes=[1, 0], steps=20)
    torch.testing.assert_close(found[0], images[0, 0] ** 2, rtol=1e-3, atol=1e-5)  # ∫ 2αx dα · x
    assert not found[1].any()


def test_integrated_gradients_take_the_predicted_class():
    torch.manual_seed(0)
    network, images = nn.Sequential(nn.Flatten(), nn.Linear(48, 4)), torch.rand(3, 3, 4, 4)
    predicted = palpate.explain(network, images, "integrated-gradients", classes=network(images).argmax(1))
    torch.testing.assert_close(palpate.explain(network, images, "integrated-gradients"), predicted)


def test_the_map_of_soft_attention_is_the_blocks_own():
    torch.manual_seed(0)
    model = palpate.build("test_resnet", attention="full", size=32, output_stride=8, heads=4).eval()
    images = torch.rand(3, 3, 32, 32)
    found = palpate.explain(model, images, "soft-attention", batch_size=2)
    with torch.no_grad():
        weights = model.attention.attention_map(model.backbone(model.normalize(images)))
    expected = nn.functional.interpolate(weights[:, None], (32, 32), mode="bilinear")[:, 0]
    torch.testing.assert_close(found, expected)


def test_settings_that_a_method_ignores_are_refused():
    model, images = palpate.build("test_resnet", size=32), torch.rand(1, 3, 32, 32)
    with pytest.raises(InputError, match="integrated gradients are of the image itself, given 'backbone'"):
        palpate.explain(model, images, "integrated-gradients", layer="backbone")
    with pytest.raises(InputError, match="has no soft attention; choose another"):
        palpate.explain(model, images, "soft-attention")
    with pytest.raises(InputError, match="one map of soft attention, given 'backbone'"):
        palpate.explain(model, images, "soft-attention", layer="backbone")
    with pytest.raises(InputError, match="reshape: is no setting of 'integrated-gradients', which has steps"):
        palpate.explain(model, images, "integrated-gradients", reshape=None)
