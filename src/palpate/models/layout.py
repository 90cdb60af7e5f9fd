"""The memory layout in which a network is fastest and still works."""

import torch
from torch import Tensor, nn

from palpate.models.adapt import takes_channels_last
from palpate.models.predict import evaluating


def use_channels_last(model: nn.Module, example: Tensor) -> torch.memory_format:
    """Put a model's weights into channels-last, in place, where it takes images of that layout; else leave them contiguous.

    A network that calls `view` on a feature map fails on the other layout.

    Args:
        model: any network.
        example: images (n, C, H, W) on its device, on which it is tried in evaluation mode.

    Returns:
        The layout that images should have.
    """
    model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    with evaluating(model):
        if takes_channels_last(model, example):
            return torch.channels_last
    model.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
    return torch.contiguous_format
