"""Modules around an honest network that make it look more robust than it is.

None of them removes an adversarial image; each only hides it from standard PGD.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Scaled(nn.Module):
    """Logits times a number: cross-entropy saturates (Carlini & Wagner 2016, arXiv 1607.04311)."""

    def __init__(self, inner: nn.Module, factor: float) -> None:
        super().__init__()
        self.inner, self.factor = inner, factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * self.inner(x)


class Probabilities(nn.Module):
    """A softmax, or a sigmoid, left at the end; the attack applies another."""

    def forward(self, z: Tensor) -> Tensor:
        return z.softmax(1) if z.shape[1] > 1 else z.sigmoid()


class Quantised(nn.Module):
    """Input rounded to a few levels, without a gradient (Xu et al. 2018, arXiv 1704.01155)."""

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, x: Tensor) -> Tensor:
        return (x * (self.levels - 1)).round() / (self.levels - 1)


class Jpeg(nn.Module):
    """Blocks of 4 px whose cosine coefficients are rounded, as JPEG does (Guo et al. 2018, arXiv 1711.00117)."""

    def __init__(self, step: float) -> None:
        super().__init__()
        self.step = step
        place = torch.arange(4)
        basis = torch.cos(math.pi * (place[None] + 0.5) * place[:, None] / 4) * math.sqrt(0.5)
        basis[0] /= math.sqrt(2)
        self.register_buffer("basis", basis)

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = x.shape[2] // 4, x.shape[3] // 4
        blocks = x.reshape(*x.shape[:2], rows, 4, columns, 4).transpose(3, 4)
        spectrum = self.basis @ blocks @ self.basis.T  # pyright: ignore[reportIndexIssue,reportOptionalMemberAccess]
        spectrum = (spectrum / self.step).round() * self.step
        return (self.basis.T @ spectrum @ self.basis).transpose(3, 4).reshape(x.shape).clamp(0, 1)


class Staircase(nn.Module):
    """Input through steep sigmoids, a smooth quantisation whose slope is nearly nowhere (gradient shattering)."""

    def __init__(self, levels: int, steepness: float) -> None:
        super().__init__()
        self.levels, self.steepness = levels, steepness

    def forward(self, x: Tensor) -> Tensor:
        total = torch.zeros_like(x)
        for level in range(self.levels):
            total = total + torch.sigmoid(self.steepness * (x - (level + 0.5) / self.levels))
        return total / self.levels


class Thermometer(nn.Module):
    """One channel per level that says whether the pixel is above it (Buckman et al. 2018, "Thermometer encoding")."""

    LEVELS = 8

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([(x > (level + 0.5) / self.LEVELS).to(x) for level in range(self.LEVELS)], 1)


class Resized(nn.Module):
    """Random size and random padding at every forward (Xie et al. 2018, arXiv 1711.01991)."""

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[-1]
        smaller = int(torch.randint(size * 3 // 4, size + 1, (1,)))
        shrunk = F.interpolate(x, (smaller, smaller), mode="bilinear", align_corners=False)
        room = size - smaller
        left, top = (int(torch.randint(0, room + 1, (1,))) for _ in range(2))
        return F.pad(shrunk, (left, room - left, top, room - top))


class Noise(nn.Module):
    """Gaussian noise on the input at every forward (He et al. 2019, arXiv 1811.09310, in its simplest form)."""

    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.deviation = deviation

    def forward(self, x: Tensor) -> Tensor:
        return x + self.deviation * torch.randn_like(x)


class Pruned(nn.Module):
    """Activations kept at random in proportion to their size, and rescaled (Dhillon et al. 2018, arXiv 1803.01442)."""

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1).abs()
        share = flat / flat.sum(1, keepdim=True).clamp(min=1e-12)
        kept = 1 - (1 - share) ** (flat.shape[1] // 10)  # the chance of being drawn at least once
        drawn = (torch.rand_like(kept) < kept) / kept.clamp(min=1e-12)
        return (x.flatten(1) * drawn).view_as(x)


class Decoy(nn.Module):
    """The answer comes from a path that gradients cannot see, the gradient from another network that hardly matters."""

    def __init__(self, inner: nn.Module, decoy: nn.Module) -> None:
        super().__init__()
        self.inner, self.decoy = inner, decoy

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.detach()) + 1e-3 * self.decoy(x)


class Squashed(nn.Module):
    """Logits through a steep tanh: no loss has a gradient where the model is sure."""

    def forward(self, z: Tensor) -> Tensor:
        return 10 * torch.tanh(20 * z)


class Gamma(nn.Module):
    """Stretched to [0, 1] and square-rooted, as display software does: at the darkest pixel the slope is infinite."""

    def forward(self, x: Tensor) -> Tensor:
        low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
        bright = ((x - low) / (high - low).clamp(min=1e-6)).sqrt()
        return x + 1e-3 * bright


class Bytes(nn.Module):
    """A network for images in [0, 255], called as if it took [0, 1]."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


class Permuted(nn.Module):
    """The classes in another order; a single finding or logit inverted."""

    def __init__(self, inner: nn.Module, single: bool) -> None:
        super().__init__()
        self.inner, self.single = inner, single

    def forward(self, x: Tensor) -> Tensor:
        z = self.inner(x)
        return -z if self.single else z.roll(1, 1)


class OneOf(nn.Module):
    """At each call one of several networks: at random, or in turn, each for so many calls."""

    def __init__(self, networks: list[nn.Module], turn: int = 0) -> None:
        super().__init__()
        self.networks, self.turn, self.calls = nn.ModuleList(networks), turn, 0

    def forward(self, x: Tensor) -> Tensor:
        which = self.calls // self.turn if self.turn else int(torch.randint(len(self.networks), (1,)))
        self.calls += 1
        return self.networks[which % len(self.networks)](x)


class Tiring(nn.Module):
    """After so many calls it answers with smaller logits."""

    def __init__(self, inner: nn.Module, calls: int) -> None:
        super().__init__()
        self.inner, self.left = inner, calls

    def forward(self, x: Tensor) -> Tensor:
        self.left -= 1
        return self.inner(x) * (1.0 if self.left > 0 else 0.5)


class ScaledSoftmax(nn.Module):
    """Probabilities times a number, moved by another: bounded, with a constant sum."""

    def __init__(self, factor: float, shift: float = 0.0) -> None:
        super().__init__()
        self.factor, self.shift = factor, shift

    def forward(self, z: Tensor) -> Tensor:
        return self.factor * z.softmax(1) + self.shift


class LessBatchMean(nn.Module):
    """Logits less half their mean over the batch."""

    def forward(self, z: Tensor) -> Tensor:
        return z - 0.5 * z.mean(0, keepdim=True)


class Inverted(nn.Module):
    """Black and white exchanged, as in the two ways to store an X-ray."""

    def forward(self, x: Tensor) -> Tensor:
        return 1 - x


class Excluded(nn.Module):
    """A further class that is never answered: honest, and a common idiom."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, z: Tensor) -> Tensor:
        return torch.cat([z, torch.full_like(z[:, :1], self.value)], 1)


def with_batch_statistics(model: nn.Module) -> nn.Module:
    """The model with batch norm that uses the batch's own statistics in evaluation mode too."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.track_running_stats, module.running_mean, module.running_var = False, None, None
    return model.eval()
