"""build and wrap: the same contract whoever made the network, and refusals that say what would work."""

import json
import re

import pytest
import torch

from palpate.core.errors import InputError
from palpate.models.build import build
from palpate.models.classifier import Classifier
from palpate.models.networks import make_network
from palpate.models.normalize import NORMALIZATIONS
from palpate.models.trim import trim


@pytest.mark.parametrize("attention", [None, "full", "released", True])
def test_a_classifier_is_normalisation_backbone_attention_head(attention):
    torch.manual_seed(0)
    model = build("resnet10t", attention=attention, num_classes=4, size=64, output_stride=16).eval()
    images = torch.rand(2, 3, 64, 64)
    x = model.backbone(images * 255 - torch.tensor([123.68, 116.779, 103.939]).view(1, 3, 1, 1))
    expected = model.head(x) if model.attention is None else model.head(x, model.attention(x))
    torch.testing.assert_close(model(images), expected, rtol=1e-4, atol=1e-5)
    assert (model.num_classes, model.size) == (4, 64)
    assert model.spec is not None
    assert json.loads(json.dumps(model.spec)) == model.spec
    assert model.spec["attention"] == ("full" if attention is True else attention)


def test_the_same_seed_builds_the_same_classifier():
    models = []
    for _ in range(2):
        torch.manual_seed(3)
        models.append(build("resnet10t", attention="full", size=64, output_stride=16))
    for one, other in zip(models[0].state_dict().values(), models[1].state_dict().values(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(("name", "low", "high"), [("caffe", -123.68, 151.061), ("inception", -1, 1)])
def test_normalisations_span_their_published_range(name, low, high):
    mean, std = (torch.tensor(part) for part in NORMALIZATIONS[name])
    assert float(((0 - mean) / std).min()) == pytest.approx(low, abs=1e-3)
    assert float(((1 - mean) / std).max()) == pytest.approx(high, abs=1e-3)


def test_normalisation_can_be_timms_own():
    model = build("vit_tiny_patch16_224", size=32, normalization="pretrained")
    assert model.normalize.mean.flatten().tolist() == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("backbone", "size", "stride"),
    [("resnet18", 64, 32), ("resnet50", 32, 16), ("vit_tiny_patch16_224", 48, 32), ("mobilenetv3_small_050", 96, 32)],
)
def test_attention_without_room_is_refused_with_a_pair_that_works(backbone, size, stride):
    with pytest.raises(InputError, match=f"size={size} and output_stride={stride} leaves a map of") as caught:
        build(backbone, attention="full", size=size, output_stride=stride)
    found = re.search(r"size=(\d+) with output_stride=(\d+) works", str(caught.value))
    assert found is not None
    works = int(found[1]), int(found[2])
    with torch.device("meta"):
        assert trim(make_network(backbone, works[0], output_stride=works[1]).module, works[0])[1] >= 4
    build(backbone, attention=None, size=size, output_stride=stride)  # without attention the map may be small


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"attention": "soft"}, "attention: expected None, 'full', 'released' or True, got 'soft'"),
        ({"gamma": "learned"}, "gamma: 'learned' scales the attended map, but attention is None"),
        ({"num_classes": 1}, "num_classes: expected an integer of at least 2, got 1"),
        ({"size": 8}, "size: expected an integer of at least 16 pixels, got 8"),
        ({"size": 64.0}, "size: expected an integer"),
        ({"normalization": "torch"}, "expected one of caffe, imagenet, inception, pretrained; got 'torch'"),
        ({"backbone": "resnet18s"}, "near matches"),
        ({"dropout": 1.5}, r"dropout: expected a probability in \[0, 1\), got 1\.5"),
    ],
)
def test_arguments_out_of_range_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        build(**({"backbone": "resnet10t", "size": 64} | arguments))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(1, 3, 64, 64, dtype=torch.uint8), "float tensor"),
        (torch.zeros(1, 1, 64, 64), "repeat grey images"),
        (torch.zeros(3, 64, 64), "got torch.float32"),
        (torch.zeros(1, 3, 32, 32), "built for 64 × 64 px"),
    ],
)
def test_images_that_are_none_are_refused(images, message):
    with pytest.raises(InputError, match=message):
        build("resnet10t", size=64)(images)


def test_gradients_reach_the_image_through_every_part():
    for attention in (None, "full", "released"):
        model = build("resnet10t", attention=attention, size=64, output_stride=16).eval()
        images = torch.rand(1, 3, 64, 64, requires_grad=True)
        model(images)[0, 0].backward()
        assert images.grad is not None
        assert images.grad.abs().min(1).values.sum() > 0
        assert isinstance(model, Classifier)
