"""The attack stage: test images attacked at every epsilon, judged again from what is stored, and samples kept for looking at.

Images are read, attacked, judged and written block by block, so that no more than a block of them is ever in memory. Finished blocks are kept, so
that a stage that was stopped goes on from the last of them.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

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
from palpate.core import formatting, rows
from palpate.core.records import StageOutput
from palpate.data.dataset import Split
from palpate.models.predict import Images, predict_logits
from palpate.study.spec import AttackSpec
from palpate.study.stages.context import Chosen, Context
from palpate.study.stages.table import make_rows

BALL_TOLERANCE = 2.0**-23
"""One unit in the last place of a float32 at 1: x + delta is rounded, so a pixel read back may exceed epsilon by so much."""

LARGE = 4096
"""Images from which on an attack is shared by several processes."""

FIRST = 64
"""Images that are attacked before the others are shared, since the first ones show how all are to be attacked."""

EXAMINED = 64
"""Images whose sweep is kept for the trust stage: as many as its checks look at."""


def make(stage: StageOutput, context: Context, folder: Path, facts: dict[str, Any]) -> None:
    """Attack the first test images of the shuffled split and write a row per image and epsilon."""
    subject = _Subject(stage, context)
    subject.attack_blocks(0, len(subject.images))
    blocks = subject.kept.blocks(len(subject.images))
    shown = subject.images[: stage.spec["samples"]]
    pictures = [np.load(file, allow_pickle=False) for block in blocks if (file := block / "pictures.npy").exists()]
    made = torch.from_numpy(np.concatenate(pictures, 1)) if pictures else subject.samples(shown)
    examined = [block / "sweep.npz" for block in blocks if (block / "sweep.npz").exists()]
    _joined([Sweep.load(file, subject.images[:EXAMINED]) for file in examined], subject.images).save(
        folder / "sweep.npz"
    )
    logits = torch.stack([predict_logits(subject.model, each) for each in (shown, *made)])
    chosen = subject.places[: len(shown)]
    _write_samples(folder / "samples.npz", subject.split, chosen, (shown, made, logits), subject.epsilons)
    rows.join([block / "images.parquet" for block in blocks], folder / "images.parquet")
    with formatting.native(context.dataset(stage.task).scale):
        facts |= _facts(folder / "images.parquet", subject.attack, subject.epsilons)


def make_part(stage: StageOutput, context: Context, part: tuple[int, int]) -> None:
    """Attack only the images from the first to before the second number, and keep them; `make` then has the rest to do."""
    _Subject(stage, context).attack_blocks(*part)


def parts(stage: StageOutput, context: Context, workers: int) -> list[list[tuple[int, int]]]:
    """How the images of a large attack are shared by several processes: steps one after the other, each of parts in any order."""
    spec = AttackSpec.read(stage.spec["attack"], stage.title)
    count = len(attacked_images(context, stage.task, spec)[1])
    if workers < 2 or count < LARGE or not spec.attack.splits:
        return []
    size = max(LARGE // 4, -(-(count - FIRST) // workers))
    return [[(0, FIRST)], [(start, min(start + size, count)) for start in range(FIRST, count, size)]]


class _Subject:
    """What is attacked, and how."""

    def __init__(self, stage: StageOutput, context: Context) -> None:
        self.spec = AttackSpec.read(stage.spec["attack"], stage.title)
        self.attack, self.epsilons, self.shown = self.spec.attack, tuple(stage.spec["epsilons"]), stage.spec["samples"]
        self.split, self.places, self.goal = attacked_images(context, stage.task, self.spec)
        self.images, self.levels = Chosen(self.split.images, self.places), context.dataset(stage.task).levels or 256
        self.labels = torch.as_tensor(np.asarray(self.split.labels)[self.places], dtype=torch.long)
        self.model, self.keys = context.trained(stage), context.keys(stage, "test")
        validation = context.dataset(stage.task).val
        self.training = (validation.images, validation.labels) if self.attack.learns and len(validation) else None
        self.kept, self.progress = context.kept(stage), context.progress(stage)

    def attack_blocks(self, first: int, last: int) -> None:
        """Attack the images from `first` to `last` that are in no kept block, and keep them in blocks."""
        before = self.kept.get("block-0") if first else None
        for gap, known in self.kept.gaps(first, last, before[1]["carry"] if before else None):
            carry, start, tables, shown = known or {}, gap.start, [], _Shown([], [])
            images, labels = Chosen(self.split.images, self.places[: gap.stop]), self.labels[: gap.stop]
            for place, found in sweep_blocks(
                self.model,
                images,
                labels,
                self.epsilons,
                self.attack,
                targets=self.goal,
                training=self.training,
                progress=self.progress,
                start=gap.start,
                carry=carry,
            ):
                if "not run" in found.status:  # interrupted
                    continue
                where = self.places[place]
                tables.append(make_rows(self.keys, self.split, where, predict_logits(self.model, found.images[:])))
                for attacked in conditions(self.model, found, self.spec, self.levels):
                    tables.append(make_rows(self.keys, self.split, where, target=self.goal, **attacked))
                if place.start < EXAMINED:
                    shown.sweeps.append(found.first(EXAMINED - place.start))
                if found.worst is not None and place.start < self.shown:
                    shown.pictures.append(found.worst[:, : self.shown - place.start].numpy())
                if self.kept.due() or place.stop == gap.stop:
                    with self.kept.put_block(slice(start, place.stop), carry) as folder:
                        rows.write(pl.concat(tables), folder / "images.parquet")
                        shown.write(folder)
                    start, tables, shown = place.stop, [], _Shown([], [])
                del found  # before the next block is made

    def samples(self, images: Tensor) -> Tensor:
        """Images (E, n, C, H, W) made at each epsilon, where the attack itself makes one image for all."""
        worst, labels = MaxLoss(norm=self.attack.norm), self.labels[: len(images)]
        found = sweep(self.model, images, labels, self.epsilons, worst, targets=self.goal, progress=self.progress)
        pictures = [found.images_at(epsilon) for epsilon in self.epsilons]
        if levels := getattr(self.attack, "levels", None):
            both = zip(pictures, self.epsilons, strict=True)
            pictures = [to_levels(picture, images, each, levels) for picture, each in both]
        return torch.stack(pictures)


@dataclasses.dataclass
class _Shown:
    """Of the first images: the sweep that the trust stage examines, and the pictures (E, n, C, H, W) at each epsilon."""

    sweeps: list[Sweep]
    pictures: list[np.ndarray]

    def write(self, folder: Path) -> None:
        if self.sweeps:
            _joined(self.sweeps, torch.cat([sweep.images[:] for sweep in self.sweeps])).save(folder / "sweep.npz")
        if self.pictures:
            np.save(folder / "pictures.npy", np.concatenate(self.pictures, 1), allow_pickle=False)


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
    norm: Norm | Literal["px"] = "linf",
    levels: int = 256,
) -> dict[str, Any]:
    """Look again at stored adversarial images (n, C, H, W): logits, norm reached, ball, box, and rounding to the levels of a file.

    Ball and box are checked in float64.
    """
    logits = predict_logits(model, adversarial)
    pixels = images[0].numel()
    tolerance = BALL_TOLERANCE * {"linf": 1.0, "l2": pixels**0.5, "l1": pixels, "px": 0.0}[norm]
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


def _joined(parts: list[Sweep], images: Images) -> Sweep:
    """Consecutive blocks from the first image on as one result, without the images at each epsilon."""
    kept = [part.adversarials for part in parts if part.adversarials is not None]
    aims = [part.targets for part in parts if part.targets is not None]
    fooled = [part.fooled for part in parts if part.fooled is not None]
    return dataclasses.replace(
        parts[0],
        radius=torch.cat([part.radius for part in parts]),
        labels=torch.cat([part.labels for part in parts]),
        passes=torch.cat([part.passes for part in parts]),
        status=tuple(status for part in parts for status in part.status),
        images=images,
        adversarials=torch.cat(kept) if kept else None,
        worst=None,
        targets=torch.cat(aims) if aims else None,
        fooled=torch.cat(fooled, 1) if fooled else None,
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


def _facts(path: Path, attack: Attack, epsilons: tuple[float, ...]) -> dict[str, Any]:
    """What all rows together say of the attack."""
    attacked, first = pl.scan_parquet(path).filter(pl.col("epsilon_index") > 0), pl.col("epsilon_index") == 1
    found = attacked.select(
        first.sum().alias("images"),
        pl.col("passes_forward").mean().alias("passes_forward_per_image"),
        pl.col("passes_backward").mean().alias("passes_backward_per_image"),
        (~pl.col("in_ball")).sum().alias("outside_ball"),
        (~pl.col("in_box")).sum().alias("outside_box"),
        (pl.col("status") == "failed").sum().alias("failed"),
        (pl.col("status") == "no gradient").sum().alias("no_gradient"),
        pl.col("radius").filter(first, pl.col("radius") > 0).median().alias("median"),
    )
    facts = found.collect().row(0, named=True)
    median = facts.pop("median")
    if median is None:
        words = "no image was classified correctly"
    elif median > epsilons[-1]:
        words = f"median radius above {formatting.epsilon(epsilons[-1], attack.norm)}"
    else:
        words = f"median radius {formatting.epsilon(median, attack.norm)}"
    return facts | {"result": words}
