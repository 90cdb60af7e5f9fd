"""`palpate.sweep`: any attack on any model, checked before the first pass, in blocks that fit the memory."""

import copy
import dataclasses
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from palpate.attacks.problem import Problem
from palpate.attacks.result import Sweep
from palpate.attacks.spec import Attack, make_attack
from palpate.attacks.validation import (
    check_batch,
    check_count,
    check_gradient,
    check_images,
    check_model,
    check_module,
    class_names,
    true_labels,
    true_targets,
)
from palpate.core.epsilon import scale_of
from palpate.core.errors import InputError
from palpate.models.memory import free_memory, out_of_memory
from palpate.models.predict import Images, Progress, as_tensor, device_of, evaluating, in_training_mode


def sweep(
    model: nn.Module,
    images: Images,
    labels: Any,
    epsilons: Sequence[float | str],
    attack: str | Mapping[str, Any] | Attack = "standard",
    *,
    finding: int | None = None,
    targets: Any = None,
    training: tuple[Images, Any] | None = None,
    keep: Literal["all", "radius"] = "all",
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> Sweep:
    """Attack images and tell, for each, the smallest perturbation found to change its class: robust accuracy at every epsilon at once.

    Args:
        model: images (N, C, H, W) in [0, 1] to logits (N, K), or one sigmoid logit (N,) or (N, 1); its mode and its parameters' flags are restored.
        images: float images (N, C, H, W) in [0, 1]: a tensor, an array, or a sequence whose slices are such.
        labels: true classes (N,), as numbers, or as names where the model knows its classes; of a multi-label task (N, F) with `finding`.
        epsilons: radii in [0, 1] or like "2/255"; in norms other than l∞ any finite number. Of the images of a `palpate.Dataset` also in
            their unit, such as "8 HU".
        attack: a registered name ("fast", "standard", "ensemble", "max-loss", "foolbox-pgd", …), a mapping {"attack": name, **settings}, or a
            specification such as `MinimumNorm(norm="l2")`.
        finding: column of a multi-label (sigmoid) head to attack: label 1 where its logit is above 0.
        targets: the class that the perturbation must lead to, one for all images or one for each (N,), as `labels` are written; any other class when
            absent. Images of a class that is the target of all are not attacked: their status is "not run".
        training: images and labels that an attack of one perturbation for all images ("universal", "patch") learns from; the attacked ones when
            absent.
        keep: "all", or "radius" to drop the adversarial images.
        batch_size: images per pass. When absent 256, and on the CPU from 128 of up to 64 × 64 pixels down to 8 of large ones. It halves when
            a device's memory runs out.
        progress: told images done, images in all, and what is being done.

    Returns:
        The attack's result. Interrupted by Ctrl-C, it holds what was finished, and says so.

    Raises:
        InputError: an argument or a setting that cannot be used; the message says what to do.

    >>> from torch import nn
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval()  # logits ±(Σ x − 1): the margin falls by 8 per unit of radius
    >>> _ = net[1].weight.data.copy_(torch.tensor([[1.0, 1, 1, 1], [-1, -1, -1, -1]]))
    >>> _ = net[1].bias.data.copy_(torch.tensor([-1.0, 1]))
    >>> x = torch.full((1, 1, 2, 2), 0.5)
    >>> result = sweep(net, x, [0], [0.5])
    >>> round(result.radius.item(), 3), result.robust_accuracy(0.2), result.robust_accuracy(0.3)
    (0.25, 1.0, 0.0)
    """
    chosen = make_attack(attack)
    problem = _problem(model, images, labels, epsilons, chosen, finding, targets, batch_size)
    learned = _training(training, chosen, model, finding)
    problem = dataclasses.replace(problem, keep=_keep(keep), progress=progress, training=learned)
    count = len(problem.labels)
    radius, passes = torch.full((count,), float("nan"), dtype=torch.float64), torch.zeros(count, 2, dtype=torch.long)
    status, kept, done, how = ["not run"] * count, dict[str, Tensor](), 0, chosen.how
    counted: dict[str, list[Tensor]] = {"fooled": [], "flips": [], "crossings": []}
    try:
        for place, part in _attacked(model, chosen, problem):
            radius[place], passes[place], status[place] = part.radius, part.passes, part.status
            for name in ("adversarials", "worst"):  # (…, n, C, H, W)
                made = getattr(part, name)
                if made is not None:
                    if name not in kept:
                        kept[name] = torch.empty(*made.shape[:-4], count, *made.shape[-3:], dtype=made.dtype)
                    kept[name][..., place, :, :, :] = made
            for name, parts in counted.items():
                parts += [] if getattr(part, name) is None else [getattr(part, name)]
            done = place.stop
            del part
    except KeyboardInterrupt:
        warnings.warn("the sweep was interrupted: what was finished is returned, the rest is 'not run'", stacklevel=2)
        how = {**how, "interrupted": "yes"}
        if keep == "all":
            rest = as_tensor(images[done:count])
            kept.setdefault("adversarials", torch.empty(count, *rest.shape[1:], dtype=rest.dtype))
            for tensor in kept.values():
                tensor[..., done:, :, :, :] = rest
    return Sweep(
        radius,
        problem.labels,
        problem.epsilons,
        passes,
        tuple(status),
        images,
        kept.get("adversarials"),
        kept.get("worst"),
        chosen.norm,
        how,
        problem.classes,
        problem.targets,
        **{name: F.pad(torch.cat(parts, -1), (0, count - done)) for name, parts in counted.items() if parts},
    )


def sweep_blocks(
    model: nn.Module,
    images: Images,
    labels: Any,
    epsilons: Sequence[float | str],
    attack: str | Mapping[str, Any] | Attack = "standard",
    *,
    finding: int | None = None,
    targets: Any = None,
    training: tuple[Images, Any] | None = None,
    keep: Literal["all", "radius"] = "all",
    batch_size: int | None = None,
    progress: Progress | None = None,
    block: int | None = None,
    start: int = 0,
    carry: dict[str, Any] | None = None,
) -> Iterator[tuple[slice, Sweep]]:
    """The same as `sweep` in blocks of consecutive images, so that at no time more than a block of them is in memory.

    The model is in evaluation mode and frozen while a block is attacked, and as it was before whenever a block is given. Ctrl-C goes on to the
    caller; where the attack can tell what it has finished, its last block comes first, with the rest "not run".

    Args:
        model, images, labels, epsilons, attack, finding, targets, keep, batch_size, progress: as for `sweep`. Images are read once, in order.
        block: images per block, at most; a few batches when absent. From 16 on results do not depend on it beyond the rounding of the model's
            logits. It halves when memory runs out.
        start: the first image to attack, where an earlier call ended after a whole block.
        carry: a dict, empty at first, in which the attack keeps what later blocks must know of earlier ones. Handed over again with `start`, the
            rest is what it would have been without the break.

    Yields:
        The place of each block, and its result, whose `images` are the block's.

    Raises:
        InputError: as for `sweep`, at once and not at the first block; only a bad image is found when its block is reached.
    """
    chosen = make_attack(attack)
    if block is not None and block < 1:
        raise InputError(f"block must be at least 1, given {block}")
    problem = _problem(model, images, labels, epsilons, chosen, finding, targets, batch_size)
    learned = _training(training, chosen, model, finding)
    problem = dataclasses.replace(
        problem, keep=_keep(keep), block=block, progress=progress, start=start, training=learned
    )
    return _attacked(model, chosen, problem if carry is None else dataclasses.replace(problem, carry=carry))


def _keep(keep: str) -> str:
    if keep not in ("all", "radius"):
        raise InputError(f"keep must be one of 'all', 'radius', given {keep!r}")
    return keep


def _training(given: Any, attack: Attack, model: nn.Module, finding: int | None) -> tuple[Images, Tensor] | None:
    """The images and labels to learn from, checked."""
    if given is None:
        return None
    if not attack.learns:
        raise InputError(
            f"training: attack {attack.kind!r} learns from no images; leave it out, or use 'universal' or 'patch'"
        )
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise InputError(f"training must be a pair of images and labels, given {type(given).__name__}")
    images, labels = given
    return images, true_labels(labels, check_count(images), finding, class_names(model))


def _problem(
    model: nn.Module,
    images: Images,
    labels: Any,
    epsilons: Any,
    attack: Attack,
    finding: int | None,
    targets: Any,
    batch_size: int | None,
) -> Problem:
    """Everything checked, in an order in which what costs nothing comes first."""
    check_module(model)
    if batch_size is not None and (not isinstance(batch_size, int) or batch_size < 1):
        raise InputError(f"batch_size must be a whole number of at least 1, given {batch_size!r}")
    if finding is not None and not isinstance(finding, int):
        raise InputError(f"finding must be the number of a column, given {finding!r}")
    if targets is not None and not attack.takes_targets:
        raise InputError(f"targets: attack {attack.kind!r} takes none; use one such as 'standard'")
    grid, draws = attack.grid(epsilons, scale_of(images)), getattr(attack, "draws", 1)
    label = true_labels(labels, check_count(images), finding, class_names(model))
    if in_training_mode(model):
        warnings.warn("model is in training mode: it is evaluated in evaluation mode, and left as it was", stacklevel=3)
    with torch.inference_mode(False), evaluating(model):
        example = check_images(as_tensor(images[0 : min(batch_size or 2, 2)])).to(device_of(model))
        subject, classes = check_model(model, example, label, finding, draws)
        if attack.uses_gradients:
            check_gradient(subject, example)
        if batch_size != 1 and draws == 1:
            check_batch(subject, example, batch_size)
    aims = true_targets(targets, label, classes, class_names(model))
    return Problem(subject, images, label, grid, example, classes, aims, batch_size=batch_size)


def _attacked(model: nn.Module, attack: Attack, problem: Problem) -> Iterator[tuple[slice, Sweep]]:
    """The blocks of an attack; where memory runs out, the block is made again in halves."""
    start, parts = problem.start, attack.run(problem)
    while True:
        before, part = {name: copy.copy(value) for name, value in problem.carry.items()}, None
        try:
            with torch.inference_mode(False), evaluating(model):
                part = next(parts, None)
            if part is None:
                return
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error) or not problem.sizes or problem.sizes[-1] == 1:
                raise
        if part is None:
            free_memory()  # after the error, whose traceback holds what was computed
            problem.carry.clear()
            problem.carry.update(before)
            half = min(problem.sizes[-1], len(problem.images) - start) // 2
            problem = dataclasses.replace(problem, start=start, block=max(1, half), sizes=[])
            parts = attack.run(problem)
            continue
        place = slice(start, start + len(part))
        yield place, part
        del part  # else two blocks are in memory while the next is attacked
        start = place.stop
