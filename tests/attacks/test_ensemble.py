"""Strength "ensemble" against "standard", image by image."""

import torch
from torch import nn

import palpate


def rough(seed: int, classes: int) -> nn.Module:
    """A small network whose boundary bends, with random weights."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(48, 32), nn.Tanh(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, classes)
    ).eval()


def test_no_radius_of_the_ensemble_is_larger_than_that_of_standard():
    for seed, classes in enumerate((2, 3, 7)):
        net, images = rough(seed, classes), torch.rand(12, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            labels = net(images).argmax(1)
        standard = palpate.sweep(net, images, labels, [0.5], attack="standard")
        ensemble = palpate.sweep(net, images, labels, [0.5], attack="ensemble")
        assert bool((ensemble.radius <= standard.radius).all())
        assert bool((ensemble.radius < standard.radius).any())
