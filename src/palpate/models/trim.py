"""The shape of a network's last feature map, and the layers that take no part in it, found without computing anything."""

import copy

import torch
from torch import nn

from palpate.core.errors import InputError


def trim(module: nn.Module, size: int, channels: int = 3) -> tuple[int, int, int]:
    """The shape (C, h, w) of the map that a network leaves of a `size` × `size` image.

    Layers that take no part in the map (a classifier's last norm, say) are removed from `module`, so that every
    parameter has a gradient and none is counted in vain.

    Raises:
        InputError: the image is too small, or of a size that the network does not take; the network has no map.
    """
    probe = copy.deepcopy(module).to("meta").eval()
    ran: set[nn.Module] = set()
    for part in probe.modules():
        part.register_forward_hook(lambda part, _inputs, _output: ran.add(part))
    image = torch.zeros(1, channels, size, size, device="meta")
    try:
        with torch.no_grad():
            features = probe(image)
        unused = {name: part for name, part in probe.named_modules() if ran.isdisjoint(part.modules())}
        idle = {name: part for name, part in unused.items() if next(part.parameters(), None) is not None}
        if idle:  # a module may be used without being called: only one whose parameters get no gradient goes
            probe(image).sum().backward()
    except InputError:
        raise
    except (RuntimeError, AssertionError, ValueError) as error:
        raise InputError(f"size: the backbone cannot take {size} px images ({error}); try 224") from error
    for name, part in idle.items():
        if all(parameter.grad is None for parameter in part.parameters()):
            module.set_submodule(name, nn.Identity())
    return int(features.shape[1]), int(features.shape[2]), int(features.shape[3])
