"""Small tables of rows with a known truth."""

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from palpate.core import rows


def _make(
    correct,
    labels,
    *,
    groups=None,
    backbone="resnet18",
    attention="none",
    seed=0,
    epsilons=(1 / 255, 2 / 255),
    failed=(),
    split="test",
    margins=None,
    task="phantom",
) -> pl.DataFrame:
    """Rows of one model: `correct` is (E + 1, N) with the clean prediction first; `failed` holds (epsilon_index, image)."""
    correct, labels = np.asarray(correct, bool), np.asarray(labels, int)
    falls = np.where(correct.all(0), len(epsilons) + 1, np.argmin(correct, axis=0))
    radii = np.array([0.0, *epsilons, np.inf])[falls]
    count = int(labels.max()) + 1 if len(labels) else 2
    records = []
    for index, epsilon in enumerate([0.0, *epsilons]):
        for image, label in enumerate(labels):
            right, lost = bool(correct[index, image]), (index, image) in failed
            margin = (1.0 if right else -1.0) if margins is None else float(margins[index, image])
            said = int(label) if right else (int(label) + 1) % max(count, 2)
            logits = np.zeros(max(count, 2))
            logits[said] = abs(margin)
            record = dict.fromkeys(rows.SCHEMA) | {
                "task": task,
                "split": split,
                "image_id": f"i{image:04d}",
                "group_id": None if groups is None else f"g{groups[image]}",
                "finding": "lesion",
                "label": int(label),
                "model_id": f"{backbone}{'' if attention == 'none' else '+' + attention}#{seed}",
                "backbone": backbone,
                "attention": attention,
                "training": "standard",
                "seed": seed,
                "attack_id": "none" if index == 0 else "sweep",
                "attack": "none" if index == 0 else "sweep",
                "norm": "linf" if index else None,
                "epsilon": epsilon,
                "epsilon_index": index,
                "status": "failed" if lost else "ok",
            }
            if not lost:
                record |= {"prediction": said, "correct": right, "margin": margin, "logits": logits.tolist()}
                record |= {"radius": float(radii[image])}
            records.append(record)
    return pl.DataFrame(records, schema=rows.SCHEMA, strict=True)


@pytest.fixture
def make_rows() -> Callable[..., pl.DataFrame]:
    return _make
