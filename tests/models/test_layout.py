"""Channels-last where the network takes it, contiguous where it does not."""

import torch
from torch import nn

from palpate.models.adapt import use_channels_last


class Viewing(nn.Module):
    """The old idiom for flattening, which fails on the other layout."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.fc = nn.Linear(8 * 64, 2)

    def forward(self, x):
        return self.fc(self.conv(x).view(x.size(0), -1))


def test_a_network_that_views_keeps_its_layout():
    model, images = Viewing(), torch.rand(2, 3, 8, 8)
    expected = model(images)
    assert use_channels_last(model, images) == torch.contiguous_format
    assert torch.equal(model(images), expected)
    assert model.training


def test_others_are_put_into_channels_last():
    model, images = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 36, 2)), torch.rand(2, 3, 8, 8)
    assert use_channels_last(model, images) == torch.channels_last
    assert model[0].weight.is_contiguous(memory_format=torch.channels_last)
