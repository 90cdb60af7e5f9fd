"""Modules whose gradient is not that of what they compute, or that answer by other things than the image."""

import hashlib

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class TimesGradient(nn.Module):
    """The same values, and the gradient times a number: −1 turns it, .001 makes every step look useless."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.factor * x).detach() + self.factor * x


class Sighted(nn.Module):
    """The gradient sees a part of the image only: the rows from `first` on, or one pixel of each `every` × `every`."""

    def __init__(self, every: int = 0) -> None:
        super().__init__()
        self.every = every

    def forward(self, x: Tensor) -> Tensor:
        seen = torch.zeros_like(x)
        if self.every:
            seen[:, :, :: self.every, :: self.every] = 1
        else:
            seen[:, :, x.shape[2] // 2 :] = 1
        return torch.where(seen.bool(), x, x.detach())


class StraightThrough(nn.Module):
    """Rounded to a few levels, with the gradient of the identity (Bengio et al. 2013, arXiv 1308.3432)."""

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, x: Tensor) -> Tensor:
        return x + ((x * (self.levels - 1)).round() / (self.levels - 1) - x).detach()


class Threshold(nn.Module):
    """Black or white (arXiv 1705.07263, section 5)."""

    def forward(self, x: Tensor) -> Tensor:
        return (x > 0.5).to(x)


class Times(nn.Module):
    """Logits times a number."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, z: Tensor) -> Tensor:
        return self.factor * z


class Clipped(nn.Module):
    """Logits cut off at ± a bound, where the model is sure."""

    def __init__(self, bound: float) -> None:
        super().__init__()
        self.bound = bound

    def forward(self, z: Tensor) -> Tensor:
        return z.clamp(-self.bound, self.bound)


class Rounded(nn.Module):
    """Logits rounded to a multiple of a step, as a service returns them."""

    def __init__(self, step: float) -> None:
        super().__init__()
        self.step = step

    def forward(self, z: Tensor) -> Tensor:
        return (z / self.step).round() * self.step


class LogitNoise(nn.Module):
    """Noise on the logits at every forward; the gradient does not see it."""

    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.deviation = deviation

    def forward(self, z: Tensor) -> Tensor:
        return z + self.deviation * torch.randn_like(z)


class ByPlace(nn.Module):
    """Every second image of a batch gets smaller logits."""

    def forward(self, z: Tensor) -> Tensor:
        place = torch.arange(len(z), device=z.device)[:, None]
        return torch.where(place % 2 == 0, z, 0.5 * z)


class InfiniteWhenMoved(nn.Module):
    """An infinite logit where a pixel lies between two grey levels."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        between = ((255 * x - (255 * x).round()).abs() > 1e-3).flatten(1).any(1)
        return torch.where(between[:, None], float("inf"), self.inner(x))


def with_dropout(model: nn.Module) -> nn.Module:
    """The model in evaluation mode, with its dropout as in training."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Dropout):
                setattr(parent, name, AlwaysDropout())
    return model.eval()


class AlwaysDropout(nn.Module):
    """Half of the features, drawn at every forward (Gal & Ghahramani 2016, arXiv 1506.02142)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.5, training=True)


class HashedNoise(nn.Module):
    """Noise that depends on every bit of the image: the same image always gets the same answer, and any other image another noise."""

    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.deviation = deviation

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.empty_like(x)
        for place, image in enumerate(x.detach()):
            digest = hashlib.md5(image.numpy().tobytes()).digest()
            noise[place].normal_(generator=torch.Generator().manual_seed(int.from_bytes(digest[:4], "big")))
        return x + self.deviation * noise


class NoisyGradient(torch.autograd.Function):
    """The identity, with noise of three times its size on the gradient."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> Tensor:
        (gradient,) = gradients
        return gradient + 3 * gradient.std() * torch.randn_like(gradient)


class GradientNoise(nn.Module):
    """Right answers, and a gradient that is mostly noise."""

    def forward(self, x: Tensor) -> Tensor:
        return NoisyGradient.apply(x)  # pyright: ignore[reportReturnType]


class Cached(nn.Module):
    """Answers kept by a coarse hash of the image, as a service keeps them: an image that is nearly one seen before gets the answer of that one.

    Args:
        live: the gradient is that of the network itself, which has no part in the answer; else there is none.
    """

    def __init__(self, inner: nn.Module, live: bool) -> None:
        super().__init__()
        self.inner, self.live = inner, live
        self.kept: dict[tuple[int, ...], Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        z = self.inner(x)
        keys = (20 * F.adaptive_avg_pool2d(x.detach(), 4)).round().int().flatten(1).tolist()
        old = torch.stack([self.kept.setdefault(tuple(key), row) for key, row in zip(keys, z.detach(), strict=True)])
        return old + (z - z.detach() if self.live else 0 * z)


class Equalised(nn.Module):
    """Every pixel's rank in its channel in place of its value: histogram equalisation, which no gradient passes."""

    def forward(self, x: Tensor) -> Tensor:
        ranks = x.detach().flatten(2).argsort(-1).argsort(-1).to(x) / (x.shape[2] * x.shape[3])
        return ranks.view_as(x) + 0 * x
