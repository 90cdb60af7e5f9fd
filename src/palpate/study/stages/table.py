"""Tensors in, rows out: the one place that fills the row of `palpate.core.rows`."""

import dataclasses
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from palpate.attacks.losses import margin
from palpate.core import rows
from palpate.data.dataset import Split


@dataclasses.dataclass(frozen=True)
class Condition:
    """One attack at one epsilon, and what it left of each image; arrays are (n,), absent means not applicable."""

    attack_id: str
    attack: str
    epsilon: float
    epsilon_index: int
    logits: Tensor  # (n, K), re-predicted
    inherited: np.ndarray | None = None
    radius: np.ndarray | None = None
    linf: np.ndarray | None = None
    in_ball: np.ndarray | None = None
    in_box: np.ndarray | None = None
    survives_8bit: list[bool | None] | None = None
    passes_forward: np.ndarray | int = 1
    passes_backward: np.ndarray | int = 0
    failed: np.ndarray | None = None


def clean(logits: Tensor) -> Condition:
    """The clean prediction as a condition: epsilon 0, nothing attacked."""
    return Condition("none", "none", 0.0, 0, logits)


def make_rows(keys: dict[str, Any], split: Split, place: slice, condition: Condition) -> pl.DataFrame:
    """Fill one row per image.

    Args:
        keys: the columns that are the same for all images.
        split: where the images come from.
        place: which of its images, n of them.
        condition: what was done to them and what came out.
    """
    labels = torch.as_tensor(np.asarray(split.labels)[place], dtype=torch.long)
    n, logits = len(labels), condition.logits.double()
    prediction = logits.argmax(1)
    failed = condition.failed if condition.failed is not None else np.zeros(n, bool)
    columns: dict[str, Any] = {name: [value] * n for name, value in keys.items()}
    columns |= {
        "image_id": np.asarray(split.ids)[place].tolist(),
        "group_id": np.asarray(split.groups)[place].tolist(),
        "label": labels.tolist(),
        "attack_id": [condition.attack_id] * n,
        "attack": [condition.attack] * n,
        "epsilon": [condition.epsilon] * n,
        "epsilon_index": [condition.epsilon_index] * n,
        "inherited": _or(condition.inherited, [False] * n),
        "logits": logits.tolist(),
        "prediction": prediction.tolist(),
        "correct": ((prediction == labels) & ~torch.from_numpy(failed)).tolist(),
        "margin": (-margin(logits, labels)).tolist(),
        "radius": _or(condition.radius, [None] * n),
        "linf": _or(condition.linf, [0.0] * n),
        "in_ball": _or(condition.in_ball, [True] * n),
        "in_box": _or(condition.in_box, [True] * n),
        "survives_8bit": condition.survives_8bit or [None] * n,
        "passes_forward": np.broadcast_to(condition.passes_forward, n).tolist(),
        "passes_backward": np.broadcast_to(condition.passes_backward, n).tolist(),
        "status": ["failed" if bad else "ok" for bad in failed],
    }
    return pl.DataFrame({name: columns[name] for name in rows.SCHEMA}, schema=rows.SCHEMA, strict=True)


def _or(values: np.ndarray | None, default: list) -> list:
    return default if values is None else values.tolist()
