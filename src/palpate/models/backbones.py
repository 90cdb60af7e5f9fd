"""Backbones by name, each cut so that it ends in one feature map (N, C, h, w).

Every timm model can be asked for; the table below holds those that the paper needs in another form than timm's.
"""

import copy
import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import timm
import torch
from timm.models import get_pretrained_cfg, is_model
from torch import nn

from palpate.core.errors import InputError

State = dict[str, torch.Tensor]

KERAS_RESNET_EPSILON = 1.001e-5  # Keras' ResNet50 writes this into every batch norm
KERAS_MOMENTUM = 0.01  # Keras' default .99, in torch's convention
STRIDES = (8, 16, 32)


@dataclass(frozen=True)
class Special:
    """How a backbone of the paper is made from timm's."""

    timm_name: str
    adapt: Callable[[nn.Module], nn.Module]
    flat: bool  # whether its head flattens
    keras: bool  # whether "imagenet" means Keras' file


class FeatureMap(nn.Module):
    """A timm network that ends in its last feature map, (N, 3, H, W) → (N, C, h, w), tokens laid back on their grid."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.network.forward_features(images)  # type: ignore[operator]
        channels = int(self.network.num_features)  # type: ignore[arg-type]
        if isinstance(features, torch.Tensor) and features.ndim == 4:
            if features.shape[1] == channels:
                return features
            if features.shape[3] == channels:
                return features.permute(0, 3, 1, 2)
        if not isinstance(features, torch.Tensor) or features.ndim != 3:
            raise InputError("backbone: its features are no map (N, C, h, w) and no tokens (N, L, C); choose another")
        tokens = features[:, int(getattr(self.network, "num_prefix_tokens", 0)) :]  # (N, h·w, C)
        side = math.isqrt(tokens.shape[1])  # images are square, and so are grids of patches
        if side * side == tokens.shape[1] - 1:  # a class token that the network does not announce
            tokens = tokens[:, 1:]
        elif side * side != tokens.shape[1]:
            raise InputError(f"backbone: its {tokens.shape[1]} tokens form no square map; choose another")
        return tokens.transpose(1, 2).unflatten(2, (side, side))


def _plain(network: nn.Module) -> nn.Module:
    return FeatureMap(network)


def _keras_resnet(network: nn.Module) -> nn.Module:
    """timm's v1.5 ResNet-50 made Keras' v1: the stride in the first 1×1 convolution, Keras' batch norm constants.

    Keras' convolution biases need no place: before a batch norm a bias b is a running mean of μ − b.
    """
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps, module.momentum = KERAS_RESNET_EPSILON, KERAS_MOMENTUM
        if all(hasattr(module, name) for name in ("conv1", "conv2", "conv3")):  # a bottleneck
            module.conv1.stride, module.conv2.stride = module.conv2.stride, module.conv1.stride  # type: ignore
    return FeatureMap(network)


class InceptionCut(nn.Module):
    """Inception-ResNet-v2 up to Keras' `layers[-28]`: the batch norm of branch 0 of the ninth block8, before its ReLU.

    192 channels; 5×5 at 224 pixels, 8×8 at 299.
    """

    NAMES = (
        *("conv2d_1a", "conv2d_2a", "conv2d_2b", "maxpool_3a", "conv2d_3b", "conv2d_4a", "maxpool_5a"),
        *("mixed_5b", "repeat", "mixed_6a", "repeat_1", "mixed_7a", "repeat_2"),
    )

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        for name in self.NAMES:
            setattr(self, name, network.get_submodule(name))
        blocks = list(network.get_submodule("repeat_2").children())
        branch = blocks[8].get_submodule("branch0")
        branch.get_submodule("bn").act = nn.Identity()
        self.repeat_2 = nn.Sequential(*blocks[:8])
        self.branch0 = branch

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = images
        for name in self.NAMES:
            x = getattr(self, name)(x)
        return self.branch0(x)


def _keras_inception(network: nn.Module) -> nn.Module:
    """The same cut with Keras' batch norms, which have a shift and no scale."""
    cut = InceptionCut(network)
    for module in cut.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = KERAS_MOMENTUM
            module.weight.requires_grad_(False)  # stays 1
    return cut


SPECIAL = {
    "resnet50.keras": Special("resnet50", _keras_resnet, flat=False, keras=True),
    "inception_resnet_v2": Special("inception_resnet_v2", InceptionCut, flat=True, keras=False),
    "inception_resnet_v2.keras": Special("inception_resnet_v2", _keras_inception, flat=True, keras=True),
}


def resolve(backbone: str) -> Special:
    """The recipe of a backbone's name; InputError with near matches for a name that nobody knows."""
    if backbone in SPECIAL:
        return SPECIAL[backbone]
    try:
        if is_model(backbone):
            get_pretrained_cfg(backbone)  # refuses an unknown tag such as resnet50.nobody
            return Special(backbone, _plain, flat=False, keras=False)
    except RuntimeError:
        pass
    known = [*SPECIAL, *timm.list_models(), *timm.list_models(pretrained=True)]
    near = difflib.get_close_matches(str(backbone), known, n=4, cutoff=0.5)
    hint = f"near matches: {', '.join(near)}" if near else "see timm.list_models()"
    raise InputError(f"backbone: expected a timm model or one of {', '.join(SPECIAL)}; got {backbone!r}; {hint}")


def create(
    backbone: str, size: int, output_stride: int = 32, state: State | None = None, check: bool = True
) -> nn.Module:
    """The backbone, ending in its last map.

    Args:
        backbone: a timm name or one of `SPECIAL`.
        size: side of the square image in pixels.
        output_stride: 32 leaves the network as it is; 16 or 8 trade its last strides for dilation, where timm can.
        state: tensors of timm's own weights for this network; None leaves it random.
        check: refuse tensors missing or unknown by name. False for files straight from timm's hub, some of which have
            older names that timm knows how to read.

    Raises:
        InputError: unknown name, a stride the network does not take, a size it cannot use, weights that are not its own.
    """
    special = resolve(backbone)
    if output_stride not in STRIDES:
        raise InputError(f"output_stride: expected one of {STRIDES}, got {output_stride!r}")
    arguments: dict[str, Any] = {"num_classes": 0}
    cfg = get_pretrained_cfg(special.timm_name)
    if cfg is not None and cfg.fixed_input_size:
        arguments["img_size"] = size
    if output_stride != 32:
        arguments["output_stride"] = output_stride
    network = _timm(backbone, special.timm_name, output_stride, arguments)
    if state is not None:
        if check:
            _check_names(network, state, backbone)
        arguments |= {"pretrained": True, "pretrained_cfg_overlay": {"state_dict": dict(state)}}
        network = _timm(backbone, special.timm_name, output_stride, arguments)
    return special.adapt(network)


def _timm(backbone: str, timm_name: str, output_stride: int, arguments: dict[str, Any]) -> nn.Module:
    """timm's `create_model`, its complaints told in terms of our arguments."""
    try:
        return timm.create_model(timm_name, **arguments)
    except (TypeError, AssertionError, ValueError, NotImplementedError) as error:
        if output_stride != 32:
            raise InputError(
                f"output_stride: backbone {backbone!r} takes only its own stride, got {output_stride}; "
                "leave output_stride at 32 and use larger images, or choose a ResNet"
            ) from error
        raise InputError(f"size: backbone {backbone!r} cannot be built with {arguments}: {error}") from error
    except RuntimeError as error:
        first = " ".join(str(error).splitlines()[1:2]).strip()
        raise InputError(f"weights: of another architecture than {backbone!r}: {first or error}") from error


def _check_names(network: nn.Module, state: State, backbone: str) -> None:
    """Refuse a smaller or larger network's file, whose tensors timm would take as far as the names go."""
    own = network.state_dict()
    cfg: dict[str, Any] = getattr(network, "pretrained_cfg", {})
    classifier = cfg.get("classifier") or ()
    heads = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    missing = [name for name in own if name not in state and "num_batches" not in name]
    unknown = [n for n in state if n not in own and not n.startswith(heads) and "aux" not in n.lower()]
    if missing or unknown:
        raise InputError(
            f"weights: of another architecture than {backbone!r}: {len(missing)} of its tensors are missing and "
            f"{len(unknown)} are unknown (first {(missing or unknown)[0]}); give the file that timm publishes for it, or "
            "one written by save_weights"
        )


def settle(module: nn.Module, size: int) -> tuple[int, int, int]:
    """(C, h, w) of the map that a backbone leaves of a `size` × `size` image, found without computing anything.

    Layers that take no part in the map (a classifier's last norm, say) are removed from `module`, so that every
    parameter has a gradient and none is counted in vain.

    Raises:
        InputError: the image is too small, or of a size that the network does not take; the network has no map.
    """
    probe = copy.deepcopy(module).to("meta").eval()
    ran: set[nn.Module] = set()
    for part in probe.modules():
        part.register_forward_hook(lambda part, _inputs, _output: ran.add(part))
    image = torch.zeros(1, 3, size, size, device="meta")
    try:
        with torch.no_grad():
            features = probe(image)
        idle = {name: part for name, part in probe.named_modules() if _holds(part) and not _has_run(part, ran)}
        if idle:  # a module may be used without being called: only one whose parameters get no gradient goes
            probe(image).sum().backward()
    except InputError:
        raise
    except (RuntimeError, AssertionError, ValueError) as error:
        raise InputError(f"size: the backbone cannot take {size} px images ({error}); try 224") from error
    for name, part in idle.items():
        if all(parameter.grad is None for parameter in part.parameters()):
            parent, _, last = name.rpartition(".")
            setattr(module.get_submodule(parent), last, nn.Identity())
    return int(features.shape[1]), int(features.shape[2]), int(features.shape[3])


def _holds(part: nn.Module) -> bool:
    return next(part.parameters(), None) is not None


def _has_run(part: nn.Module, ran: set[nn.Module]) -> bool:
    return any(child in ran for child in part.modules())
