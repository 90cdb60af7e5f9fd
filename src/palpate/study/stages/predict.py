"""The predict stage: clean predictions of every validation and test image; and the one place that fills the row of `palpate.core.rows`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from palpate.attacks.losses import margin, unusable
from palpate.core import rows
from palpate.core.records import StageOutput
from palpate.data.dataset import Split
from palpate.models.predict import predict_logits
from palpate.study.stages.context import Context, blocks

CLEAN: dict[str, Any] = dict.fromkeys(("norm", "target", "radius", "survives_rounding"))
CLEAN |= {"attack_id": "none", "attack": "none", "epsilon": 0.0, "epsilon_index": 0, "inherited": False}
CLEAN |= {"linf": 0.0, "in_ball": True, "in_box": True, "passes_forward": 1, "passes_backward": 0}
"""What the rows of a clean prediction say of an attack: there was none."""


def make(stage: StageOutput, context: Context, folder: Path, facts: dict[str, Any]) -> None:
    """Predict block by block; validation comes along because thresholds are fixed on it."""
    dataset, model = context.dataset(stage.task), context.trained(stage)
    progress, before = context.progress(stage), len(dataset.val)
    count = before + len(dataset.test)

    def pieces(gap: slice, carry: Any) -> Iterator[tuple[slice, pl.DataFrame]]:
        for name, split, offset in (("val", dataset.val, 0), ("test", dataset.test, before)):
            keys = context.keys(stage, name)
            for place in blocks(max(gap.start - offset, 0), min(gap.stop - offset, len(split))):
                logits = predict_logits(model, split.images[place])
                progress(place.stop + offset, count, f"{name} images")
                yield slice(place.start + offset, place.stop + offset), make_rows(keys, split, place, logits)

    made = context.kept(stage).make_blocks("image", count, pieces, write_rows)
    rows.join([block / "images.parquet" for block in made], folder / "images.parquet")


def write_rows(tables: list[pl.DataFrame], folder: Path) -> None:
    """Write the rows of a block."""
    rows.write(pl.concat(tables), folder / "images.parquet")


def make_rows(
    keys: Mapping[str, Any], split: Split, place: Any, logits: torch.Tensor, status: Any = "ok", **attacked: Any
) -> pl.DataFrame:
    """Fill one row per image.

    Args:
        keys: the columns that are the same for all images.
        split: where the images come from.
        place: which of its images, n of them: a slice or their places.
        logits: (n, K), re-predicted from what was done to them.
        status: of the attack on each of them (n,); an image without a usable answer is "failed" in any case.
        attacked: the columns of `CLEAN` for images that were attacked, one value for all or (n,).
    """
    labels, found = torch.as_tensor(np.asarray(split.labels)[place], dtype=torch.long), logits.double()
    prediction, status = found.argmax(1), np.where(unusable(found), "failed", status)
    columns: dict[str, Any] = {**keys, **CLEAN, "label": labels.numpy(), "logits": found.tolist()}
    for name, values in (("image_id", split.ids), ("group_id", split.groups)):
        columns[name] = np.asarray(values)[place].tolist()
    columns |= {"prediction": prediction.numpy(), "correct": (prediction == labels).numpy() & (status == "ok")}
    columns |= {"margin": -margin(found, labels).numpy(), "status": status.tolist()} | attacked
    return pl.DataFrame({name: columns[name] for name in rows.SCHEMA}, schema=rows.SCHEMA, strict=True)
