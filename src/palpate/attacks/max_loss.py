"""The maximum loss at each epsilon: the image of largest cross-entropy, for what depends on more than being fooled.

A minimum-norm attack stops as soon as an image is fooled. That is right for accuracy and wrong for AUROC, confidence, calibration and saliency under
attack, which ask how wrong the model can be made. So here every image gets the full number of steps at every epsilon, each starting from the
worst image of the epsilon below.
"""

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from palpate.attacks.losses import log_odds, unusable
from palpate.attacks.norms import distance, dual_norm, per_image, project, round_bits
from palpate.attacks.problem import Block, Problem
from palpate.attacks.reach import stepped
from palpate.attacks.result import Sweep
from palpate.attacks.spec import Attack
from palpate.core.registry import ATTACKS

FIRST, LAST = 1.0, 0.05
"""The first and last step as shares of the radius, with a cosine decay: the first reaches any corner, since each epsilon starts inside its ball."""

MOMENTUM = 0.5
"""Share of the last direction that is kept: more than in the descent, whose candidates change their ball at every step."""


@ATTACKS.register("max-loss")
class MaxLoss(Attack):
    """The image of largest cross-entropy at each epsilon, without early exit. It has no random start, hence no seed."""

    kind: ClassVar[str] = "max-loss"
    splits: ClassVar[bool] = True
    every_epsilon: ClassVar[bool] = True

    steps: int = Field(10, ge=1, description="gradients per image and epsilon")
    draws: int = Field(1, ge=1, description="answers averaged per pass, for models that are not deterministic")
    precision: Literal["float32", "bfloat16"] = Field("float32", description="of gradients; successes are float32's")

    def run(self, problem: Problem) -> Iterator[Sweep]:
        """Raise the loss from epsilon to epsilon; a block is one batch unless told otherwise."""
        access = problem.access(self.draws, self.precision)
        for block in problem.blocks(access, self.norm, channels=self.channels):
            worst = raise_loss(block, self.steps)
            block.best.pending[:] = False
            block.best.tell("maximum loss")
            yield block.result(self.how, worst)


def raise_loss(block: Block, steps: int) -> Tensor:
    """The worst image at each epsilon (E, n, C, H, W); for the radius, the first of them that fools is taken as best adversarial.

    Args:
        block: clean errors and failures are noted in its `best`, too.
        steps: gradients per epsilon.
    """
    access, best, clean, label, norm = block.access, block.best, block.clean, block.labels, block.norm
    image, none = torch.arange(len(block), device=clean.device), torch.zeros_like(best.limit)
    levels, worst, before = [], clean, none
    highest, fools = torch.full_like(none, -float("inf")), none > 0
    for level, epsilon in enumerate(block.epsilons):
        radius = torch.full_like(none, epsilon)
        scale = torch.where(before > 0, radius / before.clamp(min=1e-300), torch.ones_like(none))
        point = project(clean + (worst - clean) * per_image(scale, clean), clean, radius, norm)
        momentum = torch.zeros_like(clean)
        # `worst` and `highest` are those of the epsilon below: that image is valid here, too, so the loss never falls as epsilon rises.
        for step in range(steps + 1):
            if step < steps:
                logits, _, gradient = access.gradient(point, log_odds, label)
            else:
                logits, gradient = access.logits(point), None
            if level == 0 and step == 0:
                best.update(image, clean, none, logits.argmax(1) != label)
            best.fail(image[unusable(logits)])
            loss = log_odds(logits.double(), label)
            higher = loss > highest
            highest = torch.where(higher, loss, highest)
            worst = torch.where(higher.view(-1, 1, 1, 1), point, worst)
            fools = torch.where(higher, access.fooled(point, access.certain_margin(logits, label), label), fools)
            if gradient is None:
                break
            slope = dual_norm(gradient, norm)
            momentum = MOMENTUM * momentum + gradient / per_image(slope.clamp(min=1e-30), gradient)
            share = LAST + (FIRST - LAST) * (1 + torch.cos(torch.tensor(torch.pi * step / max(steps - 1, 1)))) / 2
            size = round_bits(share.to(radius) * radius)
            point = project(stepped(point, momentum, size, norm), clean, radius, norm)
        best.update(image, worst, radius, fools)
        levels.append(worst)
        before = distance(worst, clean, norm)
    return torch.stack(levels)
