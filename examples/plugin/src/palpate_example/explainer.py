"""An explainer: the gradient of the class's logit times the image."""

import torch
from torch import Tensor, nn

from palpate.models.predict import Images, device_of, evaluating


def gradient_times_input(
    model: nn.Module, images: Images, classes: Tensor | None = None, layer: str | None = None, batch_size: int = 32
) -> Tensor:
    """Compute maps (N, H, W), at least 0, by |pixel · gradient|, summed over the channels (Shrikumar et al. 2016, arXiv 1605.01713).

    Args:
        model: images (N, 3, H, W) in [0, 1] to logits (N, K).
        images: float images (N, 3, H, W).
        classes: the class of each map (N,); the predicted ones when absent.
        layer: not used: the map is of the image itself.
        batch_size: images per pass.
    """
    maps = []
    with evaluating(model):
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size].to(device_of(model)).requires_grad_()
            logits = model(batch)
            chosen = logits.argmax(1) if classes is None else classes[start : start + batch_size].to(logits.device)
            (gradient,) = torch.autograd.grad(logits.gather(1, chosen[:, None]).sum(), batch)
            maps.append((gradient * batch).abs().sum(1).detach().cpu())
    return torch.cat(maps)
