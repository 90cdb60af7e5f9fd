"""The map that Grad-CAM is of: what feeds the pooling, in every family of networks, and layers by name."""

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F

import palpate
from palpate.core.errors import InputError
from palpate.explainers.layers import find_layer
from palpate.models.predict import evaluating

FAMILIES = [
    *(
        "resnet10t",
        "seresnet50",
        "densenet121",
        "efficientnet_b0",
        "mobilenetv3_small_050",
        "convnext_atto",
        "regnety_002",
    ),
    *(
        "ghostnet_050",
        "dla34",
        "skresnet18",
        "lcnet_050",
        "rexnet_100",
        "repvgg_a0",
        "resnetv2_50",
        "mambaout_femto",
        "hgnetv2_b0",
    ),
]
MORE = [
    *(
        "vgg11",
        "inception_v3",
        "inception_resnet_v2",
        "xception41",
        "dm_nfnet_f0",
        "hrnet_w18_small",
        "res2net50_26w_4s",
        "dpn68",
    ),
    *(
        "swin_tiny_patch4_window7_224",
        "mixer_s32_224",
        "poolformer_s12",
        "mobilevit_xxs",
        "levit_128s",
        "coatnet_nano_rw_224",
    ),
    *(
        "twins_svt_small",
        "pvt_v2_b0",
        "focalnet_tiny_srf",
        "nest_tiny",
        "tf_efficientnet_lite0",
        "mvitv2_tiny",
        "caformer_s18",
    ),
]


def leaf(model: nn.Module, images: torch.Tensor, name: str | None = None) -> torch.Tensor:
    layer = find_layer(model, images[0], name)
    with evaluating(model):
        values, _ = layer.forward(model, images)
    return values.detach()


def timm_pair(name: str, size: int) -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=5).eval()
    return network, torch.rand(2, 3, size, size)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_map_is_what_timm_pools(name):
    network, images = timm_pair(name, 64)
    with torch.no_grad():
        torch.testing.assert_close(leaf(network, images), network.forward_features(images))


@pytest.mark.slow
@pytest.mark.parametrize("name", MORE)
def test_the_map_is_what_timm_pools_in_more_families(name):
    network, images = timm_pair(name, 224)
    with torch.no_grad():
        torch.testing.assert_close(leaf(network, images), network.forward_features(images))


@pytest.mark.parametrize(
    ("name", "size", "layer"),
    [
        ("vit_tiny_patch16_224", 224, "blocks.10"),  # it reads the class token
        ("deit_tiny_distilled_patch16_224", 224, "blocks.10"),  # it reads two
        pytest.param(
            "cait_xxs24_224", 224, "blocks", marks=pytest.mark.slow
        ),  # patches are read by two blocks of class attention
        pytest.param("convit_tiny", 224, "blocks.10", marks=pytest.mark.slow),
    ],
)
def test_where_a_class_token_is_read_the_map_is_before_the_last_attention(name, size, layer):
    network, images = timm_pair(name, size)
    found = find_layer(network, images[0])
    assert (found.name, found.shape[1:]) == (layer, (14, 14))
    maps = palpate.explain(network, images, classes=[0, 1])
    assert (maps > 0).float().mean() > 0.1


def test_a_vit_that_pools_its_patches_is_explained_by_them():
    torch.manual_seed(0)
    network = timm.create_model("vit_tiny_patch16_224", num_classes=5, global_pool="avg", class_token=False).eval()
    images = torch.rand(1, 3, 224, 224)
    found = find_layer(network, images[0])
    assert found.shape == (192, 14, 14)
    with torch.no_grad():  # tokens lie where their patches are
        tokens = network.forward_features(images)
    with evaluating(network):
        values, _ = found.forward(network, images)
    torch.testing.assert_close(found.reshape(values)[0, :, 3, 5], tokens[0, 3 * 14 + 5])


class Network(nn.Module):
    """A convolution, and whatever follows."""

    def __init__(self, then, features=8):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc, self.then = nn.Conv2d(3, 8, 3, 2, 1), nn.Linear(features, 3), then

    def forward(self, x):
        return self.fc(self.then(self.conv(x)))


def gated(x: torch.Tensor) -> torch.Tensor:
    x = x * x.mean((2, 3), keepdim=True).sigmoid()
    return F.relu(x, inplace=True).mean((2, 3))


@pytest.mark.parametrize(
    ("then", "features", "expected"),
    [
        (lambda x: F.relu(x).mean((2, 3)), 8, F.relu),
        (lambda x: F.relu(x, inplace=True).mean((2, 3)), 8, F.relu),
        (lambda x: F.relu(x).flatten(1), 8 * 64, F.relu),
        (lambda x: F.relu(x).flatten(2).mean(2), 8, lambda x: F.relu(x).flatten(2)),
        (lambda x: torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1), 16, lambda x: x),
        (lambda x: F.adaptive_avg_pool2d(F.avg_pool2d(x, 2), 1)[:, :, 0, 0], 8, lambda x: F.avg_pool2d(x, 2)),
        (lambda x: x.permute(0, 2, 3, 1).sigmoid().mean((1, 2)), 8, lambda x: x.permute(0, 2, 3, 1).sigmoid()),
        (gated, 8, lambda x: F.relu(x * x.mean((2, 3), keepdim=True).sigmoid())),
    ],
)
def test_the_pooling_is_found_wherever_it_is_written(then, features, expected):
    network, images = Network(then, features).eval(), torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(leaf(network, images), expected(network.conv(images)))


class Doubled(torch.autograd.Function):
    """An operation that torch's function modes do not see."""

    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, gradient):
        return 2 * gradient


class Double(nn.Module):
    def forward(self, x):
        return Doubled.apply(x)


def test_an_operation_of_its_own_does_not_hide_the_way():
    network, images = Network(lambda x: Doubled.apply(x).relu().mean((2, 3))).eval(), torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(leaf(network, images), (2 * network.conv(images)).relu())
        network = Network(nn.Sequential(Double(), nn.AdaptiveAvgPool2d(1), nn.Flatten())).eval()
        torch.testing.assert_close(leaf(network, images), 2 * network.conv(images))


def test_images_need_not_be_square():
    network, images = Network(lambda x: F.relu(x).mean((2, 3))).eval(), torch.rand(1, 3, 30, 20)
    assert find_layer(network, images[0]).shape == (8, 15, 10)
    assert palpate.explain(network, images).shape == (1, 30, 20)


def test_a_program_of_torch_export_is_explained():
    network, images = Network(lambda x: F.relu(x).mean((2, 3))).eval(), torch.rand(4, 3, 16, 16)
    program = torch.export.export(network, (images[:2],), dynamic_shapes=({0: torch.export.Dim("batch")},)).module()
    torch.testing.assert_close(
        palpate.explain(palpate.wrap(program, value_range=(0, 1), size=16), images), palpate.explain(network, images)
    )


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace.*:FutureWarning")
def test_torchscript_hides_its_maps_and_says_so():
    network, images = Network(lambda x: F.relu(x).mean((2, 3))).eval(), torch.rand(2, 3, 16, 16)
    program = torch.jit.trace(network, images, check_trace=False)
    model = palpate.wrap(program, value_range=(0, 1), size=16)
    with pytest.raises(InputError, match=r"no feature map.*name a layer, or use another method"):
        palpate.explain(model, images)
    assert palpate.explain(model, images, "integrated-gradients").shape == (2, 16, 16)


def test_a_layer_by_name_is_its_output_before_anything_in_place():
    network, images = Network(lambda x: F.relu(x, inplace=True).mean((2, 3))).eval(), torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(leaf(network, images, "conv"), network.conv(images))
        model = palpate.wrap(network, value_range=(0, 1), size=16)
        torch.testing.assert_close(leaf(model, images, "conv"), network.conv(images))


def test_reshape_lays_out_what_is_not_known():
    """Positions first: (h·w, N, C), as older transformers have it."""

    class Positions(nn.Module):
        def forward(self, x):
            return x.flatten(2).permute(2, 0, 1)

    class Back(nn.Module):
        def forward(self, x):
            return x.mean(0)

    network, images = Network(nn.Sequential(Positions(), Back())).eval(), torch.rand(2, 3, 16, 16)
    with pytest.raises(InputError, match=r"the output \(64, 2, 8\) of 'then\.0' has no known layout"):
        palpate.explain(network, images, layer="then.0")
    found = palpate.explain(network, images, layer="then.0", reshape=lambda x: x.permute(1, 2, 0).unflatten(2, (8, 8)))
    torch.testing.assert_close(found, palpate.explain(network, images, layer="conv"))
    with pytest.raises(InputError, match=r"reshape: expected a map \(N, C, h, w\)"):
        palpate.explain(network, images, layer="then.0", reshape=lambda x: x[0])


class Halves(nn.Module):
    """Two branches from the image on."""

    def __init__(self):
        super().__init__()
        self.left, self.right, self.fc = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 5), nn.Linear(8, 2)

    def forward(self, x):
        return self.fc(torch.cat([self.left(x).mean((2, 3)), self.right(x).mean((2, 3))], 1))


@pytest.mark.parametrize("network", [Halves(), nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 2))])
def test_a_network_without_one_map_says_so(network):
    with pytest.raises(InputError, match="no feature map that all of the network's paths go through was found"):
        palpate.explain(network, torch.rand(1, 3, 16, 16))


def test_a_layer_that_returns_no_tensor_or_does_not_run_is_named():
    class Tuple(nn.Module):
        def forward(self, x):
            return x, x

    network = Network(nn.Sequential(Tuple())).eval()
    network.then.register_forward_hook(lambda _module, _given, output: output[0].mean((2, 3)))
    network.spare = nn.Identity()
    images = torch.rand(1, 3, 16, 16)
    with pytest.raises(InputError, match=r"'then\.0' returns a tuple; name a layer inside it"):
        palpate.explain(network, images, layer="then.0")
    with pytest.raises(InputError, match="'spare' does not run"):
        palpate.explain(network, images, layer="spare")
