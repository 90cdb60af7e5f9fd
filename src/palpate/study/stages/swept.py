"""Images under an attack or a corruption: swept block after block, judged again from what is stored, a row for each condition.

The two stages say what is swept and which files are kept of a block besides its rows; the blocks and the rows are made here.
"""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from palpate.attacks.api import sweep_blocks
from palpate.attacks.norms import Norm, distance
from palpate.attacks.result import Sweep
from palpate.attacks.spec import Attack
from palpate.core import rows
from palpate.core.records import StageOutput
from palpate.models.predict import Chosen, predict_logits
from palpate.study.stages.context import Context, blocks
from palpate.study.stages.predict import make_rows

BALL_TOLERANCE = 2.0**-23
"""One unit in the last place of a float32 at 1: x + delta is rounded, so a pixel read back may exceed epsilon by so much."""

JUDGED = 128
"""Images that are judged at a time, since judging takes several copies of them, some in double precision."""

Files = dict[str, Callable[[Path], Any]]
"""What writes each file of a piece, by its name."""


@dataclasses.dataclass
class Piece:
    """What is kept of some consecutive images."""

    rows: pl.DataFrame
    files: Files = dataclasses.field(default_factory=dict)


def write_pieces(pieces: list[Piece], folder: Path) -> None:
    """Write a block."""
    rows.write(pl.concat([piece.rows for piece in pieces]), folder / "images.parquet")
    for piece in pieces:
        for name, write in piece.files.items():
            write(folder / name)


@dataclasses.dataclass
class Swept:
    """Test images of a task under an attack or a corruption.

    Attributes:
        stage, context: of the stage.   attack, name: what is done to them, and what tables call it.   epsilons: radii or severities, rising.
        places: of the images in the test split.   goal: the class that they must be taken for, if any.
        levels: of a file, to which images are rounded to see whether they survive it; not looked at when None.
    """

    stage: StageOutput
    context: Context
    attack: Attack
    name: str
    epsilons: tuple[float, ...]
    places: NDArray[np.intp]
    goal: int | None = None
    levels: int | None = None

    def __post_init__(self) -> None:
        dataset = self.context.dataset(self.stage.task)
        self.split, self.images = dataset.test, Chosen(dataset.test.images, self.places)
        self.labels = torch.as_tensor(np.asarray(dataset.test.labels)[self.places], dtype=torch.long)
        self.model, self.keys = self.context.trained(self.stage), self.context.keys(self.stage, "test")
        self.training = (dataset.val.images, dataset.val.labels) if self.attack.learns and len(dataset.val) else None

    def blocks(self, first: int = 0, last: int | None = None, after: int = 0) -> list[Path]:
        """The folders of the blocks from one image to before another, of which those not kept yet are made; see `Kept.make_blocks`."""
        count = len(self.images) if last is None else last
        kept = self.context.kept(self.stage)
        return kept.make_blocks("image", count, self._pieces, write_pieces, first=first, after=after)

    def files(self, place: slice, found: Sweep, clean: Tensor) -> Files:
        """What is kept of a piece besides its rows, whose clean logits are (n, K)."""
        return {}

    def _pieces(self, gap: slice, carry: dict[str, Any]) -> Iterator[tuple[slice, Piece]]:
        images, labels = Chosen(self.split.images, self.places[: gap.stop]), self.labels[: gap.stop]
        how: dict[str, Any] = {"targets": self.goal, "training": self.training, "start": gap.start, "carry": carry}
        what = self.model, images, labels, self.epsilons, self.attack
        for place, found in sweep_blocks(*what, progress=self.context.progress(self.stage), **how):
            if "not run" in found.status:  # interrupted
                continue
            where, clean = self.places[place], predict_logits(self.model, found.images[:])
            tables = [make_rows(self.keys, self.split, where, clean)]
            for part in blocks(0, len(found), JUDGED):
                for judged in self._conditions(found.take(part)):
                    tables.append(make_rows(self.keys, self.split, where[part], target=self.goal, **judged))
            yield place, Piece(pl.concat(tables), self.files(place, found, clean))
            del found  # before the next block is made

    def _conditions(self, found: Sweep) -> Iterator[dict[str, Any]]:
        """What became of a block of images at each epsilon, judged from the images that the attack gives, as columns for `make_rows`."""
        clean, smaller = found.images[:], 0.0
        known = found.radius.nan_to_num(nan=0.0, posinf=float("inf")).tolist()
        radius = [None if why == "no gradient" else each for why, each in zip(found.status, known, strict=True)]
        for index, epsilon in enumerate(found.epsilons, 1):
            made = found.images_at(epsilon)
            judged = judge(self.model, made, clean, found.labels, epsilon, self.attack.norm, self.levels)
            attack = {"attack_id": self.name, "attack": self.attack.kind, "norm": self.attack.norm, "radius": radius}
            judged |= attack | {"status": np.array(found.status), "epsilon": epsilon, "epsilon_index": index}
            judged["inherited"] = found.worst is None and (found.radius <= smaller).numpy()
            judged["passes_forward"], judged["passes_backward"] = found.passes[:, :2].T.numpy()
            yield judged
            smaller = epsilon


def judge(
    model: nn.Module,
    adversarial: Tensor,
    images: Tensor,
    labels: Tensor,
    epsilon: float,
    norm: Norm | Literal["px", "severity"] = "linf",
    levels: int | None = 256,
) -> dict[str, Any]:
    """Look again at stored images (n, C, H, W): logits, norm reached, ball, box, and rounding to the levels of a file, if any.

    Ball and box are checked in float64; a severity has no ball.
    """
    logits = predict_logits(model, adversarial)
    tolerance = BALL_TOLERANCE * {"l2": images[0].numel() ** 0.5, "l1": images[0].numel(), "px": 0.0}.get(norm, 1.0)
    lowest, highest = adversarial.flatten(1).amin(1), adversarial.flatten(1).amax(1)
    fooled = logits.argmax(1) != labels
    survives: list[bool | None] = [None] * len(labels)
    if levels and fooled.any():
        rounded = (adversarial[fooled] * (levels - 1)).round() / (levels - 1)
        still = predict_logits(model, rounded).argmax(1) != labels[fooled]
        for place, answer in zip(fooled.nonzero()[:, 0].tolist(), still.tolist(), strict=True):
            survives[place] = answer
    in_ball = norm == "severity" or (distance(adversarial, images, norm) <= epsilon + tolerance).numpy()
    looked_at = {"logits": logits, "linf": distance(adversarial, images).numpy(), "in_ball": in_ball}
    return looked_at | {"in_box": ((lowest >= 0) & (highest <= 1)).numpy(), "survives_rounding": survives}


def write_samples(path: Path, subject: Swept, images: tuple[NDArray, NDArray], logits: NDArray) -> None:
    """Write the first images, clean (n, C, H, W) and at each epsilon (E, n, C, H, W), with the logits of both (E + 1, n, K)."""
    split, chosen = subject.split, subject.places[: len(images[0])]
    arrays = {"clean": images[0], "adversarial": images[1], "logits": logits, "epsilons": np.asarray(subject.epsilons)}
    arrays |= {"image_ids": np.asarray(split.ids)[chosen].astype(str), "labels": np.asarray(split.labels)[chosen]}
    arrays |= {} if split.masks is None else {"masks": split.masks[chosen]}
    np.savez(path, allow_pickle=False, **arrays)
