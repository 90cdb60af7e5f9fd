"""The checks' own attacks: PGD with its whole trace kept, random noise, and a random search that needs no gradient.

They are plain on purpose. A check must share neither the refinements nor the mistakes of the attack that it examines, so nothing here is taken
from the sweep, and every run starts from the clean image at one epsilon.
"""

import dataclasses
import math

import torch
from torch import Tensor

from palpate.attacks.access import ModelAccess
from palpate.attacks.losses import Loss, certain_margin, cross_entropy, margin, unusable
from palpate.attacks.norms import Norm, distance, draw_in_ball, per_image, project, steepest
from palpate.models.adapt import Around

STEPS = 20
"""Steps of baseline PGD, each of size 2.5 ε / 20 (Madry et al. 2018, arXiv 1706.06083, section 5)."""


@dataclasses.dataclass(frozen=True)
class Run:
    """One PGD attack at one epsilon on n images.

    Attributes:
        last: (n, C, H, W), the last iterate, which is what PGD usually reports.
        fooled: (n,), whether the last iterate fools.
        ever: (n,), whether any iterate did.
        best: (n, C, H, W), the last of the iterates that fooled, else the last iterate.
        margins: (T + 1, n), best wrong logit minus true logit, from the start to the last iterate.
        logits: (n, K) of the last iterate.
    """

    last: Tensor
    fooled: Tensor
    ever: Tensor
    best: Tensor
    margins: Tensor
    logits: Tensor


class GreyStaysGrey(Around):
    """The model with gradients that leave an image grey: where all channels are equal, each has the mean of their gradients.

    A file of a scanner holds one channel, so an attack that colours such an image is one that no such file can hold.
    """

    def forward(self, images: Tensor) -> Tensor:
        """(n, C, H, W) to what the model answers."""
        if images.requires_grad and images.shape[1] > 1:
            mean = images.mean(1, keepdim=True)
            tied = images[:, :1].detach() + (mean - mean.detach())  # the value of a channel, the gradient of the mean
            images = torch.where(grey(images), tied, images)
        return self.model(images)


def grey(images: Tensor) -> Tensor:
    """Which images have equal channels (n, 1, 1, 1)."""
    return (images == images[:, :1]).flatten(1).all(1)[:, None, None, None]


def fools(logits: Tensor, labels: Tensor) -> Tensor:
    """Which images (n,) are misclassified beyond rounding; not those whose answer is not a number, which tells nothing."""
    return (certain_margin(logits, labels) > 0) & ~unusable(logits)


def price(images: int, steps: int) -> int:
    """Passes that `pgd` spends, forward and backward together."""
    return images * (2 * steps + 1)


def pgd(
    access: ModelAccess,
    images: Tensor,
    labels: Tensor,
    epsilon: float,
    generator: torch.Generator,
    steps: int = STEPS,
    loss: Loss = cross_entropy,
    norm: Norm = "linf",
) -> Run:
    """PGD from a random start with steps of 2.5 ε / steps, every iterate kept (Madry et al. 2018, arXiv 1706.06083).

    A gradient that is not a number moves nothing, so that the points remain images.

    Args:
        access: the attacked model.
        images: (n, C, H, W) in [0, 1].
        labels: (n,).
        epsilon: radius in the norm.
        generator: of the random start.
    """
    radius = torch.full((len(images),), epsilon, dtype=torch.float64, device=images.device)
    points = random_point(images, epsilon, generator, norm)
    best, ever = points.clone(), torch.zeros(len(images), dtype=torch.bool, device=images.device)
    margins: list[Tensor] = []
    for step in range(steps + 1):
        slope = None
        if step < steps:
            logits, _, slope = access.gradient(points, loss, labels)
        else:
            logits = access.logits(points)
        hit = fools(logits, labels)
        ever, best = ever | hit, torch.where(per_image(hit, images).bool(), points, best)
        margins.append(margin(logits, labels))
        if slope is not None:
            direction = steepest(slope.nan_to_num(0.0, 0.0, 0.0), norm)
            points = project(points + 2.5 * epsilon / steps * direction, images, radius, norm)
    best = torch.where(per_image(ever, images).bool(), best, points)
    return Run(points, hit, ever, best, torch.stack(margins), logits)


def random_point(
    images: Tensor, epsilon: float, generator: torch.Generator, norm: Norm = "linf", corner: bool = False
) -> Tensor:
    """A random point (n, C, H, W) of each image's ball and [0, 1]; at a corner every pixel changes by the same amount."""
    channels, *size = images.shape[1:]
    drawn = [1 if alike else channels for alike in grey(images).flatten().tolist()]  # of a grey image one, repeated
    noise = torch.stack([draw_in_ball((count, *size), generator, norm, channels) for count in drawn])
    if corner:
        noise = noise.sign()
        noise = noise / per_image(distance(noise, torch.zeros_like(noise), norm), noise)
    radius = torch.full((len(images),), epsilon, dtype=torch.float64, device=images.device)
    return project(images + epsilon * noise.to(images), images, radius, norm)


def noise(
    access: ModelAccess,
    images: Tensor,
    labels: Tensor,
    epsilon: float,
    generator: torch.Generator,
    norm: Norm = "linf",
    draws: int = 10,
) -> Tensor:
    """The first (n, C, H, W) of `draws` random points and as many corners of the ball that fools, else the last; a fooled image costs no more."""
    found = images.clone()
    left = torch.arange(len(images), device=images.device)
    for draw in range(2 * draws):
        if not len(left):
            break
        found[left] = random_point(images[left], epsilon, generator, norm, corner=draw % 2 == 1)
        left = left[~fools(access.logits(found[left]), labels[left])]
    return found


def random_search(
    access: ModelAccess, images: Tensor, labels: Tensor, epsilon: float, generator: torch.Generator, queries: int
) -> Tensor:
    """What a random search comes to (n, C, H, W): Square attack, l∞ (Andriushchenko et al. 2020, arXiv 1912.00049, algorithms 1 and 2).

    It starts from vertical stripes of ±ε and keeps a random square of ±ε whenever the margin rises. The squares' share of the image halves
    along the published schedule, shortened to `queries`. A fooled image costs nothing more.
    """
    count, channels, height, width = images.shape
    alike = grey(images).cpu()
    radius = torch.full((count,), epsilon, dtype=torch.float64, device=images.device)

    def signs(*shape: int) -> Tensor:
        return (torch.randint(0, 2, shape, generator=generator) * 2 - 1).to(images)

    stripes = signs(count, channels, 1, width)
    best = project(images + epsilon * torch.where(grey(images), stripes[:, :1], stripes), images, radius)
    logits = access.logits(best)
    reached, fooled = margin(logits, labels), fools(logits, labels)
    for query in range(1, queries):
        (left,) = (~fooled).nonzero(as_tuple=True)
        if not len(left):
            break
        side = max(1, round(math.sqrt(_share(query / queries) * height * width)))
        side = min(side, height, width)
        trial = best[left].clone()
        for place, image in enumerate(left.tolist()):
            row = int(torch.randint(0, height - side + 1, (1,), generator=generator))
            column = int(torch.randint(0, width - side + 1, (1,), generator=generator))
            window = (slice(None), slice(row, row + side), slice(column, column + side))
            square = signs(channels, 1, 1)
            trial[place][window] = images[image][window] + epsilon * (square[:1] if alike[image] else square)
        trial = project(trial, images[left], radius[left])
        logits = access.logits(trial)
        value, hit = margin(logits, labels[left]), fools(logits, labels[left])
        better = hit | (value > reached[left])
        best[left[better]], reached[left[better]] = trial[better], value[better]
        fooled[left] |= hit
    return best


def _share(progress: float) -> float:
    """Share of the image that a square covers after `progress` in [0, 1] of the queries: .8 at first, halved at the published places."""
    places = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
    return 0.8 / 2 ** sum(progress > place for place in places)
