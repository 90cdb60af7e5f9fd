"""Agreement tables: how far Grad-CAM maps move between clean and perturbed, between epsilons and between models.

The cells recorded the first two and the share on the sign; only pairs of models have to be compared here. Empty maps have
no order to agree on: they are counted, never averaged as zero.
"""

import dataclasses
from itertools import combinations
from typing import Any

import cv2
import numpy as np
import polars as pl
from numpy.typing import NDArray

from palpate.statistics.agreement import map_similarity

SIDE = 56
"""Maps are averaged down to this side before models are compared: they were enlarged from 4 to 14 cells, so no more is in them."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """One number of an agreement table: a mean over the images whose maps are not empty."""

    value: float | None  # None where every map was empty
    n: int  # images averaged
    empty: int  # images left out because a map was empty
    chance: float | None = None  # for shares on the sign: the sign's part of the image


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of an agreement table."""

    name: str
    target: str  # "true" | "predicted": the class that was explained
    entries: tuple[Entry, ...]  # one per column


def between_models(maps: dict[str, NDArray[Any]], targets: tuple[str, ...]) -> list[Row]:
    """Each pair of models at every epsilon, clean first.

    Args:
        maps: for each model (E + 1, T, n, H, W), of the same images in the same order; pairs of other lengths are left out.
        targets: names of the T explained classes.
    """
    small = {name: _shrink(found) for name, found in maps.items()}
    return [
        Row(
            f"{one} and {other}",
            target,
            tuple(_mean(map_similarity(a[t], b[t])) for a, b in zip(small[one], small[other], strict=True)),
        )
        for one, other in combinations(small, 2)
        if small[one].shape == small[other].shape
        for t, target in enumerate(targets)
    ]


def recorded(explanations: pl.DataFrame, column: str, first: int, chance: str | None = None) -> list[Row]:
    """Each model: the mean of a column of explanations.parquet per epsilon from index `first` on; [] where nothing is recorded."""
    if column not in explanations.columns or not explanations[column].cast(pl.Float64).is_not_null().any():
        return []
    table = explanations.filter(pl.col("epsilon_index") >= first)
    columns = sorted(explanations.filter(pl.col("epsilon_index") >= first)["epsilon_index"].unique())
    found = []
    for model, target in table.select("model_id", "target").unique(maintain_order=True).iter_rows():
        part = table.filter(model_id=model, target=target)
        cells = [part.filter(epsilon_index=index) for index in columns]
        found.append(Row(model, target, tuple(_entry(cell, column, chance) for cell in cells)))
    return found


def _entry(cell: pl.DataFrame, column: str, chance: str | None) -> Entry:
    entry = _mean(cell[column].cast(pl.Float64).fill_null(float("nan")).to_numpy())
    if chance is None:
        return entry
    by_chance = _mean(cell[chance].cast(pl.Float64).fill_null(float("nan")).to_numpy()).value
    return dataclasses.replace(entry, chance=by_chance)


def _mean(values: NDArray[np.float64]) -> Entry:
    known = values[~np.isnan(values)]
    return Entry(float(known.mean()) if len(known) else None, len(known), len(values) - len(known))


def _shrink(maps: NDArray[Any]) -> NDArray[Any]:
    """Average (…, H, W) down to at most SIDE × SIDE."""
    *lead, height, width = maps.shape
    if max(height, width) <= SIDE:
        return maps
    flat = maps.reshape(-1, height, width).astype(np.float32)
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.stack([cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in flat]).reshape(*lead, *size[::-1])
