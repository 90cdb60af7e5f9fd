"""What can be compared, as rows: a table, a sweep, or a file that holds either."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from palpate.core import rows
from palpate.core.errors import InputError

Comparable = pl.DataFrame | str | Path | Any
"""Rows, a file of rows or of a sweep, the folder of a stage, or a sweep (`palpate.attacks.result.Sweep`, which needs torch)."""

PARTS = ("radius", "labels", "epsilons", "status", "norm", "how")
"""What a sweep is here."""


def read_rows(given: Comparable, name: str) -> pl.DataFrame:
    """Rows (`palpate.core.rows.SCHEMA`) of a table, of a sweep, of a saved file of either (.parquet, .npz), or of the folder of a stage.

    The images of a sweep are told apart by their place, and each is its own group.

    Args:
        given: what to compare.
        name: of the argument, for messages; a sweep's model is called so, that of a file by the file's name.

    Raises:
        InputError: none of these, or a file that cannot be read.
    """
    if isinstance(given, pl.DataFrame):
        return given
    if isinstance(given, str | Path):
        path = Path(given)
        if path.suffix == ".npz":
            return _saved_sweep(path)
        if path.is_dir() and not (path / "images.parquet").is_file():
            found = sorted(str(each.parent) for each in path.glob("attack-*/images.parquet"))
            listed = f"; this run has {', '.join(found)}" if found else ""
            raise InputError(f"{path}: holds no images.parquet; give the folder of one attack stage{listed}")
        return rows.read(path / "images.parquet" if path.is_dir() else path)
    if not all(hasattr(given, part) for part in PARTS):
        fault = f"{name} must be rows, a sweep, or a saved file of either (.parquet, .npz)"
        raise InputError(f"{fault}, given {type(given).__name__}")
    return _sweep_rows(name, {part: getattr(given, part) for part in PARTS})


def _saved_sweep(path: Path) -> pl.DataFrame:
    try:
        with np.load(path, allow_pickle=False) as file:
            parts = {part: file[part] for part in PARTS}
        return _sweep_rows(path.stem, parts | {"how": json.loads(str(parts["how"])), "norm": str(parts["norm"])})
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: is not a saved sweep ({error}); write one with Sweep.save") from None


def _sweep_rows(name: str, sweep: dict[str, Any]) -> pl.DataFrame:
    """A row for each image and epsilon, clean first; images that were never reached are left out."""
    radius, status, how = np.asarray(sweep["radius"]), np.asarray(sweep["status"]), sweep["how"]
    blind = status == "no gradient"
    places = np.flatnonzero(status != "not run")
    attack = str(how.get("name", how.get("attack", "attack")))
    labels = np.asarray(sweep["labels"]).reshape(len(radius), -1)[places, 0]
    ids = [f"{place:06d}" for place in places]
    same = {"task": "images", "split": "test", "finding": "class", "model_id": name, "backbone": name}
    same |= {"attention": "none", "training": "not known", "inherited": False}
    tables = []
    for index, epsilon in enumerate((0.0, *np.asarray(sweep["epsilons"]).tolist())):
        bad = (status == "failed") | (blind & (index > 0))
        right = np.where(blind, index == 0, np.nan_to_num(radius, nan=-1.0) > epsilon) & ~bad
        about: dict[str, Any] = same | {"epsilon": epsilon, "epsilon_index": index}
        about |= {"attack_id": "none", "attack": "none"}
        columns: dict[str, Any] = {"image_id": ids, "group_id": ids, "label": labels, "correct": right[places]}
        columns["status"] = np.where(bad, "failed", "ok")[places]
        if index:
            about |= {"attack_id": attack, "attack": str(how.get("attack", attack)), "norm": sweep["norm"]}
            columns["radius"] = np.nan_to_num(radius, nan=0.0, posinf=np.inf)[places]
        constant = [pl.lit(value).alias(key) for key, value in about.items()]
        absent = [pl.lit(None).alias(key) for key in rows.SCHEMA if key not in about and key not in columns]
        table = pl.DataFrame(columns).with_columns(*constant, *absent)
        tables.append(table.select(list(rows.SCHEMA)).cast(rows.SCHEMA))  # pyright: ignore[reportArgumentType]
    return pl.concat(tables)
