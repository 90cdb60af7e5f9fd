"""What is done for images on which the descent had no good start: heads that bend the margin, and images that nothing has fooled.

A head that squashes, stretches or breaks each logit's scale changes no decision, but misleads a linear model about which class is nearest and
where. Whether a head does so is seen on the first images; an image on which the first prediction failed is treated alike.
"""

import dataclasses
from typing import Any

import torch
from torch import Tensor

from palpate.attacks.boundary import across, bracket
from palpate.attacks.candidates import TRUST, Candidates, Config, candidates_at, join, rank_within
from palpate.attacks.descent import descend
from palpate.attacks.head import PROBED
from palpate.attacks.losses import margin_towards, scaled_log_odds, wrong_by_logit
from palpate.attacks.norms import per_image, project, total
from palpate.attacks.problem import Block
from palpate.attacks.reach import Reach
from palpate.attacks.restarts import each_class, restart
from palpate.attacks.square import random_squares

MOST_CLASSES = 9
"""Classes towards which the boundary is bracketed, by descending logit; as many as the ensemble's targets."""

PATIENT: dict[str, Any] = {
    "steps": 40,
    "first": 1.0,
    "momentum": 0.75,
    "still": 0.0,
    "falling": 0.01,
    "round": 20,
    "limit": 60,
    "prune_beyond": (),
}
"""Where the linear model misleads only many short steps find the way."""

POLISH, ROUGH_POLISH, JUMP_POLISH = 80, 120, 200
"""Steps of a round of the last descent there, on a rough network, and where the margin jumps."""

COARSE = {"again": 0.5, "shrink": 0.005, "falling": 0.003, "momentum": PATIENT["momentum"]}
"""Its settings, the same on all of them."""

UNEVEN = 0.06
"""An image whose late predictions of the margin missed by more, as a share of what the ball gains, is treated as one whose first prediction failed.
The radii of such images were 1 to 8 % too large in the mean, on most networks 2 to 5 %, those of others 1 to 2 %."""

JUMPS, NEARBY, JUMP_RESTARTS = {"steps": 30, "limit": 30, "shrink": 0.05, "last": 0.1}, {"shrink": 0.02}, 9
"""Where the margin is discontinuous, as with k-winners-take-all, a boundary just below the best radius is chance: descents aim well below it, in
longer steps, the last one somewhat below it, and several begin at random points. With a polish of 80 steps the radii were 6.1 % above those of
`ensemble` without these, 3.9 % with three, 2.5 % with six and 2.2 % with nine; on one of two classes, where there is no other class to go towards, it
fell by 10 %."""

ATTEMPT_STAGE, RESTART_STAGE, JUMP_STAGE, SQUARES_STAGE = 200, 190, 180, 199
"""Numbers of the generators of these draws."""

SQUARES, RESTARTS = 100, 2
"""Queries of the search that needs no gradient, and descents from random points."""


def see_what_kind(block: Block) -> None:
    """Judge the head; where the network is rough, see on its first images whether the margin jumps. Where none of them is fooled, it is taken to."""
    head, alive = block.head, block.best.alive()
    head.since, first = block.place.stop, alive[block.place.start + alive < PROBED]
    head.note_late(block.best.late[first])
    head.judge()
    if head.rough and len(first):
        first = first[block.best.limit[first].isfinite()]
        for part in first.split(block.access.batch):
            head.note_across(across(block, part) if len(part) else torch.full((1,), float("inf"), dtype=torch.float64))
        head.judge()


def misled(block: Block, config: Config, kept: int) -> None:
    """Attack again where the linear model was no guide: towards every class, from random points where the margin jumps, and on from the best point.

    Bracketed is the boundary towards every class, and the `kept` nearest descend from there. The directions give each logit's gradient unit length,
    so that they do not depend on a monotone function that the head applies to every logit. Where there is one class, and one to be kept, the
    descent has gone towards it already.
    """
    head, best, alive = block.head, block.best, block.best.alive()
    again = alive[(best.lost | (best.late > UNEVEN) | head.bends | head.jumps)[alive]]
    towards = again if head.wrong > 1 or kept > 1 else again[:0]
    patient = patience(block, config)
    for part in towards.split(block.access.batch) if len(towards) else ():
        _every_class(block, patient, part, kept)
    for number in range(JUMP_RESTARTS if head.jumps else 0):
        restart(block, patient, again, JUMP_STAGE + number)
    uneven = alive[best.late[alive] > UNEVEN]
    steps = JUMP_POLISH if head.jumps else ROUGH_POLISH if head.rough else POLISH
    coarse = dataclasses.replace(config, **{**COARSE, **(NEARBY if head.jumps else {})})
    polish(block, coarse, torch.cat([again if head.jumps else towards, uneven]).unique(), steps)


def patience(block: Block, config: Config) -> Config:
    """The settings of descents where the linear model misleads."""
    return dataclasses.replace(config, **{**PATIENT, **(JUMPS if block.head.jumps else {})})


def _every_class(block: Block, config: Config, image: Tensor, kept: int) -> None:
    access, best, clean, labels = block.access, block.best, block.clean[image], block.labels[image]
    patient = dataclasses.replace(config, prune=((6, max(kept // 2, 2)), (12, 2)))
    logits = access.logits(clean, image)
    classes = wrong_by_logit(logits, labels, MOST_CLASSES, access.still)
    directions = access.unit_gradients(clean, labels, classes, image)
    radius = torch.where(best.limit[image].isfinite(), best.limit[image], block.top)
    found = []
    for target, direction in zip(classes.T, directions, strict=True):
        point = project(clean + Reach(clean, direction, block.norm).delta(radius), clean, radius, block.norm)
        at = candidates_at(block, patient, image, point, radius, target, 1)
        fooled = margin_towards(access.logits(point, image), at.label, at.target) > 0
        found.append(bracket(block, at, fooled))
    nearest = join(found)
    nearest = nearest.take(rank_within(nearest.image, nearest.radius) < kept)
    nearest.trust = nearest.trust / 2
    descend(block, patient, image, lambda some: nearest.take(torch.isin(nearest.image, some)), "every class")


def last_attempt(block: Block, config: Config) -> None:
    """Attack images that nothing has fooled once more at the largest epsilon; what falls is refined from there.

    Where the boundary seemed near, descents start from elsewhere, since the first ones may have ended at a bend of it or towards another class than
    the nearest. Then another loss is tried: the log-odds rise along all wrong classes at once and from the clean image. Where no gradient
    reaches the pixels, random points and then Square follow.
    """
    best, access = block.best, block.access
    image = (best.limit.isinf() & ~best.failed).nonzero()[:, 0]
    near = image[best.estimate[image] <= config.near * block.top]
    if len(near):
        each_class(block, dataclasses.replace(config, prune=()), near, MOST_CLASSES)
        for number in range(RESTARTS):
            restart(block, dataclasses.replace(config, prune=(), steps=config.longer), near, RESTART_STAGE + number)
    for part in image.split(access.batch) if len(image) else ():
        _at_largest(block, config, part)
        blind = part[access.unseen[part.cpu()].to(part.device) & best.limit[part].isinf()]
        if len(blind) and block.norm == "linf":
            _without_gradient(block, blind)
    won = image[best.limit[image].isfinite()]
    if not len(won):
        return
    radius = best.limit[won]
    at = candidates_at(block, config, won, best.points[won], radius, -1, max(config.steps // 2, 2))
    near = bracket(block, at, torch.ones_like(won, dtype=torch.bool))
    descend(block, config, won, lambda some: near.take(torch.isin(near.image, some)), "last attempt")


def _at_largest(block: Block, config: Config, image: Tensor) -> None:
    """Ascend the log-odds of these images (n,) within the largest epsilon: a step across the ball, then ever shorter ones."""
    access, best, clean, label = block.access, block.best, block.clean[image], block.labels[image]
    radius = torch.full((len(image),), block.top, dtype=torch.float64, device=image.device)
    point, momentum = clean, torch.zeros_like(clean)
    for number in range(config.attempt + 1):
        open_now = best.limit[image].isinf()
        if number == config.attempt:
            best.update(image, point, radius, access.certain_margin(access.logits(point, image), label) > 0)
            return
        logits, _, gradient = access.gradient(point, scaled_log_odds, label, best.lead[image], image=image)
        best.update(image, point, radius, (access.certain_margin(logits, label) > 0) & open_now & (number > 0))
        slope = total(gradient.abs())
        momentum = momentum + gradient / per_image(slope.clamp(min=1e-30), gradient)
        share = 2.0 if number == 0 else 1.0 / number
        point = project(point + Reach(point, momentum, block.norm).delta(share * radius), clean, radius, block.norm)
        flat = (slope == 0).nonzero()[:, 0]
        if len(flat):
            point[flat] = block.random_corner(image[flat], radius[flat], ATTEMPT_STAGE + number)


def _without_gradient(block: Block, image: Tensor) -> None:
    """Square at the largest epsilon on images (n,) whose gradient is no number."""
    radius = torch.full((len(image),), block.top, dtype=torch.float64, device=image.device)

    def ask(points: Tensor, rows: Tensor) -> Tensor:
        return block.access.certain_margin(block.access.logits(points, image[rows]), block.labels[image[rows]])

    generators = block.generators(image, SQUARES_STAGE)
    points, margins = random_squares(ask, block.clean[image], radius, SQUARES, generators, block.tied(image))
    block.best.update(image, points, radius, margins > 0)


def polish(block: Block, config: Config, image: Tensor, steps: int) -> None:
    """Descend again from the best point of each of these images (n,), just below its radius, in short steps, as long as the radius falls."""
    best = block.best
    image = image[best.limit[image].isfinite() & (best.limit[image] > 0) & ~best.failed[image]]
    gentle = dataclasses.replace(config, window=steps // 2, round=steps, limit=config.steps + 4 * steps)

    def begin(some: Tensor) -> Candidates:
        radius = best.limit[some] * (1 - gentle.shrink)
        clean = block.clean[some]
        point = clean + (best.points[some] - clean) * per_image(radius / best.limit[some], clean)
        at = candidates_at(block, gentle, some, project(point, clean, radius, block.norm), radius, -1, config.steps)
        at.begin, at.end, at.trust = at.step.clone(), at.step + steps, torch.full_like(radius, TRUST / 4)
        return at

    if len(image):
        descend(block, gentle, image, begin, "polish")
