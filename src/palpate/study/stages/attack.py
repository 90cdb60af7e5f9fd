"""The attack stage: test images pressed at every epsilon, judged again from what is stored, and samples kept for looking at."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from palpate.attacks.api import sweep
from palpate.attacks.foolbox_pgd import foolbox_pgd
from palpate.attacks.quantize import to_levels
from palpate.attacks.result import Sweep
from palpate.core import rows
from palpate.core.progress import progress_bar
from palpate.core.records import StageOutput
from palpate.data.dataset import Split
from palpate.models.build import Classifier
from palpate.models.predict import Progress, predict_logits
from palpate.study.plan import attack_id
from palpate.study.spec import AttackSpec
from palpate.study.stages.context import Context
from palpate.study.stages.table import Condition, clean, make_rows

BALL_TOLERANCE = 2.0**-23
"""One unit in the last place of a float32 at 1: x + delta is rounded, so the norm read back may exceed epsilon by so much."""

EXAMINED = 64
"""Images whose sweep is kept for the trust stage: as many as its checks look at."""


@dataclasses.dataclass(frozen=True)
class _Job:
    """What an attack is given: the first n test images of the shuffled split."""

    model: Classifier
    images: Tensor  # (n, 3, H, W)
    labels: Tensor  # (n,)
    epsilons: list[float]
    attack: AttackSpec
    samples: int
    tabulate: Callable[[slice, Condition], pl.DataFrame]
    progress: Progress


def make(stage: StageOutput, context: Context, folder: Path, facts: dict[str, Any]) -> None:
    """Attack test images and write a row per image and epsilon."""
    attack = AttackSpec.model_validate(stage.spec["attack"])
    split = context.dataset(stage.task).test
    chosen = np.arange(len(split))[: attack.images]  # the split is shuffled already
    labels = torch.as_tensor(np.asarray(split.labels)[chosen], dtype=torch.long)
    model, keys = context.trained(stage), context.keys(stage, "test")

    def tabulate(place: slice, condition: Condition) -> pl.DataFrame:
        return make_rows(keys, split, chosen[place], condition)

    images = split.images[chosen]
    with progress_bar(context.console, stage.title) as progress:
        job = _Job(model, images, labels, stage.spec["epsilons"], attack, stage.spec["samples"], tabulate, progress)
        if attack.method == "sweep":
            attacked, samples, found = _by_sweep(job)
            found.first(EXAMINED).save(folder / "sweep.npz")
        else:
            attacked, samples = _by_foolbox(job)
    unattacked = tabulate(slice(None), clean(predict_logits(model, images)))
    table = rows.concat([unattacked, *attacked])
    rows.write(table, folder / "images.parquet")
    _write_samples(folder / "samples.npz", split, chosen[: samples.shape[1]], samples, job.epsilons)
    facts |= _facts(table)


def _by_foolbox(job: _Job) -> tuple[list[pl.DataFrame], Tensor]:
    """The paper's attack. The samples are its own images at each epsilon."""
    tables: list[pl.DataFrame] = []
    kept: list[Tensor] = []
    attack, count = job.attack, len(job.epsilons)
    wrong = predict_logits(job.model, job.images).argmax(1) != job.labels
    batches = foolbox_pgd(
        job.model,
        job.images,
        job.labels,
        job.epsilons,
        attack.steps,
        attack.batch_size or 64,
        attack.seed,
        job.progress,
    )
    for place, adversarial in batches:  # (E, n, C, H, W)
        kept.append(adversarial[:, : max(0, job.samples - place.start)])
        judged = [
            judge(job.model, images, job.images[place], job.labels[place], epsilon)
            for images, epsilon in zip(adversarial, job.epsilons, strict=True)
        ]
        fooled = torch.stack([found["logits"].argmax(1) != job.labels[place] for found in judged])
        radius = first_radius(fooled, wrong[place], job.epsilons)
        for index, found in enumerate(judged):
            condition = Condition(
                attack_id(attack),
                "foolbox",
                job.epsilons[index],
                index + 1,
                radius=radius,
                passes_forward=count * (attack.steps + 1),
                passes_backward=count * attack.steps,
                **found,
            )
            tables.append(job.tabulate(place, condition))
    return tables, torch.cat(kept, dim=1)


def _by_sweep(job: _Job) -> tuple[list[pl.DataFrame], Tensor, Sweep]:
    """One radius per image gives every epsilon. The samples are made at each epsilon, since a carried image is one picture for all."""
    attack = job.attack
    found = sweep(
        job.model,
        job.images,
        job.labels,
        job.epsilons,
        strength=attack.strength,
        seed=attack.seed,
        batch_size=attack.batch_size,
        progress=job.progress,
        levels=attack.levels,
    )
    failed = np.array([status != "ok" for status in found.status])
    tables: list[pl.DataFrame] = []
    smaller = 0.0
    for index, epsilon in enumerate(job.epsilons):
        judged = judge(job.model, found.images_at(epsilon), job.images, job.labels, epsilon)
        judged["failed"] |= failed
        condition = Condition(
            attack_id(attack),
            "sweep",
            epsilon,
            index + 1,
            carried=(found.radius <= smaller).numpy(),
            radius=found.radius.nan_to_num(nan=0.0).numpy(),
            passes_forward=found.passes[:, 0].numpy(),
            passes_backward=found.passes[:, 1].numpy(),
            **judged,
        )
        tables.append(job.tabulate(slice(None), condition))
        smaller = epsilon
    samples = sweep(
        job.model,
        job.images[: job.samples],
        job.labels[: job.samples],
        job.epsilons,
        objective="loss",
        seed=attack.seed,
        progress=job.progress,
    )
    pictures = [samples.images_at(epsilon) for epsilon in job.epsilons]
    if attack.levels:
        shown = job.images[: job.samples]
        pictures = [to_levels(picture, shown, epsilon) for picture, epsilon in zip(pictures, job.epsilons, strict=True)]
    return tables, torch.stack(pictures), found


def judge(model: Classifier, adversarial: Tensor, images: Tensor, labels: Tensor, epsilon: float) -> dict[str, Any]:
    """Look at stored adversarial images (n, C, H, W) afresh: logits, norm reached, ball, box, and rounding to a file's 8 bits.

    Ball and box are checked in float64.
    """
    logits = predict_logits(model, adversarial)
    linf = (adversarial.double() - images.double()).abs().flatten(1).amax(1)
    lowest, highest = adversarial.flatten(1).amin(1), adversarial.flatten(1).amax(1)
    fooled = logits.argmax(1) != labels
    survives: list[bool | None] = [None] * len(labels)
    if fooled.any():
        rounded = (adversarial[fooled] * 255).round() / 255
        still = predict_logits(model, rounded).argmax(1) != labels[fooled]
        for place, answer in zip(fooled.nonzero()[:, 0].tolist(), still.tolist(), strict=True):
            survives[place] = answer
    return {
        "logits": logits,
        "linf": linf.numpy(),
        "in_ball": (linf <= epsilon + BALL_TOLERANCE).numpy(),
        "in_box": ((lowest >= 0) & (highest <= 1)).numpy(),
        "survives_8bit": survives,
        "failed": (~logits.isfinite().all(1)).numpy(),
    }


def first_radius(fooled: Tensor, wrong: Tensor, epsilons: list[float]) -> np.ndarray:
    """The smallest epsilon at which each image was fooled (n,): 0 where already wrong, inf where never.

    Args:
        fooled: (E, n), each epsilon tried by itself.
        wrong: (n,), the clean image is already misclassified.
    """
    radii = torch.where(fooled, torch.tensor(epsilons, dtype=torch.float64)[:, None], torch.inf).amin(0)
    return torch.where(wrong, 0.0, radii).numpy()


def _write_samples(path: Path, split: Split, chosen: np.ndarray, adversarial: Tensor, epsilons: list[float]) -> None:
    arrays: dict[str, np.ndarray] = {
        "clean": split.images[chosen].numpy(),
        "adversarial": adversarial.numpy(),
        "epsilons": np.asarray(epsilons),
        "image_ids": np.asarray(split.ids)[chosen].astype(str),
        "labels": np.asarray(split.labels)[chosen],
    }
    if split.masks is not None:
        arrays["masks"] = split.masks[chosen]
    np.savez(path, allow_pickle=False, **arrays)


def _facts(table: pl.DataFrame) -> dict[str, Any]:
    attacked = table.filter(pl.col("epsilon_index") > 0)
    return {
        "images": attacked["image_id"].n_unique(),
        "passes_forward_per_image": attacked["passes_forward"].mean(),
        "passes_backward_per_image": attacked["passes_backward"].mean(),
        "outside_ball": int((~attacked["in_ball"]).sum()),
        "outside_box": int((~attacked["in_box"]).sum()),
        "failed": int((attacked["status"] == "failed").sum()),
    }
