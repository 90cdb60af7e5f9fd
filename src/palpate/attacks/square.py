"""Square: a random search that needs no gradient, for the case that gradients mislead (Andriushchenko et al. 2020, arXiv 1912.00049).

It starts from vertical stripes of ±ε and then repaints one square of each image at a time with ±ε per channel, keeping what raises
the margin; the squares shrink as the search goes on.
"""

from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from palpate.attacks.fixed_epsilon import FixedEpsilon
from palpate.attacks.norms import per_image, project
from palpate.attacks.problem import Block
from palpate.core.registry import ATTACKS

START = 0.3
"""Share of the image that the first squares cover; arXiv 1912.00049 takes .8 for l∞ at 10,000 queries, and fewer queries need smaller squares."""

HALVINGS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
"""Shares of the search after which the squares' share of the image halves (its table 6)."""


def random_squares(
    ask: Callable[[Tensor, Tensor], Tensor],
    images: Tensor,
    radius: Tensor,
    queries: int,
    generators: list[torch.Generator],
    tied: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Search inside each image's l∞ ball until it is fooled or the queries are spent.

    Args:
        ask: from points (n, C, H, W) and their rows (n,) in `images` to margins (n,), above 0 where fooled.
        images: (N, C, H, W) in [0, 1].
        radius: (N,) l∞ radii.
        queries: forward passes per image, at most.
        generators: N, one per image.
        tied: (N,) images whose channels move together; none when absent.

    Returns:
        The best points (N, C, H, W) and their margins (N,).
    """
    count, channels, height, width = images.shape
    step = per_image(radius, images)
    stripes, draws = [], []
    for generator in generators:
        stripes.append(torch.randint(2, (channels, 1, width), generator=generator))
        draws.append(torch.rand(queries, 2 + channels, generator=generator))
    best = project(images + step * _signs(torch.stack(stripes).to(images.device)).to(images), images, radius)
    chance = torch.stack(draws).to(images.device)
    if tied is not None and bool(tied.any()):  # every channel takes the draws of the first
        best[tied] = best[tied][:, :1].expand(-1, channels, -1, -1)
        chance[:, :, 2:] = torch.where(tied[:, None, None], chance[:, :, 2:3], chance[:, :, 2:])
    across, down = torch.arange(width, device=images.device), torch.arange(height, device=images.device)
    rows = torch.arange(count, device=images.device)
    margins = ask(best, rows)
    for query in range(1, queries):
        rows = (margins <= 0).nonzero()[:, 0]
        if not len(rows):
            break
        share = START / 2 ** sum(query > mark * queries for mark in HALVINGS)
        side = max(1, min(round((share * height * width) ** 0.5), height, width))
        top = (chance[rows, query, 0] * (height - side + 1)).long()[:, None]
        left = (chance[rows, query, 1] * (width - side + 1)).long()[:, None]
        tall, wide = (down >= top) & (down < top + side), (across >= left) & (across < left + side)
        inside = tall[:, None, :, None] & wide[:, None, None]
        sign = _signs(chance[rows, query, 2:] < 0.5)[:, :, None, None].to(images)
        painted = project(images[rows] + sign * step[rows], images[rows], radius[rows])
        trial = torch.where(inside, painted, best[rows])
        given = ask(trial, rows)
        better = given > margins[rows]
        best[rows[better]] = trial[better]
        margins[rows[better]] = given[better]
    return best, margins


def _signs(bits: Tensor) -> Tensor:
    return 2 * bits.long() - 1


@ATTACKS.register("square")
class Square(FixedEpsilon):
    """Square at each epsilon, in l∞."""

    kind: ClassVar[str] = "square"
    uses_gradients: ClassVar[bool] = False

    norm: Literal["linf"] = "linf"
    queries: int = Field(1000, ge=1, description="forward passes per image and epsilon, at most")

    def perturb(self, block: Block, image: Tensor, radius: Tensor) -> Tensor:
        """The point of largest margin that was seen."""
        access, labels = block.access, block.labels[image]

        def ask(points: Tensor, rows: Tensor) -> Tensor:
            return access.certain_margin(access.logits(points, rows), labels[rows])

        generators, tied = block.generators(image, 0), block.tied(image)
        return random_squares(ask, block.clean[image], radius, self.queries, generators, tied)[0]
