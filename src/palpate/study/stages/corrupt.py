"""The corrupt stage: test images under one corruption, judged again from the images it gives, and checks of the corruption itself."""

import functools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from palpate.attacks.result import Sweep
from palpate.core import rows
from palpate.core.io import write_json
from palpate.core.records import StageOutput, VerdictRecord, summarise_verdicts
from palpate.corruptions.api import Corrupted
from palpate.corruptions.checks import examine
from palpate.models.predict import predict_logits
from palpate.study.attacks import CorruptionSpec
from palpate.study.stages.context import Context
from palpate.study.stages.swept import Files, Swept, write_samples

SHOWN = 8
"""Images that are kept to be looked at, clean and at each severity."""


def make(stage: StageOutput, context: Context, folder: Path, facts: dict[str, Any]) -> None:
    """Corrupt the first test images of the shuffled split; write a row per image and severity, what the search found, and the checks."""
    settings = {key: value for key, value in stage.spec.items() if key != "finding"}
    spec, size = CorruptionSpec.read(settings, stage.title), context.study.task_of(stage.task).size
    places = np.arange(len(context.dataset(stage.task).test))[: spec.images]
    attack = spec.attack
    subject = _CorruptedImages(stage, context, attack, attack.name, spec.grid(size), places)
    blocks = subject.blocks()
    rows.join([block / "images.parquet" for block in blocks], folder / "images.parquet")
    _write_samples(folder, subject, [file for block in blocks for file in sorted(block.glob("pictures-*.npy"))])
    searched = pl.concat(pl.read_parquet(file) for block in blocks for file in sorted(block.glob("severities-*")))
    searched.write_parquet(folder / "severities.parquet")
    shutil.copyfile(blocks[0] / "verdicts.json", folder / "verdicts.json")
    verdicts = [VerdictRecord(**one) for one in json.loads((folder / "verdicts.json").read_text(encoding="utf-8"))]
    facts |= _facts(attack, size, searched) | {"checks": summarise_verdicts(verdicts)}


class _CorruptedImages(Swept):
    """Images under a corruption: of each block what the search found, and of the first one the checks."""

    def files(self, place: slice, found: Sweep, clean: torch.Tensor) -> Files:
        table = _searched(np.asarray(self.split.ids)[self.places[place]], found)
        files: Files = {f"severities-{place.start:09}.parquet": table.write_parquet}
        if place.start < SHOWN:
            made = torch.stack([found.images_at(severity, slice(SHOWN - place.start)) for severity in self.epsilons])
            files[f"pictures-{place.start:09}.npy"] = functools.partial(np.save, arr=_bytes(made), allow_pickle=False)
        if place.start == 0:
            assert isinstance(self.attack, Corrupted)
            largest = predict_logits(self.model, found.images_at(self.epsilons[-1]))
            verdicts = examine(self.attack, found, clean, largest)
            files["verdicts.json"] = functools.partial(write_json, value=[each.to_dict() for each in verdicts])
        return files


def _bytes(images: torch.Tensor) -> np.ndarray:
    """Images as whole numbers from 0 to 255: they are only looked at."""
    return (images * 255).round().clamp(0, 255).to(torch.uint8).numpy()


def _write_samples(folder: Path, subject: _CorruptedImages, pictures: list[Path]) -> None:
    """The first images, clean and at each severity, in whole numbers from 0 to 255, with the logits of their rows."""
    made = np.concatenate([np.load(file, allow_pickle=False) for file in pictures], 1)
    ids = np.asarray(subject.split.ids)[subject.places[:SHOWN]].tolist()
    order = pl.DataFrame({"image_id": ids, "place": range(len(ids))})
    table = pl.read_parquet(folder / "images.parquet", columns=["image_id", "epsilon_index", "logits"])
    kept = table.join(order, on="image_id").sort("epsilon_index", "place")["logits"].to_list()
    logits = np.array(kept, np.float32).reshape(len(made) + 1, len(ids), -1)
    write_samples(folder / "samples.npz", subject, (_bytes(subject.images[:SHOWN]), made), logits)


def _searched(ids: np.ndarray, found: Sweep) -> pl.DataFrame:
    """What the search found about each image: the smallest severity, crossings, and the share of draws misclassified at each severity."""
    assert found.flips is not None
    assert found.crossings is not None
    found_of = {"image_id": ids.tolist(), "severity": found.radius.numpy(), "crossings": found.crossings.numpy()}
    return pl.DataFrame(found_of | {"flips": found.flips.T.tolist(), "passes": found.passes[:, 0].numpy()})


def _facts(attack: Corrupted, size: int, searched: pl.DataFrame) -> dict[str, Any]:
    """What the corruption is and what was spent."""
    corruption = attack.corruption
    stated = ("unit", "modality", "source", "identity", "direction", "parameter")
    facts: dict[str, Any] = {name: getattr(corruption, name) for name in stated} | {"attack_id": attack.name}
    facts |= {"corruption": corruption.name, "largest": corruption.range_of(size), "draws": attack.noise_draws}
    facts["anchors"] = {name: list(levels) for name, levels in corruption.anchors(size).items()}
    facts |= {"images": len(searched), "passes_forward_per_image": searched["passes"].mean()}
    return facts | {"several_crossings": int((searched["crossings"] > 1).sum())}
