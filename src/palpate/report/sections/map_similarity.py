"""How much saliency maps change: from clean to perturbed, from epsilon to epsilon, between models, and inside the lesion mask.

The explain stages recorded all of these but the similarity between models, which is computed here. An empty map cannot be ranked: it is
counted, and never averaged as zero.
"""

import dataclasses
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palpate.core import formatting
from palpate.core.npz import read_arrays
from palpate.core.registry import SECTIONS
from palpate.report.figures import similarity_figure
from palpate.report.images import shrunk
from palpate.report.line_styles import line_styles
from palpate.report.run_data import RunData
from palpate.report.section import Plot, Section, caption, ranked, render
from palpate.report.tables import Cell, Column, Table, decimal, table
from palpate.report.viewer.scenes import TARGETS
from palpate.statistics.correlation import map_similarity

SIDE = 56
"""Maps are averaged down to this side before models are compared: they were enlarged from 4 to 14 cells a side, so no more is in them."""

PAIRS = 66
"""So many pairs of models are compared: those of the first 12."""


@dataclasses.dataclass(frozen=True)
class Mean:
    """A mean over the images whose maps are not empty.

    Attributes:
        value: None where every map is empty.   n: images averaged.   empty: images left out.
        chance: for the mass inside a mask, the mask's part of the image.
    """

    value: float | None
    n: int
    empty: int
    chance: float | None = None


Lines = dict[tuple[str, str], tuple[Mean, ...]]
"""Of each model (or pair of models) and explained class, a mean per epsilon."""


@SECTIONS.register("map-similarity")
@ranked(70, scope="task")
def section(data: RunData, task: str) -> Section | None:
    """One figure, with the tables folded behind it; nothing where no model of the task was explained."""
    maps = data.table("explain", "explanations.parquet", task)
    if not len(maps):
        return None
    if "method" in maps.columns and maps["method"].n_unique() > 1:
        maps = maps.with_columns(model_id=pl.format("{}, {}", "model_id", "method"))
    steps = maps.filter(pl.col("epsilon_index") > 0).select("epsilon_index", "epsilon").unique().sort("epsilon_index")
    names = tuple(map(formatting.number, steps["epsilon"]))
    to_clean = recorded(maps, "similarity_clean", 1)
    to_previous, in_mask = recorded(maps, "similarity_previous", 1), recorded(maps, "mass_in_mask", 0, "mask_area")
    found = {
        "maps-clean": to_clean,
        "maps-previous": to_previous,
        "maps-models": _between(data, task),
        "maps-mask": in_mask,
    }
    tables = tuple(
        _table(task, name, names if name in ("maps-clean", "maps-previous") else ("clean", *names), lines)
        for name, lines in found.items()
        if lines
    )
    curves = {model: [mean.value for mean in means] for (model, target), means in to_clean.items() if target == "true"}
    drawn = similarity_figure(list(names), curves, line_styles(list(curves)))
    alt = "Mean similarity of each model's maps to those of the clean images, by epsilon."
    html = render("map_similarity.html", figure=Plot(f"similarity-{task}", drawn, alt), tables=tables)
    return Section("How much the maps change", html, tables=tables)


def recorded(explanations: pl.DataFrame, column: str, first: int, chance: str | None = None) -> Lines:
    """Of each model and class the mean of a column per epsilon, from index `first` on; nothing where it was not recorded."""
    if column not in explanations.columns or not explanations[column].cast(pl.Float64).is_not_null().any():
        return {}
    table = explanations.filter(pl.col("epsilon_index") >= first)
    found: dict[tuple[str, str], list[Mean]] = {}
    for part in table.sort("epsilon_index").partition_by("model_id", "target", "epsilon_index", maintain_order=True):
        mean = _mean(part[column])
        if chance is not None:
            mean = dataclasses.replace(mean, chance=_mean(part[chance]).value)
        found.setdefault((part["model_id"][0], part["target"][0]), []).append(mean)
    return {key: tuple(means) for key, means in found.items()}


def between_models(maps: dict[str, NDArray[Any]]) -> Lines:
    """Each pair of models at every epsilon, clean first.

    Args:
        maps: for each model (E + 1, T, n, H, W), of the same images in the same order; pairs of other lengths are left out.
    """
    found: Lines = {}
    for one, other in combinations(maps, 2):
        for t in range(maps[one].shape[1]) if maps[one].shape == maps[other].shape else ():
            pairs = zip(maps[one][:, t], maps[other][:, t], strict=True)
            found[f"{one} and {other}", TARGETS[t]] = tuple(_mean(pl.Series(map_similarity(a, b))) for a, b in pairs)
    return found


def shrink(maps: NDArray[Any]) -> NDArray[Any]:
    """Average (…, H, W) down to at most SIDE × SIDE."""
    longest = max(maps.shape[-2:])
    if longest <= SIDE:
        return maps
    made = np.stack([shrunk(one, SIDE, longest) for one in maps.reshape(-1, *maps.shape[-2:]).astype(np.float32)])
    return made.reshape(*maps.shape[:-2], *made.shape[1:])


def _between(data: RunData, task: str) -> Lines:
    stages = data.complete("explain", task)
    stages = [stage for place, stage in enumerate(stages) if place * (place + 1) / 2 <= PAIRS]
    read: dict[str, NDArray[Any]] = {}
    for stage in stages:
        why = f"samples of {stage.title} cannot be read"
        maps = data.attempt(why, lambda stage=stage: shrink(read_arrays(stage.file("maps.npz"))["maps"]))
        read |= {} if maps is None else {data.map_label(stage): maps}
    return between_models(read)


def _mean(values: pl.Series) -> Mean:
    known = values.cast(pl.Float64).fill_nan(None).drop_nulls().to_numpy()
    return Mean(float(known.mean()) if len(known) else None, len(known), len(values) - len(known))


def _table(task: str, name: str, columns: tuple[str, ...], lines: Lines) -> Table:
    heads: list[Column] = [("model", lambda line: line[0][0]), ("class explained", lambda line: line[0][1])]
    named = enumerate(column if column == "clean" else f"ε {column}" for column in columns)
    heads += [(name, lambda line, place=place: _cell(line[1][place])) for place, name in named]
    records = [
        {"model": model, "class_explained": target, "epsilon": column} | dataclasses.asdict(mean)
        for (model, target), means in lines.items()
        for column, mean in zip(columns, means, strict=True)
    ]
    words = caption("maps", what=caption(name))
    return table(f"{task}-{name}", words, heads, lines.items(), records)


def _cell(mean: Mean) -> Cell:
    empty = f"{mean.empty} empty" if mean.empty and mean.n else ""
    if mean.value is None:
        return Cell("all empty")
    if mean.chance is None:
        return dataclasses.replace(decimal(mean.value), below=empty)
    return Cell(formatting.percent(mean.value), f"[{formatting.percent(mean.chance)}] {empty}".strip(), key=mean.value)
