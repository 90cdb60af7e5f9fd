"""The attack stage: test images attacked at every epsilon, judged again from what is stored, and samples kept for looking at, or written as files."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from palpate.attacks.api import sweep
from palpate.attacks.max_loss import MaxLoss
from palpate.attacks.quantize import to_levels
from palpate.attacks.result import Sweep
from palpate.attacks.spec import Attack
from palpate.core import formatting, rows
from palpate.core.formatting import plural
from palpate.core.records import StageOutput
from palpate.core.run_folder import RunFolder
from palpate.data.dataset import Split
from palpate.models.predict import Images, choose_device, predict_logits
from palpate.study.spec import AttackSpec, Study
from palpate.study.stages.context import Context
from palpate.study.stages.swept import Files, Swept, write_samples

LARGE = 4096
"""Images from which on an attack is shared by several processes."""

FIRST = 64
"""Images that are attacked before the others are shared, since the first ones show how all are to be attacked."""

EXAMINED = 64
"""Images whose sweep is kept for the trust stage: as many as its checks look at."""


def make(stage: StageOutput, context: Context, folder: Path, facts: dict[str, Any]) -> None:
    """Attack the first test images of the shuffled split and write a row per image and epsilon."""
    subject = _Attacked.of(stage, context)
    blocks = subject.blocks()
    shown = subject.images[: stage.spec["samples"]]
    pictures = [np.load(file, allow_pickle=False) for block in blocks for file in sorted(block.glob("pictures-*.npy"))]
    made = torch.from_numpy(np.concatenate(pictures, 1)) if pictures else subject.samples(shown)
    examined = [file for block in blocks for file in sorted(block.glob("sweep-*.npz"))]
    parts = [Sweep.load(file, subject.images[:EXAMINED]) for file in examined]
    _joined(parts, subject.images).save(folder / "sweep.npz")
    logits = torch.stack([predict_logits(subject.model, each) for each in (shown, *made)])
    write_samples(folder / "samples.npz", subject, (shown.numpy(), made.numpy()), logits.numpy())
    rows.join([block / "images.parquet" for block in blocks], folder / "images.parquet")
    with formatting.native(context.dataset(stage.task).scale):
        facts |= _facts(folder / "images.parquet", subject.attack, subject.epsilons)


def make_part(stage: StageOutput, context: Context, part: tuple[int, int]) -> None:
    """Attack only the images from the first to before the second number, and keep them; `make` then has the rest to do."""
    _Attacked.of(stage, context).blocks(*part, after=FIRST if part[0] else 0)


def parts(stage: StageOutput, context: Context, workers: int) -> list[list[tuple[int, int]]]:
    """How the images of a large attack are shared by several processes: steps one after the other, each of parts in any order."""
    spec = AttackSpec.read(stage.spec["attack"], stage.title)
    count = len(attacked_images(context, stage.task, spec)[1])
    if workers < 2 or count < LARGE or not spec.attack.splits:
        return []
    size = max(LARGE // 4, -(-(count - FIRST) // workers))
    return [[(0, FIRST)], [(start, min(start + size, count)) for start in range(FIRST, count, size)]]


class _Attacked(Swept):
    """What is attacked, and how; of the first images the trust stage needs the sweep, and the viewer pictures (E, n, C, H, W)."""

    @classmethod
    def of(cls, stage: StageOutput, context: Context) -> "_Attacked":
        spec = AttackSpec.read(stage.spec["attack"], stage.title)
        _, places, goal = attacked_images(context, stage.task, spec)
        levels = context.dataset(stage.task).levels or 256
        return cls(stage, context, spec.attack, spec.name, tuple(stage.spec["epsilons"]), places, goal, levels)

    def files(self, place: slice, found: Sweep, clean: Tensor) -> Files:
        files: Files = {}
        if place.start < EXAMINED:
            files[f"sweep-{place.start:09}.npz"] = found.first(EXAMINED - place.start).save
        if found.worst is not None and place.start < self.stage.spec["samples"]:
            pictures = found.worst[:, : self.stage.spec["samples"] - place.start].numpy().copy()
            files[f"pictures-{place.start:09}.npy"] = functools.partial(np.save, arr=pictures, allow_pickle=False)
        return files

    def samples(self, images: Tensor) -> Tensor:
        """Images (E, n, C, H, W) made at each epsilon, where the attack itself makes one image for all."""
        worst = MaxLoss(norm=self.attack.norm) if self.attack.uses_gradients else self.attack
        labels = self.labels[: len(images)]
        told = self.context.progress(self.stage)
        found = sweep(self.model, images, labels, self.epsilons, worst, targets=self.goal, progress=told)
        pictures = [found.images_at(epsilon) for epsilon in self.epsilons]
        if levels := getattr(self.attack, "levels", None):
            both = zip(pictures, self.epsilons, strict=True)
            pictures = [to_levels(picture, images, each, levels) for picture, each in both]
        return torch.stack(pictures)


def attacked_images(context: Context, task: str, spec: AttackSpec) -> tuple[Split, NDArray[np.intp], int | None]:
    """The test split, the places of the images that are attacked, the first of the shuffled split, and the class to be reached, if any."""
    data = context.dataset(task)
    goal = spec.goal(data.classes)
    every = np.arange(len(data.test))
    places = every if goal is None else every[np.asarray(data.test.labels) != goal]
    return data.test, places[: spec.images], goal


def _joined(parts: list[Sweep], images: Images) -> Sweep:
    """Consecutive blocks from the first image on as one result, without the images at each epsilon."""

    def joined(name: str) -> Tensor | None:
        held = [each for part in parts if (each := getattr(part, name)) is not None]
        return torch.cat(held, -1 if name == "fooled" else 0) if held else None

    named = {name: joined(name) for name in ("radius", "labels", "passes", "adversarials", "targets", "fooled")}
    status = tuple(status for part in parts for status in part.status)
    return dataclasses.replace(parts[0], status=status, images=images, worst=None, **named)


def _facts(path: Path, attack: Attack, epsilons: tuple[float, ...]) -> dict[str, Any]:
    """What all rows together say of the attack."""
    attacked, first = pl.scan_parquet(path).filter(pl.col("epsilon_index") > 0), pl.col("epsilon_index") == 1
    passes = pl.col("passes_forward", "passes_backward").mean().name.suffix("_per_image")
    counts = {"outside_ball": ~pl.col("in_ball"), "outside_box": ~pl.col("in_box")}
    counts |= {name: pl.col("status") == name.replace("_", " ") for name in ("failed", "no_gradient")}
    median = pl.col("radius").filter(first, pl.col("radius") > 0).median().alias("median")
    summed = [which.sum().alias(name) for name, which in counts.items()]
    facts = attacked.select(first.sum().alias("images"), passes, *summed, median).collect().row(0, named=True)
    median = facts.pop("median")
    if median is None:
        return facts | {"result": "no image was classified correctly"}
    above, shown = "above " * (median > epsilons[-1]), formatting.epsilon(min(median, epsilons[-1]), attack.norm)
    return facts | {"result": f"median radius {above}{shown}"}


def write_attacked(study: Study, run: Path, folder: Path, root: Path | None, device: str = "auto") -> list[str]:
    """Write the adversarial images that the attack stages of a run keep, see `palpate.Dataset.write`.

    Args:
        study: whose run it is.   folder: absent or empty; where the run has several attack stages, each gets a folder in it.
        root: the folder of the publishers' data folders.

    Returns:
        For each attack stage how many images were written, and how many of those that fooled the model still do.

    Raises:
        InputError: the folder holds files already, or the images cannot be read again.
    """
    context = Context(study, RunFolder(run), root, choose_device(device))
    stages = [stage for stage in context.run.study().stages if stage.kind == "attack"]
    told = []
    for stage in stages:
        dataset, attack = context.dataset(stage.task), AttackSpec.read(stage.spec["attack"], stage.title)
        split, places, _ = attacked_images(context, stage.task, attack)
        found = Sweep.load(context.run.verify(stage.id) / "sweep.npz", split.images[places[:EXAMINED]])
        if found.adversarials is None:
            told.append(f"{stage.title}: no images are kept of an attack that makes one at each epsilon")
            continue
        place = folder if len(stages) == 1 else folder / stage.id
        read = dataset.write(found.adversarials, place, places=places)
        fooled = (found.radius > 0) & found.radius.isfinite()
        still = predict_logits(context.trained(stage), read).argmax(1) != found.labels
        count = f"{int((still & fooled).sum())} of {plural(int(fooled.sum()), 'image')} that fooled the model still do"
        levels = "" if bool(still[fooled].all()) else f"; attack with levels = {dataset.levels or 65536} to keep all"
        told.append(f"{place}: {plural(len(found), 'image')} written, and read again {count}{levels}")
    return told
