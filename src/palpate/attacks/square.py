"""Square: a random search that needs no gradient, for the case that gradients lie (Andriushchenko et al. 2020, arXiv 1912.00049).

It starts from vertical stripes of ±ε and then repaints one square of each image at a time with ±ε per channel, keeping what raises
the margin; the squares shrink as the search goes on.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from palpate.attacks.norms import per_image, project, seeded

START = 0.3  # share of the image that the first squares cover; arXiv 1912.00049 takes .8 for l∞ at 10,000 queries
HALVINGS = (
    0.001,
    0.005,
    0.02,
    0.05,
    0.1,
    0.2,
    0.4,
    0.6,
    0.8,
)  # of the search, after which the share halves (its table 6)


def square(
    ask: Callable[[Tensor, Tensor], Tensor],
    images: Tensor,
    radius: Tensor,
    queries: int,
    places: list[int],
    seed: int,
    stage: int,
) -> tuple[Tensor, Tensor]:
    """Search inside each image's l∞ ball until it is fooled or the queries are spent.

    Args:
        ask: from points (n, C, H, W) and their rows (n,) in `images` to margins (n,), above 0 where fooled.
        images: (N, C, H, W) in [0, 1].
        radius: (N,) l∞ radii.
        queries: forward passes per image, at most.
        places: N places in the whole set, which with `seed` and `stage` decide each image's draws.

    Returns:
        The best points (N, C, H, W) and their margins (N,).
    """
    count, channels, height, width = images.shape
    step = per_image(radius, images)
    stripes, draws = [], []
    for place in places:
        generator = seeded(seed, place, stage)
        stripes.append(torch.randint(2, (channels, 1, width), generator=generator))
        draws.append(torch.rand(queries, 2 + channels, generator=generator))
    best = project(images + step * _signs(torch.stack(stripes).to(images.device)).to(images), images, radius)
    chance = torch.stack(draws).to(images.device)  # (N, queries, 2 + C): where, and the sign of each channel
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
        inside = ((down >= top) & (down < top + side))[:, None, :, None] & ((across >= left) & (across < left + side))[
            :, None, None
        ]
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
