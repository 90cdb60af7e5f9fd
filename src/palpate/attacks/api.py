"""The sweep: one descent per image finds the smallest radius that fools it, for the price of a single attack.

Today's tools attack every image from scratch at every epsilon. Here every image carries its own radius (`race`), so the whole curve comes for
the price of a point; what is found is predicted again by the model itself before it is believed.
"""

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from palpate.attacks.access import Model, Oracle
from palpate.attacks.best import Found
from palpate.attacks.ensemble import Stages, ensemble
from palpate.attacks.fuse import fold
from palpate.attacks.max_loss import climb
from palpate.attacks.minimum_norm import Effort, Rows, enter, run
from palpate.attacks.norms import Norm, distance, project
from palpate.attacks.quantize import on_grid, onto_levels, through_png
from palpate.attacks.reference import by_foolbox
from palpate.attacks.result import Sweep
from palpate.attacks.validation import check_images, check_model, choice, epsilon_grid, true_labels
from palpate.core.errors import InputError
from palpate.models.predict import Images, Progress, device_of, evaluating

EFFORTS = {
    "fast": Effort(steps=6, classes=3, rows=2, cuts=((1, 1),), searches=2),
    "standard": Effort(),
    "ensemble": Effort(steps=25, classes=9, rows=9, reach=3.0, cuts=((3, 4), (7, 2))),
}
STAGES = Stages()
RUNG_STEPS = {"fast": 5, "standard": 10, "ensemble": 30}  # of objective "loss", per epsilon
OUTWARDS = (1e-4, 1e-3, 1e-2)  # by what share of its length a perturbation grows where its last digits decide
PIXELS = 128 * 64 * 64  # per pass on the CPU, where larger batches are slower and memory that runs out ends the process
BATCHES_PER_CHUNK = 8  # a chunk of images is on the device at once


@dataclasses.dataclass(frozen=True)
class _Plan:
    """What stays the same for all chunks."""

    ask: Model  # fast
    believe: Model  # the model itself, in full precision
    exact: Model | None  # the same where `ask` is not in full precision
    grid: tuple[float, ...]
    strength: str
    objective: str
    seed: int
    norm: Norm
    draws: int
    scale: float  # of the logits
    levels: int | None


def sweep(
    model: nn.Module,
    images: Images,
    labels: Any,
    epsilons: Sequence[float | str],
    strength: str = "standard",
    method: str = "sweep",
    objective: str = "radius",
    seed: int = 0,
    keep: str = "all",
    progress: Progress | None = None,
    batch_size: int | None = None,
    norm: Norm = "linf",
    finding: int | None = None,
    draws: int = 1,
    precision: str = "auto",
    steps: int = 40,
    levels: int | None = None,
) -> Sweep:
    """Find the smallest perturbation that fools each image, hence robust accuracy at every epsilon at once.

    Args:
        model: images (N, C, H, W) in [0, 1] to logits (N, K), or one sigmoid logit (N,) or (N, 1); its mode and its parameters' flags are restored.
        images: float images in [0, 1]: a tensor or a sequence whose slices are such tensors.
        labels: true classes (N,); of a multi-label task (N, F) with `finding`.
        epsilons: radii in [0, 1] or like "2/255". The cost does not depend on how many; only the largest bounds the search.
        strength: "fast" (6 steps), "standard" (12 steps, more classes) or "ensemble" (restarts, targets, APGD and Square on top).
        method: "sweep", or "foolbox" for the paper's LinfPGD, restarted at each epsilon with `steps` steps.
        objective: "radius", the smallest perturbation; or "loss", at every epsilon the image of largest cross-entropy, without early exit,
            for AUROC, confidence and saliency under attack.
        seed: of all random starts, which depend on seed and image alone.
        keep: "all", or "radius" to drop the adversarial images.
        progress: told images done, images in all, and what is being done.
        batch_size: images per pass. When absent 256, and on the CPU from 128 of up to 64 × 64 pixels down to 8 of large ones; 64 for "foolbox",
            whose draws depend on it. It halves when a device's memory runs out.
        norm: "linf" or "l2".
        finding: column of a multi-label (sigmoid) head to attack: label 1 where its logit is above 0.
        draws: answers averaged per pass, for models that are not deterministic.
        precision: "float32", "bfloat16" for gradients (every success is checked again in float32), or "auto": float32.
        steps: of method "foolbox".
        levels: 256 holds the attack to images that an 8-bit file can hold, so that radii are whole grey levels; they are judged as read back from a
            PNG. For objective "radius" in l∞, on images that come from such files.

    Returns:
        The sweep's result. Interrupted by Ctrl-C, it holds what was finished, and says so.

    Raises:
        InputError: an argument that cannot be used; the message says what to do.

    >>> from torch import nn
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval()  # logits ±(Σ x − 1): the margin falls by 8 per unit of radius
    >>> _ = net[1].weight.data.copy_(torch.tensor([[1.0, 1, 1, 1], [-1, -1, -1, -1]]))
    >>> _ = net[1].bias.data.copy_(torch.tensor([-1.0, 1]))
    >>> x = torch.full((1, 1, 2, 2), 0.5)
    >>> result = sweep(net, x, [0], [0.5])
    >>> round(result.radius.item(), 3), result.robust_accuracy(0.2), result.robust_accuracy(0.3)
    (0.25, 1.0, 0.0)
    """
    choice("strength", strength, list(EFFORTS))
    choice("method", method, ("sweep", "foolbox"))
    choice("objective", objective, ("radius", "loss"))
    choice("keep", keep, ("all", "radius"))
    choice("norm", norm, ("linf", "l2"))
    choice("precision", precision, ("auto", "float32", "bfloat16"))
    if levels is not None:
        choice("levels", str(levels), ("256",))
        for name, value, only in (
            ("method", method, "sweep"),
            ("objective", objective, "radius"),
            ("norm", norm, "linf"),
        ):
            if value != only:
                raise InputError(f"levels go with {name}={only!r} only, given {name}={value!r}")
    grid = epsilon_grid(epsilons, norm)
    if len(images) == 0:
        raise InputError("images must hold at least one image, given none")
    label = true_labels(labels, len(images), finding)
    how: dict[str, Any] = {"method": method, "strength": strength, "objective": objective, "seed": seed}
    if levels:
        how["levels"] = levels
    device = device_of(model)
    if any(module.training for module in model.modules()):
        warnings.warn("model is in training mode: it is evaluated in evaluation mode, and left as it was", stacklevel=2)
    with evaluating(model):
        example = check_images(images[0:2]).to(device)
        subject, scale = check_model(model, example, label, finding, draws)
        if method == "foolbox":
            return by_foolbox(subject, images, label, grid, steps, batch_size or 64, how, keep, progress)
        batch = batch_size or _usual_batch(device, example)
        half = precision == "bfloat16"
        ask = _in_bfloat16(fold(subject, example)) if half else fold(subject, example)
        believe = _in_float32(subject) if device.type == "cuda" else subject
        exact = believe if half or device.type == "cuda" else None
        if device.type == "mps":  # which has no float64: radii and images stay on the CPU, and the model is visited
            ask, believe, device = _visit(ask, device), _visit(believe, device), torch.device("cpu")
        plan = _Plan(ask, believe, exact, grid, strength, objective, seed, norm, draws, scale, levels)
        return _all_chunks(plan, images, label, device, batch, how, keep, progress)


def _usual_batch(device: torch.device, example: Tensor) -> int:
    """Images per pass where the caller does not say."""
    return min(max(PIXELS // example[0, 0].numel(), 8), 128) if device.type == "cpu" else 256


def _all_chunks(
    plan: _Plan,
    images: Images,
    label: Tensor,
    device: torch.device,
    batch: int,
    how: dict[str, Any],
    keep: str,
    progress: Progress | None,
) -> Sweep:
    count = len(images)
    shape = tuple(images[0:1].shape[1:])
    radius = torch.full((count,), float("nan"), dtype=torch.float64)
    passes = torch.zeros(count, 2, dtype=torch.long)
    status = ["not run"] * count
    kept = torch.empty(count, *shape, dtype=images[0:1].dtype) if keep == "all" else None
    ladder = None
    if keep == "all" and plan.objective == "loss":
        ladder = torch.empty(len(plan.grid), count, *shape, dtype=images[0:1].dtype)
    stopped = False
    start = 0
    while start < count:
        place = slice(start, min(start + BATCHES_PER_CHUNK * batch, count))
        clean = images[place] if stopped else check_images(images[place], start)
        if kept is not None:
            kept[place] = clean
        if ladder is not None:
            ladder[:, place] = clean
        start = place.stop
        if stopped:
            continue
        if plan.levels:
            on_grid(clean, plan.levels)
        oracle = Oracle(plan.ask, len(clean), batch, plan.draws, plan.exact, plan.scale)
        found = Found(clean.to(device, memory_format=torch.channels_last), progress, place.start, count)
        try:
            rungs = _attack(plan, oracle, found, label[place].to(device))
        except KeyboardInterrupt:
            stopped, rungs = True, None
            # Images at each epsilon, or on the grid of grey levels, are lost with the chunk.
            found.pending |= plan.objective == "loss" or plan.levels is not None
            how = {**how, "interrupted": "yes"}
            warnings.warn(
                "the sweep was interrupted: what was finished is returned, the rest is 'not run'", stacklevel=4
            )
        _audit(plan, oracle, found, label[place].to(device))
        batch = oracle.batch
        done = ~found.pending.cpu()
        radius[place] = torch.where(done, found.radius.cpu(), float("nan"))
        passes[place] = oracle.passes
        words = [
            ("failed" if bad else "ok") if over else "not run" for over, bad in zip(done, found.failed, strict=True)
        ]
        status[place] = words
        if kept is not None:
            kept[place] = torch.where(radius[place].isfinite().view(-1, 1, 1, 1), found.points.cpu(), clean)
        if ladder is not None and rungs is not None:
            ladder[:, place] = rungs.cpu()
    return Sweep(radius, label, plan.grid, passes, tuple(status), images, kept, ladder, plan.norm, how)


def _attack(plan: _Plan, oracle: Oracle, found: Found, label: Tensor) -> Tensor | None:
    """Attack a chunk of images; for objective "loss" give the worst images at each epsilon (E, n, C, H, W)."""
    clean, top = found.clean, plan.grid[-1]
    places = torch.arange(len(clean), device=clean.device)
    if plan.objective == "loss":
        rungs = []
        for part in places.split(oracle.batch):
            rungs.append(
                climb(oracle, clean[part], label[part], part, found, plan.grid, RUNG_STEPS[plan.strength], plan.norm)
            )
            found.pending[part] = False
            found.tell("worst loss")
        return torch.cat(rungs, 1)
    effort = EFFORTS[plan.strength]

    def begin(part: slice) -> Rows:
        return enter(oracle, label[part], places[part], found, top, effort, plan.norm, plan.seed)

    run(oracle, begin, places, found, top, effort, plan.norm, "descent")
    if plan.strength == "ensemble":
        ensemble(oracle, label, found, top, plan.seed, plan.norm, STAGES)
    if plan.levels:
        onto_levels(oracle, label, found, top, plan.levels)
    return None


def _audit(plan: _Plan, oracle: Oracle, found: Found, label: Tensor) -> None:
    """Measure what was found and predict it again with the model itself; an image that does not fool it is a failure, not robust.

    A point on the very boundary may fall back by the rounding of another batch: it is moved outwards a little before it is given up. On
    grey levels it is what a PNG gives back, and cannot be moved.
    """
    oracle.exact = plan.believe
    doubtful = (found.limit.isfinite() & ~found.failed & ~found.pending).nonzero()[:, 0]
    if plan.levels:
        found.points[doubtful] = through_png(found.points[doubtful]).to(found.points)
    for share in (0.0,) if plan.levels else (0.0, *OUTWARDS):
        if not len(doubtful):
            break
        clean, point = found.clean[doubtful], found.points[doubtful]
        if share:
            room = ((1 + share) * found.limit[doubtful]).clamp(max=plan.grid[-1])
            point = project(clean + (1 + share) * (point - clean), clean, room, plan.norm)
        fools = (oracle.logits(point, doubtful).argmax(1) != label[doubtful]) | (oracle.draws > 1)
        found.points[doubtful[fools]] = point[fools]
        doubtful = doubtful[~fools]
    found.fail(doubtful)
    found.radius = torch.where(found.limit.isfinite(), distance(found.points, found.clean, plan.norm), found.limit)
    if plan.levels:  # k / 255 itself, not the difference of two of them rounded to float32
        found.radius = (found.radius * (plan.levels - 1)).round() / (plan.levels - 1)
    found.radius = torch.where(found.failed, float("nan"), found.radius)


def _in_bfloat16(model: nn.Module) -> Model:
    def ask(points: Tensor) -> Tensor:
        with torch.autocast(points.device.type, torch.bfloat16):
            return model(points).float()

    return ask


def _visit(model: Model, device: torch.device) -> Model:
    def ask(points: Tensor) -> Tensor:
        return model(points.to(device)).cpu()

    return ask


def _in_float32(model: nn.Module) -> Model:
    """The model without the 10-bit products (TF32) that CUDA's convolutions take by default."""

    def ask(points: Tensor) -> Tensor:
        backend = torch.backends.cudnn
        with backend.flags(
            enabled=True, benchmark=backend.benchmark, deterministic=backend.deterministic, allow_tf32=False
        ):
            return model(points)

    return ask
