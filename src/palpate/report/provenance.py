"""Where the figures of a report come from: data, training, attack, device, versions and hashes, per model.

A figure without these cannot be repeated or disputed, so they stand on the page and not in a file beside it.
"""

import dataclasses
import json
from typing import Any

import polars as pl

from palpate.report.load import Cell, Material


@dataclasses.dataclass(frozen=True)
class Origin:
    """What one model of one task rests on, as names and texts."""

    task: str
    model_id: str
    facts: tuple[tuple[str, str], ...]


def origins(material: Material) -> list[Origin]:
    """One entry per task and model, in the study's order."""
    return [
        Origin(task, model, tuple(_facts(material, task, model)))
        for task in material.tasks
        for model in material.models(task)
    ]


def software(material: Material) -> list[tuple[str, str]]:
    """Devices, versions and commits of all complete cells; several values mean that cells were made differently."""
    records = [cell.record for cell in material.cells if cell.record]
    names = list(dict.fromkeys(name for record in records for name in record.get("versions", {})))
    found = [(name, _values(record.get("versions", {}).get(name) for record in records)) for name in names]
    found.append(("device", _values(record.get("device") for record in records)))
    found.append(("commit", _values(record.get("commit") for record in records)))
    return [(name, value) for name, value in found if value]


def _facts(material: Material, task: str, model: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for cell in material.complete("train", task, model):
        spec = cell.record.get("spec", {})
        found += [(name, _settings(spec[name])) for name in ("model", "training", "seed") if spec.get(name) is not None]
        found += [("trained", _settings(cell.record.get("facts", {})))] if cell.record.get("facts") else []
        weights = cell.record.get("checksums", {}).get("weights.safetensors")
        found += [("weights, SHA-256", weights)] if weights else []
    for cell in material.complete("attack", task, model):
        found += _attack(material, cell)
    for cell in material.complete("explain", task, model):
        found.append(("Grad-CAM", _settings(cell.record.get("spec", {}))))
    cells = material.of("train", task, model) + material.of("predict", task, model) + material.of("attack", task, model)
    found.append(("cells", ", ".join(f"{cell.id} ({cell.state})" for cell in cells)))
    return found


def _attack(material: Material, cell: Cell) -> list[tuple[str, str]]:
    """Settings of an attack, what it cost, and what the audit of its images found."""
    spec = cell.record.get("spec", {})
    found = [("attack", _settings(spec.get("attack", spec)))]
    rows = material.attacks.get(cell.id)
    attacked = rows.filter(pl.col("epsilon_index") > 0) if rows is not None else pl.DataFrame()
    if not len(attacked):
        return found
    passes = attacked.group_by("image_id").agg(pl.col("passes_forward", "passes_backward").max()).mean()
    forward, backward = passes["passes_forward"].item(), passes["passes_backward"].item()
    found.append(("passes per image", f"{forward:.0f} forward, {backward:.0f} backward, for all epsilons together"))
    outside = [attacked.filter(~pl.col(name)).height for name in ("in_ball", "in_box")]
    audit = f"of {len(attacked)} looked at again, {outside[0]} outside their ball and {outside[1]} outside [0, 1]"
    found.append(("attacked images", audit))
    rounded = attacked.filter(~pl.col("correct"))["survives_8bit"].drop_nulls()
    if len(rounded):
        found.append(
            ("in an 8-bit file", f"{int(rounded.sum())} of {len(rounded)} that fool still fool after rounding")
        )
    return found


def _settings(value: Any) -> str:
    """Settings on one line; what is unset is left out."""
    if not isinstance(value, dict):
        return value if isinstance(value, str) else json.dumps(value)
    kept = {name: item for name, item in value.items() if item is not None}
    return ", ".join(
        f"{name} {_settings(item) if isinstance(item, dict) else _plain(item)}" for name, item in kept.items()
    )


def _plain(item: Any) -> str:
    return f"{item:.6g}" if isinstance(item, float) else str(item)


def _values(values: Any) -> str:
    return ", ".join(dict.fromkeys(str(value) for value in values if value))
