"""What can be compared, as rows: a table, a sweep, or a file that holds either."""

import json
import zipfile
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl

from palpate.core import rows
from palpate.core.errors import InputError


class SweepLike(Protocol):
    """What a sweep is here; `palpate.attacks.result.Sweep` is one."""

    @property
    def radius(self) -> Any: ...
    @property
    def labels(self) -> Any: ...
    @property
    def epsilons(self) -> tuple[float, ...]: ...
    @property
    def status(self) -> tuple[str, ...]: ...
    @property
    def norm(self) -> str: ...
    @property
    def how(self) -> dict[str, Any]: ...


Comparable = pl.DataFrame | SweepLike | str | Path


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
    if not all(hasattr(given, part) for part in ("radius", "labels", "epsilons", "status", "how")):
        raise InputError(
            f"{name} must be rows, a sweep, or a saved file of either (.parquet, .npz), given {type(given).__name__}"
        )
    return _sweep_rows(
        name, np.asarray(given.radius), np.asarray(given.labels), given.epsilons, given.status, given.norm, given.how
    )


def _saved_sweep(path: Path) -> pl.DataFrame:
    try:
        with np.load(path, allow_pickle=False) as file:
            parts = {key: file[key] for key in ("radius", "labels", "epsilons", "status", "norm", "how")}
        how = json.loads(str(parts["how"]))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: is not a saved sweep ({error}); write one with Sweep.save") from None
    epsilons, status = tuple(parts["epsilons"].tolist()), tuple(parts["status"].tolist())
    return _sweep_rows(path.stem, parts["radius"], parts["labels"], epsilons, status, str(parts["norm"]), how)


def _sweep_rows(
    name: str,
    radius: np.ndarray,
    labels: np.ndarray,
    epsilons: tuple[float, ...],
    status: tuple[str, ...],
    norm: str,
    how: dict[str, Any],
) -> pl.DataFrame:
    """A row for each image and epsilon, clean first; images that were never reached are left out."""
    done = np.array([state != "not run" for state in status])
    blind = np.array([state == "no gradient" for state in status])
    failed = np.array([state == "failed" for state in status])
    places, labels = np.flatnonzero(done), labels.reshape(len(radius), -1)[:, 0]
    attack = str(how.get("name", how.get("attack", "attack")))
    tables = []
    for index, epsilon in enumerate((0.0, *epsilons)):
        right = np.where(blind, epsilon == 0, np.nan_to_num(radius, nan=-1.0) > epsilon)[places]
        bad = (failed | blind if index else failed)[places]
        count = len(places)
        columns: dict[str, Any] = dict.fromkeys(rows.SCHEMA, [None] * count) | {
            "task": ["images"] * count,
            "split": ["test"] * count,
            "image_id": [f"{place:06d}" for place in places],
            "group_id": [f"{place:06d}" for place in places],
            "finding": ["class"] * count,
            "label": labels[places],
            "model_id": [name] * count,
            "backbone": [name] * count,
            "attention": ["none"] * count,
            "training": ["not known"] * count,
            "attack_id": [attack if index else "none"] * count,
            "attack": [str(how.get("attack", attack)) if index else "none"] * count,
            "norm": [norm if index else None] * count,
            "epsilon": [epsilon] * count,
            "epsilon_index": [index] * count,
            "inherited": [False] * count,
            "correct": right & ~bad,
            "radius": np.nan_to_num(radius, nan=0.0, posinf=np.inf)[places] if index else [None] * count,
            "status": np.where(bad, "failed", "ok").tolist(),
        }
        tables.append(pl.DataFrame(columns, schema=rows.SCHEMA, strict=False))
    return pl.concat(tables)
