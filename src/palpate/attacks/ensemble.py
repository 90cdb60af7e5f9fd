"""The ensemble of strength "ensemble": different attacks, one after another, each aiming below the best radius known of each image.

AutoAttack needs ten classes for its hard-coded targets and three for its ratio of logits. These need two. None works at an epsilon: the images that
survive an epsilon are those whose radius is larger, so lowering every image's radius serves the whole grid.
"""

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from palpate.attacks.access import Oracle
from palpate.attacks.best import Found
from palpate.attacks.losses import Loss, log_odds, margin
from palpate.attacks.minimum_norm import Effort, Rows, run
from palpate.attacks.norms import Norm, random_start, snap
from palpate.attacks.square import square
from palpate.attacks.steps import ascend


@dataclasses.dataclass(frozen=True)
class Stages:
    """How much of each attack."""

    restarts: int = 2  # descents from random points
    targets: int = 9  # descents towards one class each, at most K − 1
    ascents: int = (
        30  # gradients of APGD, once with cross-entropy (as log-odds, which do not saturate) and once with the margin
    )
    queries: int = 300  # of Square
    descent: Effort = dataclasses.field(
        default_factory=lambda: Effort(steps=30, cuts=((1, 3), (2, 2), (4, 1)), hopeless=((9, 1.15), (18, 1.03)))
    )


def ensemble(oracle: Oracle, label: Tensor, found: Found, top: float, seed: int, norm: Norm, stages: Stages) -> None:
    """Lower the radii in `found` with restarts, targets, APGD and Square.

    Args:
        oracle: the model.
        label: (N,) of the chunk's images.
        found: radii and points so far; images that are wrong or failed are left alone.
        top: the largest radius.
        seed: of the random starts and draws.
        norm: Square is for l∞ and left out for l2.
        stages: how much of each.
    """
    clean, effort = found.clean, stages.descent
    alive = ((found.limit > 0) & ~found.failed).nonzero()[:, 0]
    places = [found.offset + place for place in alive.tolist()]

    def rows_at(image: Tensor, point: Tensor, radius: Tensor, target: Tensor, step: int) -> Rows:
        return Rows(
            image, label[image], target, clean[image], point, torch.zeros_like(point), radius, torch.ones_like(radius),
            torch.full_like(image, step),
        )  # fmt: skip

    def descend(start: Callable[[Tensor], Rows], words: str) -> None:
        run(oracle, lambda part: start(alive[part]), alive, found, top, effort, norm, words)

    def aim(image: Tensor) -> Tensor:
        return snap((found.limit[image] * (1 - effort.shy)).clamp(max=top))

    def polish(point: Tensor, radius: Tensor) -> None:
        """Look at what an attack at a fixed radius found, and where it fooled, go on from there."""
        fooled = oracle.sure(oracle.logits(point, alive), label[alive]) > 0
        found.offer(alive, point, radius, fooled)
        won = fooled.nonzero()[:, 0]
        untargeted = -torch.ones_like(won)

        def resume(part: slice) -> Rows:
            at = won[part]
            return rows_at(alive[at], point[at], radius[at], untargeted[part], effort.steps // 2)

        run(oracle, resume, alive[won], found, top, effort, norm, "refinement")

    for restart in range(stages.restarts):

        def anew(image: Tensor, stage: int = 1 + restart) -> Rows:
            radius = aim(image)
            at = [found.offset + place for place in image.tolist()]
            point = random_start(clean[image], radius, at, seed, stage, norm)
            return rows_at(image, point, radius, -torch.ones_like(image), 1)

        descend(anew, "restarts")
    logits = oracle.logits(clean[alive], alive)
    wrong = logits.scatter(1, label[alive][:, None], float("-inf"))
    order = torch.full((len(clean), logits.shape[1]), -1, device=clean.device)
    order[alive] = wrong.argsort(dim=1, descending=True)
    for rank in range(min(stages.targets, logits.shape[1] - 1) if logits.shape[1] > 2 else 0):

        def towards(image: Tensor, rank: int = rank) -> Rows:
            return rows_at(image, clean[image], aim(image), order[image, rank], 0)

        descend(towards, "targets")
    for stage, loss in ((101, log_odds), (102, margin)):
        radius = aim(alive)
        point = random_start(clean[alive], radius, places, seed, stage, norm)

        def climb(points: Tensor, rows: Tensor, loss: Loss = loss) -> tuple[Tensor, Tensor, Tensor]:
            logits, values, gradient = oracle.gradient(points, alive[rows], loss, label[alive[rows]])
            return values, gradient, oracle.sure(logits, label[alive[rows]]) > 0

        point = ascend(climb, clean[alive], radius, point, stages.ascents, norm)
        polish(point, radius)
    if stages.queries and norm == "linf":
        radius = aim(alive)

        def ask(points: Tensor, rows: Tensor) -> Tensor:
            return oracle.sure(oracle.logits(points, alive[rows]), label[alive[rows]])

        points, _ = square(ask, clean[alive], radius, stages.queries, places, seed, 103)
        polish(points, radius)
