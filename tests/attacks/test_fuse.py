"""A fused copy answers as the original does, and nothing is fused where it would not."""

import pytest
import timm
import torch
from torch import nn

from palpate.attacks.fuse import fuse_batchnorm


def awake(model: nn.Module, size: int) -> nn.Module:
    """Batch norms with statistics of their own, as after training."""
    torch.manual_seed(0)
    with torch.no_grad():
        model.train()(torch.rand(8, 3, size, size))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias)
    return model.eval()


def norms(model: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


@pytest.mark.parametrize("name", ["resnet10t", "mobilenetv3_small_050"])  # the latter's norms hold activations
def test_all_batch_norms_of_timm_networks_are_fused(name):
    model = awake(timm.create_model(name, num_classes=3), 32)
    images = torch.rand(4, 3, 32, 32)
    fused = fuse_batchnorm(model, images[:2])
    assert norms(model) > 0
    assert norms(fused) == 0
    assert not any(parameter.requires_grad for parameter in fused.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())
    torch.testing.assert_close(fused(images), model(images), rtol=1e-3, atol=1e-4)


class Twice(nn.Module):
    """A convolution that is used twice, a norm whose input is used twice, and one that can be fused."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.norm1 = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.conv, self.norm2 = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        x = self.norm1(self.shared(self.shared(x)))
        return self.head(self.norm2(self.conv(x)).mean((2, 3)))


def test_a_shared_convolution_is_not_fused():
    model = awake(Twice(), 12)
    images = torch.rand(3, 3, 12, 12)
    fused = fuse_batchnorm(model, images)
    assert norms(fused) == 1
    torch.testing.assert_close(fused(images), model(images), rtol=1e-4, atol=1e-5)


class Forked(nn.Module):
    """The convolution's output goes around its norm as well: fusing would change the answer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2)

    def forward(self, x):
        x = self.conv(x)
        return self.head((self.norm(x) + x).mean((2, 3)))


def test_where_fusing_changes_the_answer_the_copy_is_left_unfused():
    model = awake(Forked(), 12)
    images = torch.rand(3, 3, 12, 12)
    fused = fuse_batchnorm(model, images)
    assert norms(fused) == 1
    torch.testing.assert_close(fused(images), model(images), rtol=1e-5, atol=1e-6)


class Stubborn(nn.Module):
    """A module that cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 2)

    def __deepcopy__(self, memo):
        raise TypeError("cannot be copied")

    def forward(self, x):
        return self.head(x.mean((2, 3)))


class Selfish(nn.Module):
    """A module that gives itself for its copy."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2)

    def __deepcopy__(self, memo):
        return self

    def forward(self, x):
        return self.head(self.norm(self.conv(x)).mean((2, 3)))


def test_the_model_itself_is_never_fused():
    model = Selfish().eval()
    assert fuse_batchnorm(model, torch.rand(2, 3, 6, 6)) is model
    assert norms(model) == 1


def test_what_cannot_be_copied_is_used_as_it_is():
    model = Stubborn()
    assert fuse_batchnorm(model, torch.rand(2, 3, 4, 4)) is model
