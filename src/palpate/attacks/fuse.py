"""A copy of a network made for being asked, not trained: batch norm folded into the convolution before it, parameters frozen.

In evaluation mode batch norm is a scale and a shift per channel, which the convolution can do for nothing. Pairs are found by watching one
forward pass, not by tracing the code, so any module can be folded; and the copy is used only if it answers as the original does.
"""

import copy
import itertools

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

TOLERANCE = 2.0**-17  # of the largest logit, half the doubt that `losses.doubt` allows for


def fuse_batchnorm(model: nn.Module, example: Tensor) -> nn.Module:
    """A frozen copy in evaluation mode and channels-last, with its batch norms folded where that changes nothing.

    Args:
        model: any network.
        example: a few images (n, C, H, W) on the model's device, on which the copy is checked.

    Returns:
        The folded copy; an unfolded frozen copy where folding would change the logits; the model itself, frozen by the caller, where it
        cannot be copied.
    """
    with torch.no_grad():
        for fold, layout in itertools.product((True, False), (torch.channels_last, torch.contiguous_format)):
            try:
                candidate = copied(model).eval().requires_grad_(False)  # which an exported program refuses
                expected = candidate(example)
                for convolution, norm in _pairs(candidate, example) if fold else ():
                    _merge(candidate, convolution, norm)
                candidate.to(memory_format=layout)  # pyright: ignore[reportCallIssue]
                given = candidate(example.contiguous(memory_format=torch.channels_last))
            except Exception:  # no copy, layers copied at work, hooks for weights, views of maps
                continue
            if given.shape == expected.shape and (given - expected).abs().max() <= TOLERANCE * expected.abs().max():
                return candidate
    return model


def copied(model: nn.Module) -> nn.Module:
    """A copy of a network.

    Raises:
        TypeError: a module of it gives itself for its copy; other errors as copying raises them.
    """
    candidate = copy.deepcopy(model)
    if set(candidate.modules()) & set(model.modules()):
        raise TypeError("a module gives itself for its copy")
    return candidate


def _pairs(model: nn.Module, example: Tensor) -> list[tuple[str, str]]:
    """Names of (convolution, batch norm) where the second, called once, reads exactly what the first, called once, wrote."""
    names = {module: name for name, module in model.named_modules()}
    calls: dict[nn.Module, int] = {}
    written: dict[int, tuple[nn.Module, Tensor]] = {}
    found: list[tuple[nn.Module, nn.Module]] = []

    def before(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        calls[module] = calls.get(module, 0) + 1
        source, output = written.get(id(arguments[0]), (None, None))
        if source is not None and output is arguments[0] and isinstance(module, nn.BatchNorm2d):
            found.append((source, module))

    def after(module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            written[id(output)] = (module, output)  # kept alive, so that no other tensor can take its id

    hooks = []
    for module in names:
        if type(module) is nn.Conv2d or (isinstance(module, nn.BatchNorm2d) and module.track_running_stats):
            hooks += [module.register_forward_pre_hook(before), module.register_forward_hook(after)]
    model(example)
    for hook in hooks:
        hook.remove()
    return [(names[c], names[n]) for c, n in found if calls[c] == 1 and calls[n] == 1]


def _merge(model: nn.Module, convolution: str, norm: str) -> None:
    conv, bn = model.get_submodule(convolution), model.get_submodule(norm)
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(bn, nn.BatchNorm2d)
    model.set_submodule(convolution, fuse_conv_bn_eval(conv, bn))
    # timm's BatchNormAct2d applies its activation itself.
    rest = [part for name in ("drop", "act") if isinstance(part := getattr(bn, name, None), nn.Module)]
    model.set_submodule(norm, nn.Sequential(*rest) if rest else nn.Identity())
