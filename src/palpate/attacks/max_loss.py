"""Objective "loss": at every epsilon the image of largest cross-entropy, for what depends on more than being fooled.

A sweep stops as soon as an image is fooled. That is right for accuracy and wrong for AUROC, confidence, calibration and saliency under attack, which
ask how wrong the model can be made. So here every image is pushed for the full number of steps at every epsilon, each starting from the worst
image of the epsilon below.
"""

import torch
from torch import Tensor

from palpate.attacks.access import Oracle
from palpate.attacks.best import Found
from palpate.attacks.losses import log_odds
from palpate.attacks.norms import Norm, distance, dual_norm, per_image, power_of_two, project, snap, steepest

FIRST, LAST, MOMENTUM = 1.0, 0.05, 0.5  # steps as shares of the radius, decaying as a cosine


def climb(
    oracle: Oracle,
    clean: Tensor,
    label: Tensor,
    image: Tensor,
    found: Found,
    grid: tuple[float, ...],
    steps: int,
    norm: Norm,
) -> Tensor:
    """The worst image at each epsilon (E, n, C, H, W); for the radius, the first of them that fools is offered to `found`.

    Args:
        oracle: the model.
        clean, label, image: (n, C, H, W), (n,), and their places (n,).
        found: clean errors, failures and the rungs that fool are noted there.
        grid: epsilons, rising.
        steps: gradients per epsilon.
    """
    none = torch.zeros(len(clean), dtype=torch.float64, device=clean.device)
    rungs, worst, before = [], clean, none
    highest, fools = torch.full_like(none, -float("inf")), none > 0
    for rung, epsilon in enumerate(grid):
        radius = torch.full_like(none, epsilon)
        scale = torch.where(before > 0, radius / before.clamp(min=1e-300), torch.ones_like(none))
        point = project(clean + (worst - clean) * per_image(scale, clean), clean, radius, norm)
        momentum = torch.zeros_like(clean)
        # `worst` and `highest` are carried from below: that image is valid here, too, so the loss never falls as epsilon rises.
        for step in range(steps + 1):
            if step < steps:
                logits, _, gradient = oracle.gradient(point, image, log_odds, label)
            else:
                logits, gradient = oracle.logits(point, image), None
            if rung == 0 and step == 0:
                found.offer(image, clean, none, logits.argmax(1) != label)
            found.fail(image[~logits.isfinite().all(1)])
            loss = log_odds(logits.double(), label)
            higher = loss > highest
            highest = torch.where(higher, loss, highest)
            worst = torch.where(higher.view(-1, 1, 1, 1), point, worst)
            fooled = oracle.confirmed(
                point, oracle.sure(logits, label) > 0, image, lambda exact, at: oracle.sure(exact, label[at]) > 0
            )
            fools = torch.where(higher, fooled, fools)
            if gradient is None:
                break
            slope = dual_norm(gradient, norm)
            found.fail(image[~slope.isfinite()])
            momentum = MOMENTUM * momentum + gradient / per_image(power_of_two(slope), gradient)
            share = LAST + (FIRST - LAST) * (1 + torch.cos(torch.tensor(torch.pi * step / max(steps - 1, 1)))) / 2
            size = per_image(snap(share.to(radius) * radius), clean)
            point = project(point + size * steepest(momentum, norm), clean, radius, norm)
        found.offer(image, worst, radius, fools)
        rungs.append(worst)
        before = distance(worst, clean, norm)
    return torch.stack(rungs)
