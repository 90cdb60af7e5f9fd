"""Large synthetic runs, made of the small one: 12 models on 10,000 images, 30 models under two attacks on three tasks, and 1,000 samples."""

from pathlib import Path

import numpy as np
import polars as pl
from tests.report.conftest import write_run
from tests.runs import seal

from palpate.core import rows
from palpate.report.run_data import read

TWO = ["no", "yes"]


def models(number: int) -> tuple[tuple[str, str], ...]:
    """So many architectures, half of them with attention."""
    return tuple((f"net{place:02d}", attention) for place in range(number // 2) for attention in ("none", "full"))


def many_images(run: Path, n: int = 10_000, number: int = 12) -> Path:
    """A task with `number` models under one attack at six epsilons, n attacked images each."""
    write_run(run, models=models(number), tasks={"phantom-chest": TWO}, weak=(), samples=2)
    rng = np.random.default_rng(0)
    for stage in read(run).complete("predict") + read(run).complete("attack"):
        old = rows.read(stage.folder / "images.parquet")
        radius = rng.lognormal(np.log(0.009), 0.8, n) * (rng.random(n) < 0.9)
        labels, parts = rng.integers(0, 2, n), []
        for (split, index, epsilon, attack_id, attack), part in old.group_by(
            "split", "epsilon_index", "epsilon", "attack_id", "attack", maintain_order=True
        ):
            right = radius > epsilon
            predicted = np.where(right, labels, 1 - labels)
            changed = {
                "split": split, "epsilon_index": index, "epsilon": epsilon, "attack_id": attack_id, "attack": attack,
                "label": labels, "prediction": predicted, "correct": right, "radius": radius if index else None,
                "image_id": [f"{split}_{i:05d}" for i in range(n)], "group_id": [f"{split}{i // 2}" for i in range(n)],
                "logits": (np.eye(2)[predicted] + rng.normal(0, 0.3, (n, 2))).tolist(), "status": "ok",
            }  # fmt: skip
            same = {name: part[name][0] for name in rows.SCHEMA if name not in changed}
            table = pl.DataFrame({"image_id": changed["image_id"]}).with_columns(
                **{
                    name: pl.Series(value) if isinstance(value, list | np.ndarray) else pl.lit(value)
                    for name, value in (same | changed).items()
                }
            )
            parts.append(table.select(list(rows.SCHEMA)).cast(rows.SCHEMA))  # pyright: ignore[reportArgumentType]
        rows.write(pl.concat(parts), stage.folder / "images.parquet")
    seal(run)
    return run


def many_models(run: Path, number: int = 30) -> Path:
    """Three tasks with `number` models under two attacks, 80 attacked images each."""
    tasks = {f"phantom-{name}": TWO for name in ("skin", "fundus", "chest")}
    write_run(run, models=models(number), tasks=tasks, weak=(), samples=4, n=100, verdicts=True)
    for stage in read(run).complete("attack"):
        path = stage.folder / "images.parquet"
        table = rows.read(path)
        attacked = table.filter(pl.col("epsilon_index") > 0)
        other = attacked.with_columns(attack_id=pl.lit("fast"), attack=pl.lit("minimum-norm"))
        rows.write(pl.concat([table, other]), path)
    seal(run)
    return run


def many_samples(run: Path, samples: int = 1000) -> Path:
    """A task with two models and so many sample images."""
    return write_run(run, tasks={"phantom-skin": TWO}, weak=(), samples=samples, n=samples * 5 // 4, size=32)
