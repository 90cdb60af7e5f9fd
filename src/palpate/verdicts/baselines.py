"""The checks' own attacks: PGD with its whole trace kept, random noise, and a random search that asks for no gradient.

They are plain on purpose. A check must not share the cleverness, or the mistakes, of the attack that it examines, so nothing here is taken from
the sweep and every run starts from the clean image at one epsilon.
"""

import dataclasses
import math

import torch
from torch import Tensor

from palpate.attacks.losses import Loss, certain_margin, cross_entropy, margin
from palpate.attacks.norms import per_image, project
from palpate.verdicts.door import Door

STEPS = 20
"""Steps of the usual attack, each 2.5 ε / 20 (Madry et al. 2018, arXiv 1706.06083, section 5)."""


@dataclasses.dataclass(frozen=True)
class Run:
    """One attack at one epsilon on n images.

    Attributes:
        epsilon: l∞ radius in [0, 1].
        last: (n, C, H, W), the last iterate, which is what the usual PGD reports.
        fooled: (n,), whether the last iterate fools.
        ever: (n,), whether any iterate did.
        best: (n, C, H, W), the last of the iterates that fooled, else the last iterate.
        margins: (T + 1, n), best wrong logit minus true logit, from the start to the last iterate.
        logits: (n, K) of the last iterate.
    """

    epsilon: float
    last: Tensor
    fooled: Tensor
    ever: Tensor
    best: Tensor
    margins: Tensor
    logits: Tensor


def fools(logits: Tensor, labels: Tensor) -> Tensor:
    """Which images (n,) are misclassified beyond rounding; an answer that is no number counts, since it is not the right class."""
    return (certain_margin(logits, labels) > 0) | ~logits.isfinite().all(1)


def price(images: int, steps: int) -> int:
    """Passes that `climb` spends, forward and backward together."""
    return images * (2 * steps + 1)


def climb(
    door: Door,
    images: Tensor,
    labels: Tensor,
    epsilon: float,
    generator: torch.Generator,
    steps: int = STEPS,
    loss: Loss = cross_entropy,
) -> Run:
    """PGD from a uniform start, step 2.5 ε / steps, every iterate looked at (Madry et al. 2018, arXiv 1706.06083).

    A gradient that is no number moves nothing: the images stay images.
    """
    radius = torch.full((len(images),), epsilon, dtype=torch.float64, device=images.device)
    points = jitter(images, epsilon, generator)
    best, ever = points.clone(), torch.zeros(len(images), dtype=torch.bool, device=images.device)
    margins: list[Tensor] = []
    logits = torch.zeros(len(images), 2, device=images.device)
    for step in range(steps + 1):
        if step < steps:
            logits, slope = door.gradient(points, labels, loss)
        else:
            logits, slope = door.logits(points), None
        hit = fools(logits, labels)
        ever, best = ever | hit, torch.where(per_image(hit, images).bool(), points, best)
        margins.append(margin(logits, labels).detach())
        if slope is not None:
            direction = slope.nan_to_num(0.0, 0.0, 0.0).sign()
            points = project(points + 2.5 * epsilon / steps * direction, images, radius)
    best = torch.where(per_image(ever, images).bool(), best, points)
    return Run(epsilon, points, fools(logits, labels), ever, best, torch.stack(margins), logits)


def jitter(images: Tensor, epsilon: float, generator: torch.Generator, corner: bool = False) -> Tensor:
    """Random points of the ball: uniform, or ±ε in every pixel."""
    noise = torch.rand(images.shape, generator=generator) * 2 - 1
    noise = noise.sign() if corner else noise
    radius = torch.full((len(images),), epsilon, dtype=torch.float64, device=images.device)
    return project(images + epsilon * noise.to(images), images, radius)


def noise(
    door: Door, images: Tensor, labels: Tensor, epsilon: float, generator: torch.Generator, draws: int = 10
) -> Tensor:
    """Which images (n,) are fooled by any of `draws` uniform and `draws` corner perturbations; fallen images are left alone."""
    fallen = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    for draw in range(2 * draws):
        (still,) = (~fallen).nonzero(as_tuple=True)
        if not len(still):
            break
        points = jitter(images[still], epsilon, generator, corner=draw % 2 == 1)
        fallen[still] = fools(door.logits(points), labels[still])
    return fallen


def squares(
    door: Door, images: Tensor, labels: Tensor, epsilon: float, generator: torch.Generator, queries: int
) -> Tensor:
    """Which images (n,) random search fools: Square attack, l∞ (Andriushchenko et al. 2020, arXiv 1912.00049, algorithms 1 and 2).

    It starts from vertical stripes of ±ε and keeps a random square of ±ε whenever the margin rises. The squares' share of the image halves
    along the published schedule, shortened to `queries`. A stopped image costs nothing more.
    """
    count, channels, height, width = images.shape
    radius = torch.full((count,), epsilon, dtype=torch.float64, device=images.device)

    def signs(*shape: int) -> Tensor:
        return (torch.randint(0, 2, shape, generator=generator) * 2 - 1).to(images)

    best = project(images + epsilon * signs(count, channels, 1, width), images, radius)
    logits = door.logits(best)
    reached, fallen = margin(logits, labels), fools(logits, labels)
    for query in range(1, queries):
        (still,) = (~fallen).nonzero(as_tuple=True)
        if not len(still):
            break
        side = max(1, round(math.sqrt(_share(query / queries) * height * width)))
        side = min(side, height, width)
        trial = best[still].clone()
        for place, image in enumerate(still.tolist()):
            top = int(torch.randint(0, height - side + 1, (1,), generator=generator))
            left = int(torch.randint(0, width - side + 1, (1,), generator=generator))
            window = (place, slice(None), slice(top, top + side), slice(left, left + side))
            trial[window] = images[(image, *window[1:])] + epsilon * signs(channels, 1, 1)
        trial = project(trial, images[still], radius[still])
        logits = door.logits(trial)
        value, hit = margin(logits, labels[still]), fools(logits, labels[still])
        better = hit | (value > reached[still])
        best[still[better]], reached[still[better]] = trial[better], value[better]
        fallen[still] |= hit
    return fallen


def _share(progress: float) -> float:
    """Share of the image that a square covers after `progress` in [0, 1] of the queries: .8 at first, halved at the published places."""
    places = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
    return 0.8 / 2 ** sum(progress > place for place in places)
