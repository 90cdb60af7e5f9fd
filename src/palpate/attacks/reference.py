"""Method "foolbox": the paper's attack, restarted at every epsilon, in the form of a sweep's result, to be compared with one."""

from typing import Any

import torch
from torch import Tensor, nn

from palpate.attacks.norms import distance
from palpate.attacks.result import Sweep
from palpate.models.predict import Images, Progress, predict_logits


def by_foolbox(
    model: nn.Module,
    images: Images,
    label: Tensor,
    grid: tuple[float, ...],
    steps: int,
    batch: int,
    how: dict[str, Any],
    keep: str,
    progress: Progress | None,
) -> Sweep:
    """Foolbox's LinfPGD at each epsilon; an image's radius is the smallest norm at which it was fooled.

    With objective "loss" its image at each epsilon is kept as it came, fooled or not. The arguments are those of
    `palpate.sweep`, already checked.
    """
    from palpate.attacks.foolbox_pgd import foolbox_pgd

    count = len(images)
    clean = predict_logits(model, images, batch)
    radius = torch.where(clean.argmax(1) == label, float("inf"), 0.0).double()
    failed = ~clean.isfinite().all(1)
    kept, rungs = [], []
    for place, adversarial in foolbox_pgd(model, images, label, grid, steps, batch, how["seed"], progress):
        original = images[place].cpu()
        best = original.clone()
        for rung in adversarial:  # (n, C, H, W)
            logits = predict_logits(model, rung, batch)
            failed[place] |= ~logits.isfinite().all(1)
            reached = distance(rung, original)
            better = (logits.argmax(1) != label[place]) & (reached < radius[place])
            radius[place] = torch.where(better, reached, radius[place])
            best[better] = rung[better]
        kept.append(best)
        rungs.append(adversarial)
    loss = how["objective"] == "loss" and keep == "all"
    return Sweep(
        radius=torch.where(failed, float("nan"), radius),
        labels=label,
        epsilons=grid,
        passes=torch.tensor([len(grid) * (steps + 1), len(grid) * steps]).repeat(count, 1),
        status=tuple("failed" if bad else "ok" for bad in failed.tolist()),
        images=images,
        adversarials=torch.cat(kept) if keep == "all" else None,
        ladder=torch.cat(rungs, 1) if loss else None,
        norm="linf",
        how={**how, "steps": steps},
    )
