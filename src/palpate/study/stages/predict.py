"""The predict stage: clean predictions of every validation and test image."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from palpate.core import rows
from palpate.core.records import StageOutput
from palpate.models.predict import predict_logits
from palpate.study.stages.context import Context, blocks
from palpate.study.stages.table import make_rows


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
