"""The architectures of the benchmark: builders from channels, image size and number of classes to a network on [0, 1].

Sizes are chosen for images of 28 to 64 pixels and one core, not for accuracy. Normalisation is inside the network.
"""

import os
from pathlib import Path

import torch
from torch import Tensor, nn

WEIGHTS = (
    Path(os.environ.get("PALPATE_WEIGHTS", Path(__file__).parent.parent.parent / "shared" / "weights"))
    / "tf_efficientnet_lite0.safetensors"
)


class Normalised(nn.Module):
    """A network behind the map from [0, 1] to mean 0 and a spread of about 1."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network((x - 0.5) / 0.25)


class Basic(nn.Module):
    """ResNet's block of two 3×3 convolutions (He 2016)."""

    expansion = 1

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width_in, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width),
        )  # fmt: skip
        same = stride == 1 and width_in == width
        self.shortcut = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


class Bottleneck(nn.Module):
    """ResNet's block of 1×1, 3×3 and 1×1 convolutions, four times as wide outside as inside."""

    expansion = 4

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        out = 4 * width
        self.body = nn.Sequential(
            nn.Conv2d(width_in, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out),
        )  # fmt: skip
        same = stride == 1 and width_in == out
        self.shortcut = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(width_in, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


def _resnet(
    block: type[Basic] | type[Bottleneck], depths: tuple[int, ...], width: int, channels: int, classes: int
) -> nn.Module:
    layers: list[nn.Module] = [
        nn.Conv2d(channels, width, 3, 1, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.MaxPool2d(2),
    ]
    reached = width
    for stage, depth in enumerate(depths):
        for index in range(depth):
            layers.append(block(reached, width * 2**stage, 2 if index == 0 and stage else 1))
            reached = block.expansion * width * 2**stage
    return Normalised(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(reached, classes)))


def resnet18(channels: int, size: int, classes: int) -> nn.Module:
    """18 layers, a third of the width."""
    return _resnet(Basic, (2, 2, 2, 2), 20, channels, classes)


def resnet50(channels: int, size: int, classes: int) -> nn.Module:
    """50 layers of bottlenecks, a quarter of the width."""
    return _resnet(Bottleneck, (3, 4, 6, 3), 16, channels, classes)


def cnn(channels: int, size: int, classes: int) -> nn.Module:
    """Three convolutions with max pooling, two linear layers, no batch norm."""
    features = 64 * (size // 8) ** 2
    return Normalised(
        nn.Sequential(
            nn.Conv2d(channels, 16, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(features, 64), nn.ReLU(), nn.Linear(64, classes),
        )
    )  # fmt: skip


class WinnersTakeAll(nn.Module):
    """Keeps each image's largest activations and sets the others to zero: discontinuous in the image (Xiao 2020)."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        least = flat.topk(max(1, int(self.share * flat.shape[1])), dim=1).values[:, -1:]
        return torch.where(flat >= least, flat, 0.0).view_as(x)


def kwta(channels: int, size: int, classes: int) -> nn.Module:
    """Convolutions whose activations are the largest 15 % of each layer."""

    def block(width_in: int, width: int, stride: int) -> list[nn.Module]:
        return [nn.Conv2d(width_in, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), WinnersTakeAll(0.15)]

    body = [*block(channels, 16, 1), *block(16, 32, 2), *block(32, 32, 1), *block(32, 64, 2)]
    return Normalised(nn.Sequential(*body, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(256, classes)))


def densenet121_monai(channels: int, size: int, classes: int) -> nn.Module:
    """MONAI's DenseNet121, the usual network of medical imaging; timm's where MONAI is not installed (it says so)."""
    try:
        from monai.networks.nets.densenet import DenseNet121
    except ImportError as error:
        print(f"MONAI cannot be imported ({error}); timm's DenseNet121 takes its place", flush=True)
        return densenet121_timm(channels, size, classes)
    border = nn.ReplicationPad2d(max(0, 32 - size) // 2)  # five halvings need 32 pixels
    return Normalised(nn.Sequential(border, DenseNet121(spatial_dims=2, in_channels=channels, out_channels=classes)))


def _timm(name: str, channels: int, classes: int, **settings: object) -> nn.Module:
    import timm

    return Normalised(timm.create_model(name, pretrained=False, in_chans=channels, num_classes=classes, **settings))


def densenet121_timm(channels: int, size: int, classes: int) -> nn.Module:
    """timm's DenseNet121."""
    return _timm("densenet121", channels, classes)


def mobilenetv3(channels: int, size: int, classes: int) -> nn.Module:
    """timm's MobileNetV3-small."""
    return _timm("mobilenetv3_small_100", channels, classes)


def efficientnet_lite0(channels: int, size: int, classes: int) -> nn.Module:
    """timm's EfficientNet-Lite0 with ImageNet's weights where they are at hand; the head is new."""
    from safetensors.torch import load_file

    net = _timm("tf_efficientnet_lite0", channels, classes)
    if WEIGHTS.exists():
        head = ("classifier.weight", "classifier.bias")
        state = {f"network.{key}": value for key, value in load_file(WEIGHTS).items() if key not in head}
        net.load_state_dict(state, strict=False)
    else:
        print(
            f"{WEIGHTS} is absent: EfficientNet-Lite0 is trained from scratch (PALPATE_WEIGHTS names the folder)",
            flush=True,
        )
    return net


def convnext(channels: int, size: int, classes: int) -> nn.Module:
    """A small ConvNeXt: patches of 2, four stages."""
    from timm.models.convnext import ConvNeXt

    return Normalised(
        ConvNeXt(
            in_chans=channels,
            num_classes=classes,
            depths=(1, 1, 2, 1),
            dims=(24, 48, 64, 96),
            patch_size=2,
            output_stride=8,
            ls_init_value=1.0,
        )
    )


def vit(channels: int, size: int, classes: int) -> nn.Module:
    """A small vision transformer: patches of 4, four layers of 64."""
    from timm.models.vision_transformer import VisionTransformer

    return Normalised(
        VisionTransformer(
            img_size=size, patch_size=4, in_chans=channels, num_classes=classes, embed_dim=64, depth=4, num_heads=4
        )
    )


def swin(channels: int, size: int, classes: int) -> nn.Module:
    """A small Swin transformer: patches of 4, windows of 4, two stages."""
    from timm.models.swin_transformer import SwinTransformer

    return Normalised(
        SwinTransformer(
            img_size=size, patch_size=4, in_chans=channels, num_classes=classes, embed_dim=48, depths=(2, 2), num_heads=(3, 6), window_size=4
        )
    )  # fmt: skip


def mixer(channels: int, size: int, classes: int) -> nn.Module:
    """A small MLP-Mixer: patches of 4, four blocks of 96."""
    from timm.models.mlp_mixer import MlpMixer

    return Normalised(
        MlpMixer(num_classes=classes, img_size=size, in_chans=channels, patch_size=4, num_blocks=4, embed_dim=96)
    )
