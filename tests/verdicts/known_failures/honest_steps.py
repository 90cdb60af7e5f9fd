"""What honest networks have around them, as strangers build them: a class for rejection, means over networks or mirror images, fewer pixels."""

import torch
from torch import Tensor, nn


class Rejecting(nn.Module):
    """One more class of constant logit, which is answered where the model is unsure."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, z: Tensor) -> Tensor:
        return torch.cat([z, torch.full_like(z[:, :1], self.value)], 1)


class InBfloat16(nn.Module):
    """Weights, activations and answers in bfloat16."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner.bfloat16()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.bfloat16())


class MirrorMean(nn.Module):
    """Mean of the answers to the image and to its mirror image."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return (self.inner(x) + self.inner(x.flip(3))) / 2


class MeanOfProbabilities(nn.Module):
    """The logarithm of the mean of several networks' probabilities."""

    def __init__(self, networks: list[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([network(x).softmax(1) for network in self.networks]).mean(0).log()


class Halved(nn.Module):
    """Every second pixel of every second row."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, ::2, ::2]
