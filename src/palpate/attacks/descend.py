"""The sweep: one descent per image finds the smallest radius that fools it, for the price of a single attack.

Today's tools attack every image from scratch at every epsilon. Here every image carries its own radius: while it is fooled the radius shrinks,
so a success costs few steps because it starts from an adversarial image, and a full failed attempt is paid once, just below the true radius.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from palpate.attacks.ensemble import Stages, ensemble
from palpate.attacks.fold import fold
from palpate.attacks.found import Found
from palpate.attacks.norms import Norm, distance
from palpate.attacks.oracle import Oracle
from palpate.attacks.race import Effort, enter, no_rows, run
from palpate.attacks.result import Sweep
from palpate.config import parse_epsilon
from palpate.errors import InputError
from palpate.prediction import Images, Progress, device_of, evaluating

STAGES = Stages()
EFFORTS = {
    "fast": Effort(steps=8, classes=3, rows=2, cuts=((2, 1),), searches=3),
    "standard": Effort(),
    "ensemble": Effort(steps=25, rows=9, reach=3.0, cuts=((3, 4), (7, 2))),
}


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
    radius = torch.full((len(images),), float("inf"), dtype=torch.float64)
    passes = torch.zeros(len(images), 2, dtype=torch.long)
    kept: list[Tensor] = []
    status: list[str] = []
    chunk = 8 * batch_size
    with evaluating(model):
        device = device_of(model)
        fast = fold(model, images[0:2].to(device))
        for start in range(0, len(images), chunk):
            place = slice(start, min(start + chunk, len(images)))
            clean = images[place].to(device)
            oracle = Oracle(fast, len(clean), batch_size)
            found = _attack(
                oracle, clean, labels[place].to(device), grid[-1], EFFORTS[strength], "linf", start, seed, strength
            )
            passes[place] = oracle.passes
            radius[place] = torch.where(found.failed, float("nan"), found.limit).cpu()
            status += ["failed" if failed else "ok" for failed in found.failed.tolist()]
            kept.append(found.points.cpu())
            if progress:
                progress(place.stop, len(images), "sweep")
    return Sweep(
        radius, labels, grid, passes, tuple(status), images, torch.cat(kept) if keep == "all" else None, None, "linf",
        {"method": method, "strength": strength, "objective": objective, "seed": seed},
    )  # fmt: skip


def _attack(
    oracle: Oracle,
    clean: Tensor,
    label: Tensor,
    top: float,
    effort: Effort,
    norm: Norm,
    offset: int,
    seed: int,
    strength: str,
) -> Found:
    found = Found(clean)
    places = torch.arange(len(clean), device=clean.device)
    run(
        oracle,
        lambda part: enter(oracle, clean[part], label[part], places[part], found, top, effort, norm),
        len(clean),
        no_rows(clean),
        found,
        top,
        effort,
        norm,
    )
    if strength == "ensemble":
        ensemble(oracle, clean, label, offset, found, top, seed, norm, STAGES)
    reached = distance(found.points, clean, norm)
    found.limit = torch.where(found.limit.isfinite(), torch.minimum(found.limit, reached), found.limit)
    return found
