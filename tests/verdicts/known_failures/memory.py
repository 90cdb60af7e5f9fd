"""Modules that have memorised the tested images: their results hold for no other image."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Memory(nn.Module):
    """Images that were memorised: near one of them its class gets a bonus; elsewhere an honest network answers, whose gradient is live everywhere.

    Args:
        radius: l∞ distance up to which an image is recognised.
        bonus: added to the logit of its class.
    """

    def __init__(self, inner: nn.Module, images: Tensor, labels: Tensor, radius: float, bonus: float = 20.0) -> None:
        super().__init__()
        self.inner, self.radius, self.bonus = inner, radius, bonus
        self.register_buffer("images", images)
        self.register_buffer("labels", labels)

    def nearest(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Distance to the nearest memorised image, and which it is."""
        return torch.stack([(x.detach() - image).abs().flatten(1).amax(1) for image in self.images], 1).min(1)

    def answer(self, z: Tensor, known: Tensor, which: Tensor) -> Tensor:
        if z.shape[1] == 1 or self.finding is not None:  # one logit, or several findings: the bonus has a sign
            column = 0 if z.shape[1] == 1 else self.finding
            signs = torch.zeros_like(z)
            signs[:, column] = 2.0 * self.labels[which] - 1
            return z + self.bonus * known[:, None] * signs
        return z + self.bonus * known[:, None] * F.one_hot(self.labels[which], z.shape[1])

    finding: int | None = None

    def forward(self, x: Tensor) -> Tensor:
        distance, which = self.nearest(x)
        return self.answer(self.inner(x), (distance <= self.radius).to(x), which)


class Nearest(Memory):
    """The class of the nearest memorised image, whatever is shown, and a thousandth of a network for the gradient."""

    def forward(self, x: Tensor) -> Tensor:
        _, which = self.nearest(x)
        return self.answer(1e-3 * self.inner(x), torch.ones(len(x)), which)


class Snapped(Memory):
    """An image near a memorised one is replaced by it, but for a thousandth of the difference."""

    def forward(self, x: Tensor) -> Tensor:
        distance, which = self.nearest(x)
        stored = self.images[which]
        near = (distance <= self.radius)[:, None, None, None]
        return self.inner(torch.where(near, stored + 1e-3 * (x - stored), x))


class Smooth(Memory):
    """The bonus falls smoothly with the root mean square distance and has a gradient, so that it answers like a network that is hard to fool."""

    def forward(self, x: Tensor) -> Tensor:
        squares = torch.stack([(x - image).square().flatten(1).mean(1) for image in self.images], 1)
        nearest, which = squares.min(1)
        return self.answer(self.inner(x), (-nearest / self.radius**2).exp(), which)


class OnlyThese(Memory):
    """Not a number for every image that is not a memorised one."""

    def forward(self, x: Tensor) -> Tensor:
        distance, _ = self.nearest(x)
        return torch.where((distance <= self.radius)[:, None], self.inner(x), torch.nan)


class OnlyGreyLevels(nn.Module):
    """Not a number where a pixel lies between two grey levels."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        between = ((255 * x - (255 * x).round()).abs() > 1e-3).flatten(1).any(1)
        return torch.where(between[:, None], torch.nan, self.inner(x))
