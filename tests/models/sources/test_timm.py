"""Every kind of timm network ends in one map, and names, sizes and strides that it does not take are refused."""

import pytest
import torch

from palpate.core.errors import InputError
from palpate.models.build import build
from palpate.models.networks import make_network
from palpate.models.trim import trim


def create(backbone, size, stride=32):
    return make_network(backbone, size, output_stride=stride).module


def side(backbone, size, stride):
    with torch.device("meta"):
        return trim(create(backbone, size, stride), size)


@pytest.mark.parametrize(("stride", "expected"), [(32, 2), (16, 4), (8, 8)])
@pytest.mark.parametrize("backbone", ["resnet10t", "resnet18", "resnet50"])
def test_output_stride_sets_the_side_of_the_map(backbone, stride, expected):
    channels = 2048 if backbone == "resnet50" else 512
    assert side(backbone, 64, stride) == (channels, expected, expected)


def test_output_stride_leaves_the_weights_alone():
    torch.manual_seed(0)
    coarse, fine = create("resnet18", 64, 32), create("resnet18", 64, 8)
    fine.load_state_dict(coarse.state_dict())  # the same tensors: dilation replaces stride
    x = torch.rand(1, 3, 64, 64)
    assert coarse.eval()(x).shape[-1] * 4 == fine.eval()(x).shape[-1]


@pytest.mark.parametrize(
    ("backbone", "size"),
    [
        ("convnext_atto", 128),  # its last norm sits in the classifier
        ("mobilenetv3_small_050", 128),  # so does its last convolution
        ("vit_tiny_patch16_224", 64),  # tokens and a class token
        ("deit_tiny_distilled_patch16_224", 64),  # two of those
        ("volo_d1_224", 224),  # one that it does not announce
        ("swin_tiny_patch4_window7_224", 128),  # channels last
    ],
)
def test_other_families_give_a_map_and_every_parameter_a_gradient(backbone, size):
    with torch.device("meta"):
        model = build(backbone, attention="full", size=size)
        x = model.backbone(torch.zeros(2, 3, size, size))
        assert x.shape[2] == x.shape[3] >= 4
        model(torch.zeros(2, 3, size, size)).sum().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_tokens_are_laid_back_where_their_patches_were():
    torch.manual_seed(0)
    backbone = create("vit_tiny_patch16_224", 64).eval()
    network = backbone.get_submodule("network")
    network.blocks = torch.nn.Identity()  # without mixing, a token knows only its own patch
    torch.nn.init.zeros_(network.pos_embed)  # type: ignore[arg-type]
    x = torch.zeros(1, 3, 64, 64)
    x[:, :, 16:32, 48:64] = torch.randn(3, 16, 16)  # row 1, column 3
    with torch.no_grad():
        change = (backbone(x) - backbone(torch.zeros_like(x))).abs().sum(1)[0]
    assert (change > 1e-6).nonzero().tolist() == [[1, 3]]


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ("resnet5O", "got 'resnet5O'; near matches: .*resnet50"),
        ("resnet50.nobody", r"near matches: .*resnet50\."),
        ("qqqqqqqqqqq", r"see timm\.list_models"),
        ("hfhub:timm/resnet18", "'hfhub' is neither a model source .*did you mean 'hf-hub'"),
        ("crossvit_tiny_240", "are no map"),
    ],
)
def test_names_that_give_no_map_are_refused(backbone, message):
    with pytest.raises(InputError, match=message):
        side(backbone, 240, 32)


def test_sizes_and_strides_that_a_network_cannot_take_are_refused():
    with pytest.raises(InputError, match="output_stride: expected one of"):
        create("resnet18", 64, 4)
    with pytest.raises(InputError, match="'mobilenetv3_small_050' takes only its own stride, got 16"):
        create("mobilenetv3_small_050", 64, 16)
    with pytest.raises(InputError, match=r"output_stride.*takes only its own stride"):
        create("inception_resnet_v2", 224, 16)
    with pytest.raises(InputError, match="cannot take 64 px images"):
        side("inception_resnet_v2", 64, 32)


def test_the_source_may_be_named_and_a_tag_names_the_weights():
    with torch.device("meta"):
        network = make_network("timm:vit_tiny_patch16_224.augreg_in21k", 224)
    assert network.pretrained == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
