"""The attack stage: test images attacked at every epsilon, judged again from what is stored, and samples kept for looking at.

Images are read, attacked, judged and written block by block, so that no more than a block of them is ever in memory.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from palpate.attacks.api import sweep, sweep_blocks
from palpate.attacks.max_loss import MaxLoss
from palpate.attacks.norms import Norm, distance
from palpate.attacks.quantize import to_levels
from palpate.attacks.result import Sweep
from palpate.attacks.spec import Attack
from palpate.core import rows
from palpate.core.progress import progress_bar
from palpate.core.records import StageOutput
from palpate.data.dataset import Split
from palpate.models.predict import Progress, predict_logits
from palpate.study.spec import AttackSpec
from palpate.study.stages.context import Chosen, Context
from palpate.study.stages.table import make_rows

BALL_TOLERANCE = 2.0**-23
"""One unit in the last place of a float32 at 1: x + delta is rounded, so a pixel read back may exceed epsilon by so much."""

EXAMINED = 64
"""Images whose sweep is kept for the trust stage: as many as its checks look at."""


def make(stage: StageOutput, context: Context, folder: Path, facts: dict[str, Any]) -> None:
    """Attack the first test images of the shuffled split and write a row per image and epsilon."""
    spec = AttackSpec.read(stage.spec["attack"], stage.title)
    attack, epsilons, samples = spec.attack, tuple(stage.spec["epsilons"]), stage.spec["samples"]
    (split, places, goal), levels = (
        attacked_images(context, stage.task, spec),
        context.dataset(stage.task).levels or 256,
    )
    images = Chosen(split.images, places)
    labels = torch.as_tensor(np.asarray(split.labels)[places], dtype=torch.long)
    model, keys = context.trained(stage), context.keys(stage, "test")
    examined: list[Sweep] = []
    pictures: list[Tensor] = []
    with progress_bar(context.console, stage.title) as progress, rows.writer(folder / "images.parquet") as write:
        for place, found in sweep_blocks(model, images, labels, epsilons, attack, targets=goal, progress=progress):
            write(make_rows(keys, split, places[place], predict_logits(model, found.images[:])))
            for attacked in conditions(model, found, spec, levels):
                write(make_rows(keys, split, places[place], target=goal, **attacked))
            if place.start < EXAMINED:
                examined.append(_joined([found.first(EXAMINED - place.start)]))
            if found.worst is not None and place.start < samples:
                pictures.append(found.worst[:, : samples - place.start].clone())
            del found  # before the next block is made
        shown = images[:samples]
        made = torch.cat(pictures, 1) if pictures else _samples(model, shown, labels, epsilons, attack, goal, progress)
    _joined(examined).save(folder / "sweep.npz")
    logits = torch.stack([predict_logits(model, each) for each in (shown, *made)])
    _write_samples(folder / "samples.npz", split, places[:samples], (shown, made, logits), epsilons)
    facts |= _facts(folder / "images.parquet")


def attacked_images(context: Context, task: str, spec: AttackSpec) -> tuple[Split, NDArray[np.intp], int | None]:
    """The test split, the places of the images that are attacked, the first of the shuffled split, and the class to be reached, if any."""
    data = context.dataset(task)
    goal = spec.goal(data.classes)
    every = np.arange(len(data.test))
    places = every if goal is None else every[np.asarray(data.test.labels) != goal]
    return data.test, places[: spec.images], goal


def conditions(model: nn.Module, found: Sweep, spec: AttackSpec, levels: int = 256) -> Iterator[dict[str, Any]]:
    """What became of a block of images at each epsilon, judged from the images that the attack gives, as columns for `make_rows`."""
    clean, attack, status = found.images[:], spec.attack, np.array(found.status)
    known = found.radius.nan_to_num(nan=0.0, posinf=float("inf")).tolist()
    radius = [None if why == "no gradient" else each for why, each in zip(found.status, known, strict=True)]
    smaller = 0.0
    for index, epsilon in enumerate(found.epsilons, 1):
        judged = judge(model, found.images_at(epsilon), clean, found.labels, epsilon, attack.norm, levels)
        yield judged | {
            "status": status,
            "attack_id": spec.name,
            "attack": attack.kind,
            "norm": attack.norm,
            "epsilon": epsilon,
            "epsilon_index": index,
            "inherited": found.worst is None and (found.radius <= smaller).numpy(),
            "radius": radius,
            "passes_forward": found.passes[:, 0].numpy(),
            "passes_backward": found.passes[:, 1].numpy(),
        }
        smaller = epsilon


def judge(
    model: nn.Module,
    adversarial: Tensor,
    images: Tensor,
    labels: Tensor,
    epsilon: float,
    norm: Norm = "linf",
    levels: int = 256,
) -> dict[str, Any]:
    """Look again at stored adversarial images (n, C, H, W): logits, norm reached, ball, box, and rounding to the levels of a file.

    Ball and box are checked in float64.
    """
    logits = predict_logits(model, adversarial)
    pixels = images[0].numel()
    tolerance = BALL_TOLERANCE * {"linf": 1.0, "l2": pixels**0.5, "l1": pixels}[norm]
    lowest, highest = adversarial.flatten(1).amin(1), adversarial.flatten(1).amax(1)
    fooled = logits.argmax(1) != labels
    survives: list[bool | None] = [None] * len(labels)
    if fooled.any():
        rounded = (adversarial[fooled] * (levels - 1)).round() / (levels - 1)
        still = predict_logits(model, rounded).argmax(1) != labels[fooled]
        for place, answer in zip(fooled.nonzero()[:, 0].tolist(), still.tolist(), strict=True):
            survives[place] = answer
    return {
        "logits": logits,
        "linf": distance(adversarial, images).numpy(),
        "in_ball": (distance(adversarial, images, norm) <= epsilon + tolerance).numpy(),
        "in_box": ((lowest >= 0) & (highest <= 1)).numpy(),
        "survives_rounding": survives,
    }


def _samples(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    epsilons: tuple[float, ...],
    attack: Attack,
    goal: int | None,
    progress: Progress,
) -> Tensor:
    """Images (E, n, C, H, W) made at each epsilon, where the attack itself makes one image for all."""
    worst = MaxLoss(norm=attack.norm)
    found = sweep(model, images, labels[: len(images)], epsilons, worst, targets=goal, progress=progress)
    pictures = [found.images_at(epsilon) for epsilon in epsilons]
    if levels := getattr(attack, "levels", None):
        pictures = [to_levels(picture, images, each, levels) for picture, each in zip(pictures, epsilons, strict=True)]
    return torch.stack(pictures)


def _joined(parts: list[Sweep]) -> Sweep:
    """A copy of consecutive blocks as one result, which keeps one image each and no part of the blocks' memory."""
    kept = [part.adversarials for part in parts if part.adversarials is not None]
    aims = [part.targets for part in parts if part.targets is not None]
    return dataclasses.replace(
        parts[0],
        radius=torch.cat([part.radius for part in parts]),
        labels=torch.cat([part.labels for part in parts]),
        passes=torch.cat([part.passes for part in parts]),
        status=tuple(status for part in parts for status in part.status),
        images=torch.cat([part.images[:] for part in parts]),
        adversarials=torch.cat(kept) if kept else None,
        worst=None,
        targets=torch.cat(aims) if aims else None,
        fooled=None,
    )


def _write_samples(
    path: Path,
    split: Split,
    chosen: NDArray[np.intp],
    images: tuple[Tensor, Tensor, Tensor],
    epsilons: tuple[float, ...],
) -> None:
    """Write clean images (n, C, H, W), those at each epsilon (E, n, C, H, W) and the logits of both (E + 1, n, K)."""
    clean, adversarial, logits = images
    arrays: dict[str, np.ndarray] = {
        "clean": clean.numpy(),
        "adversarial": adversarial.numpy(),
        "logits": logits.numpy(),
        "epsilons": np.asarray(epsilons),
        "image_ids": np.asarray(split.ids)[chosen].astype(str),
        "labels": np.asarray(split.labels)[chosen],
    }
    if split.masks is not None:
        arrays["masks"] = split.masks[chosen]
    np.savez(path, allow_pickle=False, **arrays)


def _facts(path: Path) -> dict[str, Any]:
    """What all rows together say of the attack."""
    attacked = pl.scan_parquet(path).filter(pl.col("epsilon_index") > 0)
    found = attacked.select(
        pl.col("image_id").n_unique().alias("images"),
        pl.col("passes_forward").mean().alias("passes_forward_per_image"),
        pl.col("passes_backward").mean().alias("passes_backward_per_image"),
        (~pl.col("in_ball")).sum().alias("outside_ball"),
        (~pl.col("in_box")).sum().alias("outside_box"),
        (pl.col("status") == "failed").sum().alias("failed"),
        (pl.col("status") == "no gradient").sum().alias("no_gradient"),
    )
    return found.collect().row(0, named=True)
