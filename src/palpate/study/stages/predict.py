"""The predict stage: clean predictions of every validation and test image."""

from pathlib import Path
from typing import Any

from palpate.core import rows
from palpate.core.records import StageOutput
from palpate.models.predict import predict_logits
from palpate.study.stages.context import Context, blocks
from palpate.study.stages.table import make_rows


def make(stage: StageOutput, context: Context, folder: Path, facts: dict[str, Any]) -> None:
    """Predict block by block; validation comes along because thresholds are fixed on it."""
    dataset, model = context.dataset(stage.task), context.trained(stage)
    progress = context.progress(stage)
    with rows.writer(folder / "images.parquet") as write:
        for name, split in (("val", dataset.val), ("test", dataset.test)):
            keys = context.keys(stage, name)
            for place in blocks(len(split)):
                logits = predict_logits(model, split.images[place])
                write(make_rows(keys, split, place, logits))
                progress(place.stop, len(split), f"{name} images")
