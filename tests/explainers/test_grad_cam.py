"""Grad-CAM against its formula worked out by hand, and what an empty map is."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import palpate
from palpate.core.errors import InputError
from palpate.models.adapt import as_logits_model


class Linear(nn.Module):
    """A convolution, its mean over space, and a dense layer: Grad-CAM's weights are then the dense layer's, over h·w."""

    def __init__(self, outputs=3):
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Conv2d(3, 5, 3, stride=2, padding=1)
        self.head = nn.Linear(5, outputs)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(images).mean((2, 3)))


MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)


@pytest.fixture
def model():
    return palpate.wrap(Linear(), mean=MEAN, std=STD)


def by_hand(
    inner: Linear, images: torch.Tensor, classes: torch.Tensor, sign: torch.Tensor | float = 1.0
) -> torch.Tensor:
    mean, std = torch.tensor(MEAN), torch.tensor(STD)
    x = inner.features((images - mean[:, None, None]) / std[:, None, None])  # (N, 5, h, w)
    weights = inner.head.weight[classes] / x[0, 0].numel()  # (N, 5)
    coarse = ((weights[:, :, None, None] * x).sum(1) * sign).clamp_min(0)
    return F.interpolate(coarse[:, None], images.shape[-2:], mode="bilinear")[:, 0].detach()


def test_maps_equal_the_formula(model):
    images, classes = torch.rand(5, 3, 16, 16), torch.tensor([0, 1, 2, 0, 1])
    for batch_size in (2, 32):
        found = palpate.explain(model, images, classes=classes, batch_size=batch_size)
        torch.testing.assert_close(found, by_hand(model.backbone, images, classes), atol=1e-6, rtol=1e-4)


def test_the_predicted_class_is_the_default(model):
    images = torch.rand(4, 3, 16, 16)
    predicted = palpate.explain(model, images, classes=model(images).argmax(1))
    torch.testing.assert_close(palpate.explain(model, images), predicted)


def test_of_a_single_logit_class_0_is_its_negative():
    inner = Linear(1)
    images = torch.rand(6, 3, 16, 16)
    model = palpate.wrap(inner, mean=MEAN, std=STD)
    inner.head.bias.data -= model(images).median().detach()
    classes = (model(images)[:, 0] > 0).long()
    assert sorted(set(classes.tolist())) == [0, 1]
    column, sign = torch.zeros(6, dtype=torch.long), (2.0 * classes - 1)[:, None, None]
    expected = by_hand(inner, images, column, sign)
    for explained in (palpate.explain(model, images), palpate.explain(as_logits_model(model), images)):  # z, and (0, z)
        torch.testing.assert_close(explained, expected, atol=1e-6, rtol=1e-4)


def test_one_finding_of_several_has_two_classes():
    images = torch.rand(4, 3, 16, 16)
    model = palpate.wrap(Linear(3), mean=MEAN, std=STD)
    column = torch.full((4,), 2)
    for label, sign in ((1, 1.0), (0, -1.0)):
        found = palpate.explain(as_logits_model(model, 2), images, classes=[label] * 4)
        torch.testing.assert_close(found, by_hand(model.backbone, images, column, sign), atol=1e-6, rtol=1e-4)


def test_a_network_that_nobody_wrapped_is_explained_too():
    images = torch.rand(2, 3, 16, 16)
    plain, wrapped = Linear(), palpate.wrap(Linear(), value_range=(0, 1))
    torch.testing.assert_close(palpate.explain(plain, images), palpate.explain(wrapped, images))
    assert plain.training


def test_a_map_with_nothing_for_the_class_is_empty_and_not_nan(model):
    inner = model.backbone
    with torch.no_grad():
        inner.features.weight.zero_()
        inner.features.bias.fill_(1.0)
        inner.head.weight.fill_(-1.0)
    assert torch.equal(palpate.explain(model, torch.rand(2, 3, 16, 16)), torch.zeros(2, 16, 16))


def test_maps_are_made_where_gradients_are_switched_off_too(model):
    images = torch.rand(2, 3, 16, 16)
    for method in ("grad-cam", "integrated-gradients"):
        with torch.no_grad():
            found = palpate.explain(model, images, method)
        torch.testing.assert_close(found, palpate.explain(model, images, method))


def test_nothing_of_the_model_is_changed(model):
    model.train()
    palpate.explain(model, torch.rand(2, 3, 16, 16))
    assert model.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())


def test_backbone_and_attention_are_the_maps_before_and_after_attention():
    torch.manual_seed(0)
    model = palpate.build("test_resnet", attention="full", size=32, output_stride=8)
    images, classes = torch.rand(3, 3, 32, 32), [0, 1, 1]
    before, after = (
        palpate.explain(model, images, classes=classes, layer=layer) for layer in ("backbone", "attention")
    )
    assert before.shape == after.shape == (3, 32, 32)
    assert not torch.allclose(before, after)


def test_arrays_and_empty_sets_are_taken(model):
    images = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(palpate.explain(model, images.numpy()), palpate.explain(model, images))
    assert palpate.explain(model, images[:0]).shape == (0, 16, 16)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "feature"}, "expected 'backbone', 'attention' or the name of a module.*near matches: features"),
        ({"layer": "attention"}, "this model has none; use 'backbone'"),
        ({"layer": "backbone.head"}, r"the output \(2, 3\) of 'backbone\.head' has no known layout"),
        ({"classes": [0]}, "whole numbers, one for each of 2 images, given torch.int64"),
        ({"classes": [0.5, 1.0]}, "given torch.float32"),
        ({"classes": ["a", "b"]}, "whole numbers"),
        ({"classes": [0, 3]}, "classes must lie in 0…2, given 0…3"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"method": "gradcam"}, "did you mean 'grad-cam'"),
        ({"steps": 10}, "steps: is no setting of 'grad-cam', which has reshape"),
        ({"reshape": lambda x: x}, "name the layer too"),
    ],
)
def test_bad_arguments_are_named(model, arguments, message):
    with pytest.raises(InputError, match=message):
        palpate.explain(model, torch.rand(2, 3, 16, 16), **arguments)


class Age(nn.Module):
    def forward(self, image, age):
        return image.mean((2, 3)) * age


@pytest.mark.parametrize(
    ("network", "images", "message"),
    [
        (len, torch.rand(2, 3, 16, 16), r"expected a torch\.nn\.Module, got builtin_function_or_method"),
        (Age(), torch.rand(2, 3, 16, 16), r"needs 2 inputs \(image, age\)"),
        (
            Linear(),
            torch.zeros(2, 3, 16, 16, dtype=torch.uint8),
            r"given torch\.uint8 \(2, 3, 16, 16\); divide bytes by 255",
        ),
        (Linear(), torch.rand(3, 16, 16), r"images must be floats \(N, C, H, W\)"),
        (
            Linear(),
            torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.rand(4, 3, 16, 16))),
            "given DataLoader",
        ),
    ],
)
def test_bad_networks_and_images_are_named(network, images, message):
    with pytest.raises(InputError, match=message):
        palpate.explain(network, images)
