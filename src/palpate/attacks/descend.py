"""The sweep: one descent per image finds the smallest radius that fools it, for the price of a single attack.

Today's tools attack every image from scratch at every epsilon. Here every image carries its own radius: while it is fooled the radius shrinks,
so a success costs few steps because it starts from an adversarial image, and a full failed attempt is paid once, just below the true radius.
"""

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from palpate.attacks.fold import fold
from palpate.attacks.losses import confident_margin, margin
from palpate.attacks.norms import distance, per_image, project, steepest
from palpate.attacks.oracle import Oracle
from palpate.attacks.result import Sweep
from palpate.config import parse_epsilon
from palpate.errors import InputError
from palpate.prediction import Images, Progress, device_of, evaluating


def sweep(
    model: nn.Module,
    images: Images,
    labels: Tensor,
    epsilons: Sequence[float | str],
    strength: str = "standard",
    method: str = "sweep",
    objective: str = "radius",
    seed: int = 0,
    keep: str = "all",
    progress: Progress | None = None,
    batch_size: int = 64,
) -> Sweep:
    """Find the smallest l∞ perturbation that fools each image, hence robust accuracy at every epsilon at once."""
    grid = tuple(sorted({parse_epsilon(epsilon) for epsilon in epsilons} - {0.0}))
    if not grid:
        raise InputError("epsilons must hold at least one value above 0")
    labels = torch.as_tensor(labels).long().cpu()
    steps = {"fast": 8, "standard": 20, "ensemble": 40}[strength]
    radius = torch.full((len(images),), float("inf"), dtype=torch.float64)
    adversarials = images[0 : len(images)].clone()
    status = ["ok"] * len(images)
    with evaluating(model):
        device = device_of(model)
        fast = fold(model, images[0:2].to(device))
        oracle = Oracle(fast, len(images), batch_size, exact=model)
        for start in range(0, len(images), 4 * batch_size):
            place = torch.arange(start, min(start + 4 * batch_size, len(images)))
            _descend(
                oracle, images[place].to(device), labels[place].to(device), place, grid, steps, radius, adversarials
            )
            if progress:
                progress(int(place[-1]) + 1, len(images), "sweep")
    if not radius.isfinite().all() and (radius == float("-inf")).any():
        warnings.warn("some images failed", stacklevel=2)
    return Sweep(
        radius, labels, grid, oracle.passes, tuple(status), images, adversarials if keep == "all" else None, None, "linf",
        {"method": method, "strength": strength, "objective": objective, "seed": seed},
    )  # fmt: skip


def _descend(
    oracle: Oracle,
    x: Tensor,
    y: Tensor,
    place: Tensor,
    grid: tuple[float, ...],
    steps: int,
    radius: Tensor,
    adversarials: Tensor,
) -> None:
    ladder = torch.tensor(grid, dtype=torch.float64)
    level = torch.full((len(x),), len(grid) - 1)
    tries = torch.zeros(len(x), dtype=torch.long)
    points, momentum = x.clone(), torch.zeros_like(x)
    first = True
    active = torch.arange(len(x))
    while len(active):
        xs, ys, now = x[active], y[active], points[active]
        logits, gradient = oracle.gradient(now, ys, place[active], margin)
        _, fooled = confident_margin(logits, ys)
        fooled = fooled.cpu()
        reached = torch.zeros(len(active), dtype=torch.float64) if first else distance(now, xs).cpu()
        hit = active[fooled]
        radius[place[hit]] = reached[fooled]
        adversarials[place[hit]] = now[fooled].cpu()
        level[active] = torch.where(fooled, torch.searchsorted(ladder, reached) - 1, level[active])
        tries[active] = torch.where(fooled, 0, tries[active] + 1)
        alive = (level[active] >= 0) & (tries[active] <= steps) & ~(fooled & first)
        scale = per_image(gradient.flatten(1).abs().mean(1), gradient).clamp(min=1e-30)
        momentum[active] = 0.75 * momentum[active] + gradient / scale
        target = ladder[level[active].clamp(min=0)].to(x.device)
        share = 0.5 * (1 + torch.cos(torch.pi * tries[active].clamp(min=1).sub(1) / steps)) * 0.5 + 0.02
        size = target * (share.to(x.device) if not first else 1.0)
        moved = project(now, xs, target) + per_image(size, xs) * steepest(momentum[active])
        points[active] = project(moved, xs, target)
        active = active[alive]
        first = False
