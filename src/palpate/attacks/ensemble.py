"""The ensemble of strength "ensemble": different attacks, one after another, each aiming below the best radius known of each image.

AutoAttack needs ten classes for its hard-coded targets and three for its ratio of logits. These need two. None works at an epsilon: the images that
survive an epsilon are those whose radius is larger, so lowering every image's radius serves the whole grid.
"""

import dataclasses
from typing import Any

import torch
from torch import Tensor

from palpate.attacks.apgd import ascend
from palpate.attacks.candidates import Candidates, Config, candidates_at
from palpate.attacks.descent import descend
from palpate.attacks.losses import margin, scaled_log_odds
from palpate.attacks.problem import Block
from palpate.attacks.rescue import patience, polish
from palpate.attacks.restarts import below_best, each_class, restart
from palpate.attacks.square import random_squares

APGD_STAGE, SQUARE_STAGE = 101, 103
"""Numbers that give the draws of these parts generators of their own; restarts count from 1."""

FINE = {"again": 0.2, "last": 0.002, "momentum": 0.75, "shrink": 0.0005, "falling": 0.001, "still": 0.001}
"""The last descent moves in short steps and looks just below the best radius, where a few thousandths of it are left to find: on a plain CNN the
optimality came from .991 to .997 for 75 passes."""


UNEVEN, ABRUPT = {"again": 0.5, "last": 0.01}, {"last": 0.05, "shrink": 0.01}
"""Likewise on a rough network, and where the margin jumps besides; both take more steps. Optimality on a ResNet-50 came from .989 to .992 for 100
passes, on a k-winners-take-all network from .989 to .997 for 60."""


@dataclasses.dataclass(frozen=True)
class Parts:
    """How much of each attack."""

    restarts: int = 6  # descents from random points
    jumps: int = 4  # likewise where the margin jumps, in place of descents towards one class
    targets: int = 9  # descents towards one class each, at most K − 1
    ascents: int = 15  # gradients of APGD, once with the log-odds, which unlike cross-entropy do not saturate, and once with the margin
    queries: int = 100  # of Square
    polish: int = 80  # steps of a round of the last descent, from the best point
    longer: int = 200  # likewise on a rough network
    descent: Config = dataclasses.field(
        default_factory=lambda: Config(
            steps=30, prune=((1, 3), (2, 2), (4, 1)), prune_beyond=((9, 1.15), (18, 1.03)), shrink=0.005, falling=0.015
        )  # most restarts end far above the best radius, and by a third of their steps that shows
    )


def ensemble(block: Block, parts: Parts) -> None:
    """Lower the radii of the block with restarts, targets, APGD, Square and a last descent from the best point.

    Images that are wrong when clean, or failed, are left alone.
    """
    access, best, labels, config = block.access, block.best, block.labels, parts.descent
    if block.head.bends:  # estimates of a radius from afar are wrong there
        config = dataclasses.replace(config, prune_beyond=())
    alive = best.alive()
    if not len(alive):
        return

    def go_on(point: Tensor, radius: Tensor) -> None:
        """Look at what an attack at a fixed radius found, and where it fooled, go on from there."""
        fooled = access.certain_margin(access.logits(point, alive), labels[alive]) > 0
        best.update(alive, point, radius, fooled)
        won = torch.full_like(best.limit, -1, dtype=torch.long)
        won[alive] = torch.arange(len(alive), device=alive.device)

        def resume(image: Tensor) -> Candidates:
            at = won[image]
            return candidates_at(block, config, image, point[at], radius[at], -1, config.steps // 2)

        descend(block, config, alive[fooled], resume, "refinement")

    for number in range(parts.jumps if block.head.jumps else parts.restarts):
        restart(block, patience(block, config) if block.head.jumps else config, alive, 1 + number)
    if not block.head.jumps:
        each_class(block, config, alive, parts.targets)
    for stage, loss, given in ((APGD_STAGE, scaled_log_odds, (labels, best.lead)), (APGD_STAGE + 1, margin, (labels,))):

        def loss_at(
            points: Tensor, rows: Tensor, loss: Any = loss, given: Any = given
        ) -> tuple[Tensor, Tensor, Tensor]:
            image = alive[rows]
            logits, values, gradient = access.gradient(points, loss, *(each[image] for each in given), image=image)
            return values, gradient, access.certain_margin(logits, labels[image]) > 0

        radius = below_best(block, config, alive)
        start = block.random_start(alive, radius, stage)
        go_on(ascend(loss_at, block.clean[alive], radius, start, parts.ascents, block.norm), radius)
    if parts.queries and block.norm == "linf":

        def margin_at(points: Tensor, rows: Tensor) -> Tensor:
            return access.certain_margin(access.logits(points, alive[rows]), labels[alive[rows]])

        radius = below_best(block, config, alive)
        generators = block.generators(alive, SQUARE_STAGE)
        points, _ = random_squares(margin_at, block.clean[alive], radius, parts.queries, generators, block.tied(alive))
        go_on(points, radius)
    best.keep()  # the next points lie where the margin is thinnest
    last = {**FINE, **(UNEVEN if block.head.rough else {}), **(ABRUPT if block.head.jumps else {})}
    polish(block, dataclasses.replace(config, **last), alive, parts.longer if block.head.rough else parts.polish)
