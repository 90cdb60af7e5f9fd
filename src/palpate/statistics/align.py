"""Puts two result tables side by side, image by image, so that a comparison is paired or is refused.

Two means over different images differ because of the images. Whatever the two tables do not share is left out and named; where they
disagree about the label of an image, or share nothing, there is no comparison.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palpate.core.errors import InputError
from palpate.statistics.curves import check_rows, group_names, norm_of, survived
from palpate.statistics.intervals import Floats

CLEAN = "none"

ONE_OF = {"architecture": ["backbone", "attention", "training"], "task": ["task"], "finding": ["finding"]}
"""What all rows of one side must share."""


@dataclass(frozen=True)
class Side:
    """One model's outcomes.

    Attributes:
        name: the architecture, or the run where there is one.
        backbone: of all runs.
        attention: of all runs.
        training: of all runs.
        runs: model_id of each run.
        seeds: of the runs.
        correct: (E, S, N) booleans, by epsilon, run and image.
        radius: (S, N) in units of epsilon: 0 where already wrong, inf where never fooled.
    """

    name: str
    backbone: str
    attention: str
    training: str
    runs: tuple[str, ...]
    seeds: tuple[int, ...]
    correct: NDArray[np.bool_]
    radius: Floats


@dataclass(frozen=True)
class Aligned:
    """Two models on the same images.

    Attributes:
        task: as in the rows of a.
        finding: of both.
        split: of both.
        attack_id: of both; "none" where only clean predictions are there.
        norm: of its epsilons and radii.
        epsilons: by epsilon_index, rising; the first is 0.
        indices: the epsilon_index of each.
        labels: (N,) classes.
        groups: (N,) names of patients or lesions.
        a: the baseline.
        b: the model compared with it.
        notes: what was left out and why.
    """

    task: str
    finding: str | None
    split: str
    attack_id: str
    norm: str
    epsilons: tuple[float, ...]
    indices: tuple[int, ...]
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]
    a: Side
    b: Side
    notes: tuple[str, ...]


def align(a: pl.DataFrame, b: pl.DataFrame, attack_id: str | None = None) -> Aligned:
    """Reduce two tables of rows to the images, epsilons and attack that both hold.

    Args:
        a: rows of one architecture, one run or several.
        b: rows of the other.
        attack_id: which attack, where the tables share several.

    Raises:
        InputError: a table holds several architectures, tasks or findings; the tables share no image or no attack, or
            disagree about an image's label or about an epsilon.
    """
    tables = {"a": a, "b": b}
    for name, table in tables.items():
        tables[name] = table = check_rows(table, name, needed=["radius"])
        for noun, columns in ONE_OF.items():
            _one(table, name, columns, noun)
    if a["finding"][0] != b["finding"][0]:
        raise InputError(f"a, b: the same finding is needed, {a['finding'][0]!r} and {b['finding'][0]!r} were given")
    split, notes = _split(a, b)
    attack = _attack(a, b, attack_id)
    once = ["model_id", "epsilon_index", "image_id"]  # the clean rows may also be stored with the attack's id
    predicted = (pl.col("status") == "ok") & pl.col("correct").is_not_null()
    for name, table in tables.items():
        here = table.filter(pl.col("split") == split, pl.col("attack_id").is_in([CLEAN, attack]))
        here = here.unique(once, keep="first", maintain_order=True)
        tables[name] = here.with_columns(survived=survived(), group=group_names(), predicted=predicted)
    epsilons = _epsilons(tables, notes)
    images = _images(tables, list(epsilons), notes)
    first, second = (_side(tables[name], images, epsilons, attack) for name in tables)
    if set(first.seeds) != set(second.seeds):
        listed = [", ".join(map(str, side.seeds)) for side in (first, second)]
        notes.append(f"seeds differ ({listed[0]} vs. {listed[1]}): runs are independent, never paired by seed")
    if len(first.runs) != len(second.runs):
        notes.append(f"{len(first.runs)} vs. {len(second.runs)} runs: each run of a side has the same weight")
    about = a["task"][0], a["finding"][0], split, attack, norm_of(tables["a"])
    labels, groups = images["label"].to_numpy().astype(np.int64), images["group"].to_numpy().astype(str)
    return Aligned(*about, tuple(epsilons.values()), tuple(epsilons), labels, groups, first, second, tuple(notes))


def _one(table: pl.DataFrame, name: str, columns: list[str], noun: str) -> None:
    found = table.select(columns).unique(maintain_order=True).rows()
    if len(found) != 1:
        listed = "; ".join(", ".join(map(str, row)) for row in found[:6]) or "no row"
        remedy = f"filter by {columns}"
        raise InputError(f"{name}: rows of one {noun} are needed, {len(found)} were given ({listed}); {remedy}")


def _split(a: pl.DataFrame, b: pl.DataFrame) -> tuple[str, list[str]]:
    shared = sorted(set(a["split"]) & set(b["split"]))
    if len(shared) == 1:
        return shared[0], []
    if "test" in shared:
        return "test", ["only the test split is compared"]
    remedy = "filter both to one split"
    raise InputError(f"a, b: one split in both tables is needed, {shared or 'none'} is shared; {remedy}")


def _attack(a: pl.DataFrame, b: pl.DataFrame, attack_id: str | None) -> str:
    found = [sorted(set(table["attack_id"]) - {CLEAN}) for table in (a, b)]
    shared = sorted(set(found[0]) & set(found[1]))
    if attack_id is not None:
        if attack_id not in shared:
            raise InputError(f"attack_id: one of {shared} is in both tables, {attack_id!r} was given")
        return attack_id
    if not any(found):
        return CLEAN
    if len(shared) != 1:
        each = f"a: {found[0]}, b: {found[1]}"
        raise InputError(f"attack_id: the tables share {shared or 'no attack'} ({each}); name one that both hold")
    return shared[0]


def _epsilons(tables: dict[str, pl.DataFrame], notes: list[str]) -> dict[int, float]:
    """epsilon_index → epsilon, for those that both tables hold."""
    grids = []
    for name, table in tables.items():
        grid = dict(table.select("epsilon_index", "epsilon").unique().sort("epsilon_index").rows())
        if len(grid) != table.select("epsilon_index", "epsilon").n_unique():
            remedy = "compare one attack's grid at a time"
            raise InputError(f"{name}: one epsilon per epsilon_index is needed, several are given; {remedy}")
        grids.append(grid)
    shared = sorted(grids[0].keys() & grids[1].keys())
    for index in shared:
        if abs(grids[0][index] - grids[1][index]) > 1e-9:
            each = f"{grids[0][index]:.6g} in a and {grids[1][index]:.6g} in b"
            raise InputError(f"a, b: the same epsilons are needed, epsilon index {index} is {each}")
    if not shared:
        raise InputError("a, b: at least one epsilon in both tables is needed, none is shared")
    lost = len(grids[0].keys() ^ grids[1].keys())
    if lost:
        notes.append(f"left out: epsilons in one table only, {lost}")
    return {index: grids[0][index] for index in shared}


def _images(tables: dict[str, pl.DataFrame], indices: list[int], notes: list[str]) -> pl.DataFrame:
    """image_id, label and group of the images with a prediction of every run of both tables at every epsilon, sorted by image_id."""
    present, whole = [], []
    for table in tables.values():
        runs = table["model_id"].n_unique()
        here = table.filter(pl.col("epsilon_index").is_in(indices)).group_by("image_id")
        per_image = here.agg(pl.col("label", "group").first(), pl.col("predicted").sum())
        present.append(per_image)
        whole.append(per_image.filter(pl.col("predicted") == runs * len(indices)))
    shared = present[0].join(present[1], on="image_id", suffix="_b")
    if shared.is_empty():
        held = f"a holds {len(present[0])}, b {len(present[1])}, none is in both"
        raise InputError(f"a, b: results on the same images are needed; {held}; attack both models on one test set")
    other = shared.filter(pl.col("label") != pl.col("label_b"))
    if len(other):
        why = f"{other['image_id'][0]!r} and {len(other) - 1} more have another in b than in a"
        raise InputError(f"a, b: an image has one label, {why}")
    both = whole[0].join(whole[1], on="image_id", how="semi").sort("image_id")
    for name, table in zip(tables, present, strict=True):
        if len(table) > len(shared):
            notes.append(f"left out: images in {name} only, {len(table) - len(shared)}")
    if len(both) < len(shared):
        without = "without a result in some run or at some epsilon (not attacked, failed, or no gradient)"
        notes.append(f"left out of both: images {without}, {len(shared) - len(both)}")
    if both.is_empty():
        remedy = "attack the failed images again"
        raise InputError(f"a, b: no image has a result in every run and at every epsilon of both; {remedy}")
    return both


def _side(table: pl.DataFrame, images: pl.DataFrame, epsilons: dict[int, float], attack: str) -> Side:
    here = table.filter(pl.col("epsilon_index").is_in(list(epsilons))).join(images, on="image_id", how="semi")
    here = here.sort("epsilon_index", "model_id", "image_id")
    runs = tuple(sorted(table["model_id"].unique()))
    correct = here["survived"].to_numpy().reshape(len(epsilons), len(runs), len(images))
    first = table.row(0, named=True)
    name = runs[0] if len(runs) == 1 else runs[0].rsplit("#", 1)[0]
    seeds = tuple(table["seed"].unique().drop_nulls().sort())
    radius = _radius(here.filter(pl.col("attack_id") == attack), correct, np.array(list(epsilons.values())))
    return Side(name, first["backbone"], first["attention"], first["training"], runs, seeds, correct, radius)


def _radius(attacked: pl.DataFrame, correct: NDArray[np.bool_], epsilons: Floats) -> Floats:
    """The radius that the attack found, or where it found none the smallest epsilon at which the image is wrong; (S, N)."""
    fell = np.where(correct.all(0), np.inf, epsilons[np.argmin(correct, axis=0)])
    if not attacked.height:
        return fell
    found = attacked.group_by("model_id", "image_id").agg(pl.col("radius").min()).sort("model_id", "image_id")["radius"]
    known = found.fill_null(np.nan).to_numpy().reshape(fell.shape)
    return np.where(np.isnan(known), fell, known)
