"""APGD: projected gradient ascent that chooses its own step (Croce & Hein 2020, arXiv 2003.01690), as a function and as an attack."""

from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from palpate.attacks.fixed_epsilon import FixedEpsilon
from palpate.attacks.losses import LOSSES
from palpate.attacks.norms import Norm, per_image, project
from palpate.attacks.problem import Block
from palpate.attacks.reach import stepped
from palpate.core.registry import ATTACKS

MOMENTUM, RISES = 0.75, 0.75
"""The article's α, the weight of the new step, and ρ, the share of steps in which the loss must rise for the step to stay."""

FIRST_CHECK, CLOSER, LEAST_GAP = 0.22, 0.03, 0.06
"""The article's checkpoints, as shares of all steps: the first, how much closer each gap is than the one before, and the least gap."""

NOISE = 1e-6
"""A loss that is higher by less than this share is the same loss, computed in another order."""

Ask = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
"""From points (n, …) and their rows (n,) to losses (n,), gradients (n, …) and which of them may stop (n,)."""


def ascend(ask: Ask, images: Tensor, radius: Tensor, start: Tensor, steps: int, norm: Norm = "linf") -> Tensor:
    """APGD (Croce & Hein 2020, arXiv 2003.01690, algorithm 1): ascent with momentum .75 that halves its step when progress stalls.

    The step starts at twice the radius. At checkpoints, ever closer to each other, it is halved and the search goes back to the best point
    if the loss rose in fewer than three quarters of the steps since the last one, or if neither step nor best loss changed.

    Args:
        ask: the loss to raise; images that may stop cost no more passes.
        images: (N, …) in [0, 1].
        radius: (N,).
        start: (N, …), inside the balls.
        steps: gradients per image, at most.

    Returns:
        For each image the point at which it could stop, or the point of largest loss (N, …).
    """
    rows = torch.arange(len(images), device=images.device)
    best, best_loss = start.clone(), torch.full((len(images),), -float("inf"), dtype=images.dtype, device=images.device)
    point, before = start, start
    step = 2 * radius
    last_loss, rises = best_loss.clone(), torch.zeros_like(rows)
    kept_step, kept_loss = step.clone(), best_loss.clone()
    ascent = torch.zeros_like(start)
    check = gap = max(int(FIRST_CHECK * steps), 1)
    since = 0
    for number in range(steps):
        loss, gradient, stop = ask(point, rows)
        improved = _higher(loss, best_loss) | stop
        best[rows[improved]] = point[improved]
        rises += _higher(loss, last_loss)
        best_loss, ascent = torch.where(improved, loss, best_loss), _where(improved, gradient, ascent)
        last_loss, since = loss, since + 1
        centre, direction, pull = point, gradient, torch.full_like(step, MOMENTUM if number else 1.0)
        if number == check:
            stalled = (rises < RISES * since) | ((kept_step == step) & (kept_loss == best_loss))
            step = torch.where(stalled, step / 2, step)
            centre, direction = _where(stalled, best[rows], point), _where(stalled, ascent, gradient)
            kept_step, kept_loss, rises, since = step.clone(), best_loss.clone(), torch.zeros_like(rises), 0
            gap = max(gap - max(int(CLOSER * steps), 1), max(int(LEAST_GAP * steps), 1))
            check += gap
        clean, ball = images[rows], radius[rows]
        ahead = project(stepped(centre, direction, step, norm), clean, ball, norm)
        weight = per_image(pull, clean)
        moved = project(centre + weight * (ahead - centre) + (1 - weight) * (centre - before), clean, ball, norm)
        before, point = centre, moved
        if bool(stop.any()):
            go = ~stop
            rows, point, before, ascent, step, rises = (each[go] for each in (rows, point, before, ascent, step, rises))
            best_loss, last_loss = best_loss[go], last_loss[go]
            kept_step, kept_loss = kept_step[go], kept_loss[go]
            if not len(rows):
                break
    return best


def _higher(loss: Tensor, than: Tensor) -> Tensor:
    """Which losses (n,) are higher by more than rounding: at a corner of the ball a step ends where it began, and last digits decide nothing."""
    return loss > torch.where(than.isfinite(), than + NOISE * than.abs(), than)


def _where(mask: Tensor, one: Tensor, other: Tensor) -> Tensor:
    return torch.where(mask.view(-1, *[1] * (one.ndim - 1)), one, other)


@ATTACKS.register("apgd")
class APGD(FixedEpsilon):
    """APGD from a random start at each epsilon: each image's point of largest loss, or the first that is misclassified."""

    kind: ClassVar[str] = "apgd"

    steps: int = Field(100, ge=1, description="gradients per image and epsilon, at most")
    loss: Literal["cross-entropy", "log-odds", "margin"] = Field("cross-entropy", description="what is raised")

    def perturb(self, block: Block, image: Tensor, radius: Tensor) -> Tensor:
        """The point of largest loss, or the first that is misclassified."""
        access, labels = block.access, block.labels[image]

        def ask(points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            logits, values, gradient = access.gradient(points, LOSSES[self.loss], labels[rows], image=rows)
            return values, gradient, access.certain_margin(logits, labels[rows]) > 0

        return ascend(ask, block.clean[image], radius, block.random_start(image, radius, 0), self.steps, self.norm)
