"""Images that the first descents leave unfooled just short of the boundary are attacked from random points and towards each class."""

import math

import pytest
import torch
from torch import nn

import palpate

TOP = 0.1


class Decoy(nn.Module):
    """The true logit is 0. One margin is the nearest at the clean image, all grey, and would be positive just beyond `TOP`; the other is positive
    well below it, but no gradient at the clean image says so."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, x):
        pixels = x.flatten(1) - 0.5
        many, one = pixels[:, :8].mean(1), pixels[:, -1]
        decoy = 0.5 * many - 0.052
        if self.classes == 2:
            return torch.stack([0 * one, torch.maximum(decoy, 4 * one.abs() - 0.2)], 1)
        return torch.stack([0 * one, decoy - 0.001 * one, 0.05 * ((50 * one).exp() - 1) - 0.5], 1)


@pytest.mark.parametrize(("classes", "radius", "least"), [(2, 0.05, 24), (3, math.log(11) / 50, 32)])
def test_what_lies_elsewhere_is_found(classes, radius, least):
    images, labels = torch.full((32, 1, 4, 4), 0.5), torch.zeros(32, dtype=torch.long)
    found = palpate.sweep(Decoy(classes), images, labels, [TOP])
    assert found.radius.isfinite().sum() >= least
    assert torch.allclose(found.radius[found.radius.isfinite()], torch.tensor(radius, dtype=torch.float64), rtol=2e-3)
