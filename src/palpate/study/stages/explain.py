"""The explain stage: maps of the samples, clean and at every epsilon, for the true and the predicted class, with numbers on how far maps move."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from palpate.core.progress import progress_bar
from palpate.core.records import StageOutput
from palpate.explainers.api import explain
from palpate.models.predict import predict_logits
from palpate.statistics.agreement import map_similarity, mass_in_mask
from palpate.study.stages.context import Context

TARGETS = ("true", "predicted")


def make(stage: StageOutput, context: Context, folder: Path, facts: dict[str, Any]) -> None:
    """Explain the samples of the attack stage."""
    with np.load(context.parent(stage, "attack") / "samples.npz", allow_pickle=False) as file:
        samples = {name: file[name] for name in file.files}
    model, method, layer = context.trained(stage), stage.spec["method"], stage.spec.get("layer")
    labels = torch.as_tensor(samples["labels"], dtype=torch.long)
    conditions = [torch.from_numpy(samples["clean"]), *torch.from_numpy(samples["adversarial"])]
    maps, predictions = [], []
    with progress_bar(context.console, stage.title) as progress:
        for done, images in enumerate(conditions):
            progress(done, len(conditions), method)
            seen = predict_logits(model, images).argmax(1)
            predictions.append(seen.numpy())
            both = [explain(model, images, method, classes, layer) for classes in (labels, seen)]
            maps.append(torch.stack(both).numpy())
    stacked = np.stack(maps)  # (E + 1, T, n, H, W)
    predicted = np.stack(predictions)  # (E + 1, n)
    np.savez_compressed(folder / "maps.npz", allow_pickle=False, maps=stacked, predictions=predicted)
    keys = {"task": stage.task, "model_id": stage.model_id}
    table = pl.concat(
        _records(keys, stacked[:, target], predicted, samples, name) for target, name in enumerate(TARGETS)
    )
    table.write_parquet(folder / "explanations.parquet")
    facts |= {"samples": len(labels), "empty_maps": int(table["empty"].sum())}


def _records(
    keys: dict[str, str], maps: np.ndarray, predictions: np.ndarray, samples: dict[str, np.ndarray], target: str
) -> pl.DataFrame:
    """One row per sample and epsilon: maps (E + 1, n, H, W) of one target class."""
    epsilons = [0.0, *samples["epsilons"].tolist()]
    masks = samples.get("masks")
    parts = []
    for index, epsilon in enumerate(epsilons):
        n = len(samples["labels"])
        nothing = np.full(n, np.nan)
        parts.append(
            pl.DataFrame(
                {name: [value] * n for name, value in keys.items()}
                | {
                    "image_id": samples["image_ids"].tolist(),
                    "label": samples["labels"],
                    "epsilon": [epsilon] * n,
                    "epsilon_index": np.full(n, index, np.int32),
                    "target": [target] * n,
                    "target_class": samples["labels"] if target == "true" else predictions[index],
                    "prediction": predictions[index],
                    "similarity_clean": map_similarity(maps[0], maps[index]),
                    "similarity_previous": map_similarity(maps[index - 1], maps[index]) if index else nothing,
                    "mass_in_mask": nothing if masks is None else mass_in_mask(maps[index], masks),
                    "mask_area": nothing if masks is None else masks.mean((1, 2)),
                    "empty": maps[index].max((1, 2)) <= 0,
                }
            ).with_columns(pl.selectors.float().fill_nan(None))
        )
    return pl.concat(parts)
