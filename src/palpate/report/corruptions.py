"""The numbers of a task's corruptions: for each the models by median severity, and whether an attack's radius predicts the severity."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import spearmanr

from palpate.core.grouping import grouped
from palpate.core.spec import Spec
from palpate.report.contrasts import with_attack_id
from palpate.report.stages import ATTACKED, StageTables
from palpate.statistics.clinical import directed_curves
from palpate.statistics.correlation import rank_correlation
from palpate.statistics.curves import group_names
from palpate.statistics.leaderboard import Leaderboard, leaderboard


class Correlation(Spec):
    """Spearman's ρ of radius and severity over the images that a model classifies correctly; "all models" is the mean over models."""

    model_id: str
    value: float
    low: float
    high: float
    images: float


class CorruptionResults(Spec):
    """One corruption of a task.

    Attributes:
        name, unit, modality, source: of the corruption.   largest: the end of its range.
        identity, direction, parameter: the published parameter is identity + direction · severity.
        anchors: levels of published benchmarks, as severities.
        leaderboard: its models; radii and epsilons are severities.
        several_crossings: of each model_id, images whose class changed more than once as severity rose.
        correlations: with the radius of the attack `attack_id`; empty where there is none.
        between_models: Spearman's ρ of the models' median radius and median severity; None below four models.
    """

    name: str
    unit: str
    modality: str
    source: str
    largest: float
    identity: float
    direction: int
    parameter: str
    anchors: dict[str, tuple[float, ...]]
    leaderboard: Leaderboard
    several_crossings: dict[str, int]
    attack_id: str | None
    correlations: tuple[Correlation, ...]
    between_models: float | None

    def published(self, severity: float) -> float:
        """The parameter as the literature writes it."""
        return self.identity + self.direction * severity


FACTS = ("unit", "modality", "source", "largest", "identity", "direction", "parameter", "anchors")


def corruption_results(
    tables: StageTables, task: str, signal: Mapping[str, bool | None]
) -> tuple[tuple[CorruptionResults, ...], tuple[dict[str, Any], ...]]:
    """What the run holds of each corruption, in the study's order, and the errors of both kinds of tasks of two classes.

    Args:
        tables: of the run.
        task: its name.
        signal: of each model_id, whether its clean balanced accuracy lies above chance.
    """
    corrupted = with_attack_id(tables.corruption_rows(task, ATTACKED))
    if corrupted.is_empty():
        return (), ()
    radii = _radii(tables.attack_rows(task, ATTACKED))
    stages = grouped((one.facts["attack_id"], one) for one in tables.complete("corrupt", task) if one.facts)
    found = []
    for attack_id, made in stages.items():
        part = corrupted.filter(attack_id=attack_id)
        if part.is_empty():
            continue
        about: dict[str, Any] = {name: made[0].facts[name] for name in FACTS} | {"name": attack_id}
        about["several_crossings"] = {stage.model_id: stage.facts["several_crossings"] for stage in made}
        about["attack_id"] = None if radii is None else radii["attack_id"][0]
        about["correlations"], about["between_models"] = _correlations(radii, part)
        found.append(CorruptionResults(**about, leaderboard=leaderboard(part, signal)))
    two = len(tables.study.tasks[task].classes) == 2
    return tuple(found), tuple(directed_curves(corrupted, classes=2).to_dicts()) if two else ()


def _radii(attacked: pl.DataFrame) -> pl.DataFrame | None:
    """Model, image, group and radius, of the first l∞ attack that finds radii; None where there is none."""
    first = attacked.filter(pl.col("epsilon_index") == 1, pl.col("norm") == "linf", pl.col("radius").is_not_null())
    if first.is_empty():
        return None
    chosen = first.filter(attack_id=first["attack_id"][0])
    return chosen.select("model_id", "image_id", "radius", "attack_id", group=group_names())


def _correlations(radii: pl.DataFrame | None, corrupted: pl.DataFrame) -> tuple[tuple[Correlation, ...], float | None]:
    if radii is None:
        return (), None
    severities = corrupted.filter(epsilon_index=1).select("model_id", "image_id", severity="radius")
    both = radii.join(severities, on=["model_id", "image_id"]).filter(pl.col("severity").is_not_null())
    models = both["model_id"].unique(maintain_order=True).to_list()
    if not models:
        return (), None
    values: dict[str, np.ndarray] = {}
    images = both.select("image_id", "group").unique("image_id").sort("image_id")
    for name in ("radius", "severity"):
        parts = [images.join(both.filter(model_id=model), on="image_id", how="left")[name] for model in models]
        values[name] = np.stack([part.cast(pl.Float64).fill_null(np.nan).to_numpy() for part in parts])
    known = (values["radius"] > 0) & (values["severity"] > 0)  # right when clean; a NaN is not above 0
    groups = images["group"].rank("dense").to_numpy()
    sides = values["radius"], values["severity"]
    each = zip(models, *sides, known, strict=True)
    every = [(model, rank_correlation(first, second, seen, groups)) for model, first, second, seen in each]
    if len(models) > 1:
        every.append(("all models", rank_correlation(*sides, known, groups)))
    medians = [[_median(row[seen]) for row, seen in zip(side, known, strict=True)] for side in sides]
    found = tuple(Correlation(model_id=model, **dataclasses.asdict(one)) for model, one in every if one)
    return found, _between(medians)


def _median(values: np.ndarray) -> float:
    """The middle value, one that occurs, since some may be infinite; NaN of none."""
    return float(np.sort(values)[(len(values) - 1) // 2]) if len(values) else float("nan")


def _between(medians: list[list[float]]) -> float | None:
    kept = np.array(medians)[:, ~np.isnan(medians).any(0)]
    if kept.shape[1] < 4 or any(len(np.unique(row)) < 2 for row in kept):
        return None
    return float(spearmanr(*kept)[0])  # pyright: ignore[reportArgumentType]  # it ranks, so that infinite values are the largest


def severity_text(found: CorruptionResults, value: float | None) -> str:
    """A severity in the published parameter, where there is one; "" where there is none."""
    return "" if value is None or not found.parameter else f"{found.parameter} {found.published(value):.3g}"
