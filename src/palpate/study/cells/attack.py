"""The attack cell: test images pressed at every epsilon, judged again from what is stored, and the samples kept for looking at."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from palpate import rows
from palpate.attacks.foolbox import foolbox_pgd
from palpate.config import AttackSpec
from palpate.data.dataset import Split
from palpate.models.classifier import Classifier
from palpate.prediction import predict_logits
from palpate.runs import Cell
from palpate.study.cells.context import Context
from palpate.study.cells.table import Condition, clean, make_rows
from palpate.study.plan import attack_id
from palpate.study.progress import progress_bar

BALL_TOLERANCE = 2.0**-23
"""One unit in the last place of a float32 at 1: x + delta is rounded, so the norm read back may exceed epsilon by so much."""


def make(cell: Cell, context: Context, folder: Path, facts: dict[str, Any]) -> None:
    """Attack the first test images of the shuffled split and write a row per image and epsilon."""
    attack = AttackSpec.model_validate(cell.spec["attack"])
    epsilons: list[float] = cell.spec["epsilons"]
    split = context.dataset(cell.task).test
    chosen = np.arange(len(split))[: attack.images]  # the split is shuffled already
    images = split.images[chosen]
    labels = torch.as_tensor(np.asarray(split.labels)[chosen], dtype=torch.long)
    model = context.trained(cell)
    keys = context.keys(cell, "test")
    unattacked = make_rows(keys, split, chosen, clean(predict_logits(model, images)))
    attacked: list[pl.DataFrame] = []
    samples: list[Tensor] = []
    with progress_bar(context.console, cell.title) as progress:
        for place, adversarial in foolbox_pgd(
            model, images, labels, epsilons, attack.steps, attack.batch_size, attack.seed, progress
        ):  # (E, n, C, H, W)
            samples.append(adversarial[:, : max(0, cell.spec["samples"] - place.start)])
            for index, epsilon in enumerate(epsilons):
                condition = Condition(
                    attack_id(attack),
                    attack.method,
                    epsilon,
                    index + 1,
                    passes_forward=len(epsilons) * (attack.steps + 1),
                    passes_backward=len(epsilons) * attack.steps,
                    **judge(model, adversarial[index], images[place], labels[place], epsilon),
                )
                attacked.append(make_rows(keys, split, chosen[place], condition))
    table = with_radius(rows.concat([unattacked, *attacked]))
    rows.write(table, folder / "images.parquet")
    sampled = torch.cat(samples, dim=1)
    _write_samples(folder / "samples.npz", split, chosen[: sampled.shape[1]], sampled, epsilons)
    facts |= _facts(table)


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


def with_radius(table: pl.DataFrame) -> pl.DataFrame:
    """Fill the attacked rows' radius: the smallest epsilon at which the image was fooled, 0 where already wrong, inf where never.

    For attacks that try each epsilon by itself; the table holds the clean rows too.
    """
    fooled = pl.col("epsilon").filter(~pl.col("correct")).min().over("image_id", "finding").fill_null(float("inf"))
    return table.with_columns(radius=pl.when(pl.col("epsilon_index") > 0).then(fooled))


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
