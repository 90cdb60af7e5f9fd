"""The corrupt stage: test images under one corruption, judged again from the images it gives, and checks of the corruption itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import nn

from palpate.attacks.api import sweep_blocks
from palpate.attacks.norms import distance
from palpate.attacks.result import Sweep
from palpate.core import rows
from palpate.core.io import write_json
from palpate.core.records import StageOutput, VerdictRecord, summarise_verdicts
from palpate.corruptions.api import Corrupted
from palpate.corruptions.checks import examine
from palpate.models.predict import predict_logits
from palpate.study.corruptions import CorruptionSpec
from palpate.study.stages.context import Chosen, Context
from palpate.study.stages.table import make_rows


def make(stage: StageOutput, context: Context, folder: Path, facts: dict[str, Any]) -> None:
    """Corrupt the first test images of the shuffled split; write a row per image and severity, what the search found, and the checks."""
    settings = {key: value for key, value in stage.spec.items() if key != "finding"}
    spec = CorruptionSpec.read(settings, stage.title)
    attack, split = spec.attack, context.dataset(stage.task).test
    images = Chosen(split.images, np.arange(len(split))[: spec.images])
    labels = torch.as_tensor(np.asarray(split.labels)[: len(images)], dtype=torch.long)
    model, keys = context.trained(stage), context.keys(stage, "test")
    grid, searched = spec.grid(context.task(stage.task).size), []
    verdicts: list[VerdictRecord] = []
    with rows.writer(folder / "images.parquet") as write:
        for place, found in sweep_blocks(model, images, labels, grid, attack, progress=context.progress(stage)):
            clean = predict_logits(model, found.images[:])
            write(make_rows(keys, split, place, clean))
            for judged in conditions(model, found, attack):
                write(make_rows(keys, split, place, **judged))
            if not verdicts:
                verdicts = examine(attack, found, clean, predict_logits(model, found.images_at(grid[-1])))
            searched.append(_searched(np.asarray(split.ids)[place], found))
            del found  # before the next block is made
    pl.concat(searched).write_parquet(folder / "severities.parquet")
    write_json(folder / "verdicts.json", [verdict.to_dict() for verdict in verdicts])
    facts |= _facts(attack, context.task(stage.task).size, folder) | {"checks": summarise_verdicts(verdicts)}


def conditions(model: nn.Module, found: Sweep, attack: Corrupted) -> Iterator[dict[str, Any]]:
    """What became of a block of images at each severity, judged from the images of the first draw, as columns for `make_rows`."""
    clean, status = found.images[:], np.array(found.status)
    for index, severity in enumerate(found.epsilons, 1):
        images = found.images_at(severity)
        logits = predict_logits(model, images)
        yield {
            "logits": logits,
            "status": status,
            "attack_id": attack.name,
            "attack": attack.kind,
            "norm": "severity",
            "epsilon": severity,
            "epsilon_index": index,
            "radius": found.radius.nan_to_num(nan=0.0, posinf=float("inf")).numpy(),
            "linf": distance(images, clean).numpy(),
            "in_box": ((images >= 0) & (images <= 1)).flatten(1).all(1).numpy(),
            "passes_forward": found.passes[:, 0].numpy(),
            "passes_backward": found.passes[:, 1].numpy(),
        }


def _searched(ids: np.ndarray, found: Sweep) -> pl.DataFrame:
    """What the search found about each image: the smallest severity, crossings, and the share of draws misclassified at each severity."""
    assert found.flips is not None
    assert found.crossings is not None
    return pl.DataFrame(
        {
            "image_id": ids.tolist(),
            "severity": found.radius.numpy(),
            "crossings": found.crossings.numpy(),
            "flips": found.flips.T.tolist(),
            "passes": found.passes[:, 0].numpy(),
        }
    )


def _facts(attack: Corrupted, size: int, folder: Path) -> dict[str, Any]:
    """What the corruption is and what was spent."""
    corruption, searched = attack.corruption, pl.read_parquet(folder / "severities.parquet")
    return {
        "attack_id": attack.name,
        "corruption": corruption.name,
        "unit": corruption.unit,
        "modality": corruption.modality,
        "source": corruption.source,
        "largest": corruption.range_of(size),
        "identity": corruption.identity,
        "direction": corruption.direction,
        "parameter": corruption.parameter,
        "anchors": {name: list(levels) for name, levels in corruption.anchors(size).items()},
        "draws": attack.noise_draws,
        "images": len(searched),
        "passes_forward_per_image": searched["passes"].mean(),
        "several_crossings": int((searched["crossings"] > 1).sum()),
    }
