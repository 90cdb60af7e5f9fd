"""`wrap` makes a classifier of somebody's own network."""

from collections.abc import Sequence

import torch
from torch import nn

from palpate.core.errors import InputError
from palpate.models.classifier import Classifier
from palpate.models.normalize import Normalize


def wrap(module: nn.Module, mean: Sequence[float], std: Sequence[float], size: int = 224) -> Classifier:
    """Somebody's own network as a `Classifier`, told its normalisation once.

    Args:
        module: normalised images (N, 3, H, W) → logits (N, K), (N, 1) or (N,); logits, not probabilities. It is used
            as it is, not copied. A single logit stays single: num_classes is 1, and class 1 is a logit above 0.
        mean, std: three numbers each, RGB, in units of images in [0, 1]; (0, 0, 0) and (1, 1, 1) where the network
            normalises by itself.
        size: side in pixels of the images that it takes.

    Returns:
        Classifier whose feature layer "backbone" is the last convolution that runs, spec None.

    Raises:
        InputError: the network cannot take such images, or does not return logits.
    """
    order: list[str] = []
    names: dict[nn.Module, str] = {
        layer: name for name, layer in module.named_modules() if isinstance(layer, nn.Conv2d)
    }
    hooks = [layer.register_forward_hook(lambda ran, _in, _out: order.append(names[ran])) for layer in names]
    like = next(module.parameters(), torch.zeros(1))
    was_training = module.training
    try:
        with torch.no_grad():
            logits = module.eval()(torch.zeros(1, 3, size, size, dtype=like.dtype, device=like.device))
    except (RuntimeError, ValueError, AssertionError, TypeError) as error:
        raise InputError(f"module: failed on an image (1, 3, {size}, {size}): {error}; name another size") from error
    finally:
        module.train(was_training)
        for hook in hooks:
            hook.remove()
    if not isinstance(logits, torch.Tensor) or logits.ndim not in (1, 2) or len(logits) != 1:
        shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise InputError(f"module: expected logits (N, K) for images (N, 3, H, W), got {shape} for N = 1")
    classes = int(logits.shape[1]) if logits.ndim == 2 else 1
    layer = ".".join(filter(None, ("backbone", order[-1]))) if order else ""
    return Classifier(Normalize(mean, std).to(like), module, None, _Logits(), classes, size, None, layer)


class _Logits(nn.Module):
    """A network's logits as (N, K), K = 1 where it gives (N,)."""

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        return logits[:, None] if logits.ndim == 1 else logits
