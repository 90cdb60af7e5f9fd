"""Every kind of timm network ends in one map; the paper's two are what Keras has."""

import pytest
import timm
import torch

from palpate.core.errors import InputError
from palpate.models.backbones import create, resolve, settle
from palpate.models.build import build


def side(backbone, size, stride):
    with torch.device("meta"):
        return settle(create(backbone, size, stride), size)


@pytest.mark.parametrize(("stride", "expected"), [(32, 2), (16, 4), (8, 8)])
@pytest.mark.parametrize("backbone", ["resnet10t", "resnet18", "resnet50", "resnet50.keras"])
def test_output_stride_sets_the_side_of_the_map(backbone, stride, expected):
    channels = 2048 if backbone.startswith("resnet50") else 512
    assert side(backbone, 64, stride) == (channels, expected, expected)


def test_output_stride_leaves_the_weights_alone():
    torch.manual_seed(0)
    coarse, fine = create("resnet18", 64, 32), create("resnet18", 64, 8)
    fine.load_state_dict(coarse.state_dict())  # the same tensors: dilation replaces stride
    x = torch.rand(1, 3, 64, 64)
    assert coarse.eval()(x).shape[-1] * 4 == fine.eval()(x).shape[-1]


def test_the_inception_cut_has_192_channels():
    with torch.device("meta"):
        cut = create("inception_resnet_v2.keras", 192)
    assert [settle(cut, size) for size in (192, 224, 299)] == [(192, 4, 4), (192, 5, 5), (192, 8, 8)]


def test_the_inception_cut_is_timms_ninth_block_before_its_relu():
    torch.manual_seed(0)
    network = timm.create_model("inception_resnet_v2", num_classes=0).eval()
    cut = create("inception_resnet_v2", 192, state=dict(network.state_dict())).eval()
    x = torch.rand(1, 3, 192, 192)
    block = network.get_submodule("repeat_2.8")
    seen = []
    block.get_submodule("branch0.bn").register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        network(x)
        bn = dict(block.get_submodule("branch0.bn").state_dict())
        expected = torch.nn.functional.batch_norm(
            seen[0], bn["running_mean"], bn["running_var"], bn["weight"], bn["bias"], eps=1e-3
        )
        torch.testing.assert_close(cut(x), expected)
    assert (cut(x) < 0).any()


def test_keras_resnet_has_the_stride_in_the_first_convolution():
    network = create("resnet50.keras", 64).get_submodule("network")
    for stage in (2, 3, 4):
        block = network.get_submodule(f"layer{stage}.0")
        assert (block.conv1.stride, block.conv2.stride) == ((2, 2), (1, 1))
    norms = [part for part in network.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1.001e-5, 0.01)}
    assert len(norms) == 53


def test_keras_inception_trains_no_scale_of_a_batch_norm():
    model = build("inception_resnet_v2.keras", size=192)
    norms = [part for part in model.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    assert not any(norm.weight.requires_grad for norm in norms)
    assert all(norm.bias.requires_grad for norm in norms)
    assert {norm.eps for norm in norms} == {1e-3}


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
        ("hf-hub:timm/resnet18", "expected a timm model"),
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


def test_a_tag_of_timm_names_its_weights():
    assert resolve("resnet50.a1_in1k").timm_name == "resnet50.a1_in1k"
