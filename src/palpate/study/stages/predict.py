"""The predict stage: clean predictions of every validation and test image."""

from pathlib import Path
from typing import Any

import numpy as np

from palpate.core import rows
from palpate.core.progress import progress_bar
from palpate.core.records import StageOutput
from palpate.models.predict import predict_logits
from palpate.study.stages.context import Context
from palpate.study.stages.table import clean, make_rows


def make(stage: StageOutput, context: Context, folder: Path, facts: dict[str, Any]) -> None:
    """Predict; validation comes along because thresholds are fixed on it."""
    dataset = context.dataset(stage.task)
    model = context.trained(stage)
    tables = []
    for name, split in (("val", dataset.val), ("test", dataset.test)):
        with progress_bar(context.console, stage.title) as progress:
            logits = predict_logits(model, split.images, progress=progress)
        tables.append(make_rows(context.keys(stage, name), split, np.arange(len(split)), clean(logits)))
    rows.write(rows.concat(tables), folder / "images.parquet")
