"""The explain stage: maps of the samples, clean and at every epsilon, for the true and the predicted class, with numbers on how far maps move."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from palpate.core.npz import read_arrays
from palpate.core.records import StageOutput
from palpate.explainers.api import explain
from palpate.explainers.layers import NoMap, find_layer
from palpate.models.predict import predict_logits
from palpate.models.sources.factory import load_function
from palpate.statistics.correlation import map_similarity, mass_in_mask
from palpate.study.stages.context import Context

TARGETS = ("true", "predicted")
GRAD_CAM = "grad-cam"


def make(stage: StageOutput, context: Context, folder: Path, facts: dict[str, Any]) -> None:
    """Explain the samples of the attack stage."""
    samples = read_arrays(context.parent(stage, "attack") / "samples.npz")
    model = context.trained(stage)
    settings, layer = chosen(model, torch.from_numpy(samples["clean"][0]), stage.spec)
    method = settings["method"]
    labels = torch.as_tensor(samples["labels"], dtype=torch.long)
    conditions = [samples["clean"], *samples["adversarial"]]

    def pieces(gap: slice, carry: Any) -> Iterator[tuple[slice, tuple[np.ndarray, np.ndarray]]]:
        for place in range(gap.start, gap.stop):
            context.progress(stage)(place, len(conditions), method)
            images = torch.from_numpy(conditions[place])
            seen = predict_logits(model, images).argmax(1)
            both = [explain(model, images, classes=classes, **settings) for classes in (labels, seen)]
            yield slice(place, place + 1), (torch.stack(both).numpy(), seen.numpy())

    blocks = context.kept(stage).make_blocks("condition", len(conditions), pieces, _write)
    kept = [read_arrays(block / "maps.npz") for block in blocks]
    stacked = np.concatenate([each["maps"] for each in kept])  # (E + 1, T, n, H, W)
    predicted = np.concatenate([each["predictions"] for each in kept])  # (E + 1, n)
    np.savez_compressed(folder / "maps.npz", allow_pickle=False, maps=stacked, predictions=predicted)
    keys = {"task": stage.task, "model_id": stage.model_id, "method": method}
    of_targets = zip(stacked.swapaxes(0, 1), TARGETS, strict=True)
    table = pl.concat(_records(keys, maps, predicted, samples, target) for maps, target in of_targets)
    table.write_parquet(folder / "explanations.parquet")
    facts |= {"method": method, "layer": layer, "samples": len(labels), "empty_maps": int(table["empty"].sum())}


def _write(pieces: list[tuple[np.ndarray, np.ndarray]], folder: Path) -> None:
    maps, predictions = map(np.stack, zip(*pieces, strict=True))
    np.savez(folder / "maps.npz", allow_pickle=False, maps=maps, predictions=predictions)


def chosen(model: torch.nn.Module, image: torch.Tensor, spec: Mapping[str, str]) -> tuple[dict[str, Any], str | None]:
    """The settings of `palpate.explain` for a stage, and the layer that its maps are of, in words.

    Raises:
        InputError: the method or the layer is none of this model, found with one image (C, H, W).
    """
    settings: dict[str, Any] = {key: value for key, value in spec.items() if key not in ("finding", "code")}
    if "reshape" in spec:
        settings["reshape"] = load_function(*spec["reshape"].split(":", 1), what="explain.reshape")
    if spec.get("method", GRAD_CAM) == GRAD_CAM:
        given = {key: settings.get(key) for key in ("layer", "reshape")}
        try:
            layer = find_layer(model, image, given["layer"], given["reshape"])
            return settings | {"method": GRAD_CAM}, str(layer)
        except NoMap:
            if "method" in spec:
                raise
            return {"method": "integrated-gradients"}, None
    explain(model, image[None], **settings)
    return settings, None


def _records(
    keys: dict[str, str], maps: np.ndarray, predictions: np.ndarray, samples: dict[str, np.ndarray], target: str
) -> pl.DataFrame:
    """One row per sample and epsilon: maps (E + 1, n, H, W) of one target class."""
    masks, labels, n = samples.get("masks"), samples["labels"], len(samples["labels"])
    nothing, parts = np.full(n, np.nan), []
    for index, epsilon in enumerate([0.0, *samples["epsilons"].tolist()]):
        here, before = maps[index], maps[index - 1]
        columns = {name: [value] * n for name, value in keys.items()} | {"image_id": samples["image_ids"].tolist()}
        columns |= {"label": labels, "epsilon": [epsilon] * n, "epsilon_index": np.full(n, index, np.int32)}
        columns |= {"target": [target] * n, "target_class": labels if target == "true" else predictions[index]}
        columns |= {"prediction": predictions[index], "similarity_clean": map_similarity(maps[0], here)}
        columns["similarity_previous"] = map_similarity(before, here) if index else nothing
        columns["mass_in_mask"] = nothing if masks is None else mass_in_mask(here, masks)
        columns["mask_area"] = nothing if masks is None else masks.mean((1, 2))
        columns["empty"] = here.max((1, 2)) <= 0
        parts.append(pl.DataFrame(columns).with_columns(pl.selectors.float().fill_nan(None)))
    return pl.concat(parts)
