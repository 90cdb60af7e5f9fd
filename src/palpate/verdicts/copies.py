"""The check of memorised images: an attack on moved copies of them, which no lookup knows."""

from collections.abc import Callable

import torch
from scipy.stats import binomtest
from torch import Tensor
from torch.nn import functional as F

from palpate.verdicts.baselines import STEPS, fools, pgd, price
from palpate.verdicts.check import CARLINI, LEAST, Finding, NotRun, check, judge, out_of, said
from palpate.verdicts.context import WIDER, CheckContext

COPIED = 24
"""Images of which copies are attacked."""

CHANCE = 0.01
"""Largest p (exact McNemar) at which copies are not called easier by luck."""


def _shifted(x: Tensor) -> Tensor:
    return F.pad(x, (2, 0, 2, 0), mode="replicate")[..., :-2, :-2]


def _enlarged(x: Tensor) -> Tensor:
    height, width = x.shape[2:]
    larger = F.interpolate(x, (height + height // 8, width + width // 8), mode="bilinear", align_corners=False)
    return larger[..., height // 16 :, width // 16 :][..., :height, :width].clamp(0, 1)


MOVES: tuple[Callable[[Tensor], Tensor], ...] = (_shifted, _enlarged, lambda x: x.flip(3))
"""Ways to move an image that leave its class as it is for most tasks: shifted by two pixels, enlarged by an eighth, mirrored."""


@check("moved copies", 200, 40.0, "points", f"{CARLINI} 5")
def moved_copies(context: CheckContext, threshold: float) -> Finding:
    """How many points more of moved copies, in a ball half as large, than of the images themselves baseline PGD fools; wrong copies are left out.

    Of the copies of an image that are right, the one farthest from it is attacked, since memory may reach to the others. A model that memorised
    the images, with a neighbourhood, answers like itself only where nothing was memorised. Copies that are merely less usual, such as mirrored
    digits, are easier to fool, too, but not in a ball so much smaller.
    """
    epsilon = context.informative_epsilon()
    places = context.right[: context.some(COPIED)]
    x, y = context.images[places], context.labels[places]
    context.need(len(MOVES) * len(places) + price(len(places), STEPS))
    copies, far = x.clone(), torch.zeros(len(places), device=x.device)
    for move in MOVES:
        moved = move(x)
        distance = (moved - x).flatten(1).norm(dim=1)
        farther = ~fools(context.access.logits(moved), y) & (distance > far)
        copies[farther], far[farther] = moved[farther], distance[farther]
    known = far > 0
    if int(known.sum()) < LEAST:
        raise NotRun("the model gets nearly all moved copies wrong")
    smaller = epsilon / WIDER
    run = pgd(context.access, copies[known], y[known], smaller, context.generator(9), STEPS, norm=context.norm)
    before = context.baseline(epsilon).fooled[: context.some(COPIED)][known]
    easier, harder = int((run.fooled & ~before).sum()), int((before & ~run.fooled).sum())
    count = easier - harder
    unlikely = count > 0 and binomtest(easier, easier + harder).pvalue <= CHANCE
    told = {"more": out_of(count, int(known.sum())), "where": context.written(epsilon)}
    words = said("moved copies", smaller=context.written(smaller), **told)
    return judge(100 * max(count, 0) / int(known.sum()), count if unlikely else 0, threshold, *words)
