"""What a synthetic run folder holds: random images, rows, samples, maps, histories and verdicts; the numbers mean nothing."""

import numpy as np
import polars as pl

from palpate.core import rows
from palpate.core.records import TaskRecord, VerdictRecord

EPSILONS = (0.00125, 0.0025, 0.005, 0.01, 0.02, 0.04)
ATTACK_ID = "foolbox-pgd-20"


def blobs(rng: np.random.Generator, n: int, size: int, task: str) -> tuple[np.ndarray, np.ndarray]:
    """Blobs on a tinted ground; the blob is the lesion. Returns images (n, 3, H, W) in [0, 1] and masks (n, H, W)."""
    y, x = np.mgrid[:size, :size] / size
    centre = rng.uniform(0.3, 0.7, (n, 2))
    distance = np.hypot(y - centre[:, 0, None, None], x - centre[:, 1, None, None])
    mask = distance < rng.uniform(0.12, 0.24, (n, 1, 1))
    tint = np.array({"skin": [0.85, 0.65, 0.58], "chest": [0.5, 0.5, 0.5]}["chest" if "chest" in task else "skin"])
    sign = np.array([0.45, 0.28, 0.2]) if "skin" in task else np.array([0.15, 0.15, 0.15])
    shade = 0.85 + 0.15 * np.cos(6 * (x + y)) * rng.uniform(0.3, 1, (n, 1, 1))
    soft = 1 / (1 + np.exp((distance - 0.18) * 60))
    images = (
        tint[None, :, None, None] * shade[:, None] * (1 - soft[:, None]) + sign[None, :, None, None] * soft[:, None]
    )
    return np.clip(images + rng.normal(0, 0.02, images.shape), 0, 1).astype(np.float32), mask


def model_rows(rng, task, classes, model, split, labels, strength, attacked) -> pl.DataFrame:
    """Rows of one model: a logit margin per image that falls with epsilon; `strength` is how large it is."""
    n, k = len(labels), len(classes)
    margins = rng.normal(strength, 1.0, n)
    other = (labels + rng.integers(1, k, n)) % k
    records = []
    for index, epsilon in enumerate((0.0, *EPSILONS) if attacked else (0.0,)):
        for i in range(n):
            margin = margins[i] - 90 * epsilon * (0.6 if "full" in model["attention"] else 1)
            logits = np.full(k, -3.0)
            logits[labels[i]], logits[other[i]] = margin / 2, -margin / 2
            records.append(
                {
                    "task": task,
                    "split": split,
                    "image_id": f"{split}_{i:04d}",
                    "group_id": f"g{i // 2}",
                    "finding": task.split("-")[-1],
                    "label": int(labels[i]),
                    **model,
                    "attack_id": ATTACK_ID if index else "none",
                    "attack": "foolbox-pgd" if index else "none",
                    "norm": "linf" if index else None,
                    "target": None,
                    "epsilon": epsilon,
                    "epsilon_index": index,
                    "inherited": False,
                    "logits": logits.tolist(),
                    "prediction": int(logits.argmax()),
                    "correct": bool(logits.argmax() == labels[i]),
                    "margin": float(margin),
                    "radius": None,
                    "linf": epsilon,
                    "in_ball": True,
                    "in_box": True,
                    "survives_rounding": True,
                    "passes_forward": 21 * index,
                    "passes_backward": 20 * index,
                    "status": "ok",
                }
            )
    return pl.DataFrame(records, schema=rows.SCHEMA, strict=True)


def samples(rng, folder, images, masks, labels, classes) -> None:
    """Clean samples and their perturbed versions at every epsilon with their logits, as an attack stage keeps them."""
    n, steps = len(labels), len(EPSILONS)
    fooled = rng.uniform(size=n) * steps
    predictions = np.stack([np.where(fooled < i, (labels + 1) % len(classes), labels) for i in range(steps + 1)])
    noise = rng.choice([-1.0, 1.0], (len(EPSILONS), *images.shape)).astype(np.float32)
    adversarial = np.clip(images + noise * np.array(EPSILONS, np.float32)[:, None, None, None, None], 0, 1)
    np.savez(
        folder / "samples.npz",
        clean=images,
        adversarial=adversarial.astype(np.float32),
        logits=2.0 * np.eye(len(classes), dtype=np.float32)[predictions],
        epsilons=np.array(EPSILONS),
        image_ids=np.array([f"test_{i:04d}" for i in range(len(images))]),
        labels=labels,
        masks=masks,
    )


def explain(rng, folder, attack, task, model_id, masks, labels, empty: bool, method: str) -> None:
    """Maps and their table; the map moves away from the lesion as epsilon grows."""
    n, size, steps = len(masks), masks.shape[-1], len(EPSILONS)
    grid = 4 if size <= 64 else 7
    block = size // grid
    coarse_masks = masks[:, : block * grid, : block * grid].reshape(n, grid, block, grid, block).mean((2, 4))
    clean = np.clip(coarse_masks + rng.uniform(-0.1, 0.2, coarse_masks.shape), 0, None)
    drift = np.linspace(0, 1, steps + 1)[:, None, None, None]
    one = (1 - drift) * clean + drift * rng.uniform(0, 1, (steps + 1, n, grid, grid))
    coarse = np.stack([one, one[..., ::-1]], 1)
    edge = size - block * grid
    maps = np.pad(coarse.repeat(block, -1).repeat(block, -2), [*[(0, 0)] * 3, (0, edge), (0, edge)]).astype(np.float32)
    if empty:
        maps[2:, 0, :3] = 0
    predictions = np.tile(labels, (steps + 1, 1))
    if (attack / "samples.npz").is_file():
        with np.load(attack / "samples.npz") as stored:
            predictions = stored["logits"].argmax(-1)
    np.savez_compressed(folder / "maps.npz", maps=maps, predictions=predictions)
    records = []
    for e, t, i in np.ndindex(steps + 1, 2, n):
        void, target = not maps[e, t, i].any(), ("true", "predicted")[t]
        records.append(
            {
                "task": task,
                "model_id": model_id,
                "method": method,
                "image_id": f"test_{i:04d}",
                "label": int(labels[i]),
                "epsilon": (0.0, *EPSILONS)[e],
                "epsilon_index": int(e),
                "target": target,
                "target_class": int(labels[i] if target == "true" else predictions[e, i]),
                "prediction": int(predictions[e, i]),
                "similarity_clean": None if void else float(1 - 0.12 * e),
                "similarity_previous": None if void or not e else 0.88,
                "mass_in_mask": None if void else 0.5 - 0.04 * e,
                "mask_area": float(masks[i].mean()),
                "empty": bool(void),
            }
        )
    pl.DataFrame(records, infer_schema_length=None).write_parquet(folder / "explanations.parquet")


def history(task: str, model_id: str, seed: int) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "task": task,
                "model_id": model_id,
                "seed": seed,
                "epoch": epoch,
                "train_loss": 1.1 * 0.8**epoch,
                "val_loss": 1.15 * 0.85**epoch + 0.1,
                "val_accuracy": 0.9 - 0.5 * 0.75**epoch,
                "val_balanced_accuracy": 0.85 - 0.5 * 0.75**epoch,
                "learning_rate": 0.01,
                "seconds": 1.0,
                "passes": 100 * epoch,
            }
            for epoch in range(1, 13)
        ]
    )


def task_record(task: str, classes: list[str], n: int, size: int) -> TaskRecord:
    return TaskRecord(
        title=task.replace("phantom-", "Phantom ").capitalize(),
        classes=tuple(classes),
        finding=task.split("-")[-1],
        licence="CC0-1.0",
        cite="made by palpate <phantom>",
        kind="synthetic",
        size=size,
        images={"train": 400, "val": n, "test": n},
        groups={"train": 200, "val": n // 2, "test": n // 2},
        majority_rate=0.5,
        identity="abc123",
        notes=("A phantom: no claim about patients.",),
        epsilons=EPSILONS,
    )


def verdicts() -> list[VerdictRecord]:
    def verdict(name: str, status, figure: float | None, advice: str) -> VerdictRecord:
        threshold = None if name == "sharpness" else 0.01
        return VerdictRecord(
            name=name,
            subject="result",
            status=status,
            figure=figure,
            threshold=threshold,
            unit="share",
            advice=advice,
            source="arXiv 1902.06705",
        )

    return [
        verdict("input range", "pass", 0.0, "Nothing to do."),
        verdict("twice the steps", "fail", 0.05, "Attack with more steps; accuracy still falls."),
        verdict("gradients zero", "warn", 0.002, "Look at the logits: the head may be saturated."),
        verdict("sharpness", "pass", 1.25, "How quickly the loss rises."),
        verdict("sibling transfer", "not run", None, "Give an independently trained model."),
    ]
