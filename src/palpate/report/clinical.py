"""What a clinic asks of a two-class model: which way it errs as epsilon grows, and how it stands at a threshold fixed beforehand.

One accuracy mixes missed disease with false alarms, which harm differently. All figures are those of `palpate.statistics.clinical`.
"""

import dataclasses
from typing import Any

import polars as pl

from palpate.report import wording as words
from palpate.report.load import Material
from palpate.statistics.clinical import directed_curves, operating_points


@dataclasses.dataclass(frozen=True)
class Bedside:
    """The tables of one two-class task; cells are a text and the text below it."""

    operating: tuple[tuple[str, tuple[tuple[str, str], ...], str], ...]  # model, AUROC … calibration error, note
    directed: tuple[
        tuple[str, str, int, tuple[tuple[str, str], ...]], ...
    ]  # model and attack, error, n, rate per epsilon
    epsilons: tuple[float, ...]  # columns of `directed`, 0 first


def bedside(material: Material, task: str) -> Bedside | None:
    """The tables of a task, or None where it has not two classes or no model has been predicted yet."""
    predictions = material.predictions.filter(task=task)
    if len(material.tasks[task]["classes"]) != 2 or not len(predictions):
        return None
    silent = {line.model_id for line in material.lines if line.task == task and line.reference.signal is False}
    points = operating_points(predictions)
    operating = tuple(
        (row["model_id"], tuple(_with_interval(row, name, row["n"]) for name in FIGURES), row["note"])
        for row in points.iter_rows(named=True)
    )
    attacked = material.attack_rows(task)
    directed = directed_curves(attacked) if len(attacked) else pl.DataFrame()
    directed = directed.filter(~pl.col("model_id").is_in(list(silent))) if len(directed) else directed
    if not len(directed):
        return Bedside(operating, (), ())
    return Bedside(operating, tuple(_directed(directed)), tuple(sorted(directed["epsilon"].unique())))


FIGURES = ("auroc", "sensitivity", "specificity", "brier", "calibration_error")


def _directed(table: pl.DataFrame) -> list[tuple[str, str, int, tuple[tuple[str, str], ...]]]:
    """A line per model, attack and kind of error, missed disease first; the clean rate stands first in each."""
    clean = table.filter(epsilon_index=0)
    epsilons = sorted(table["epsilon"].unique())
    attacked = table.filter(pl.col("epsilon_index") > 0)
    keys = attacked.select("model_id", "attack_id", "error", "label").unique(maintain_order=True)
    found = []
    for model, attack, error, label in keys.sort("model_id", "attack_id", pl.col("label").neg()).iter_rows():
        mine = pl.concat(
            [
                clean.filter(model_id=model, label=label).unique("epsilon_index"),
                attacked.filter(model_id=model, attack_id=attack, label=label),
            ]
        )
        rows = {row["epsilon"]: row for row in mine.iter_rows(named=True)}
        cells = tuple(_rate(rows.get(epsilon)) for epsilon in epsilons)
        found.append((f"{model} under {attack}", error, mine["n"].max(), cells))
    return found


def _rate(row: dict[str, Any] | None) -> tuple[str, str]:
    if row is None or row["rate"] is None:
        return "–", ""
    return words.share(row["rate"], row["n"]), words.interval(row["low"], row["high"], row["n"])


def _with_interval(row: dict[str, Any], name: str, n: int) -> tuple[str, str]:
    """AUROC and calibration as decimals, shares in percent."""
    value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    if value is None:
        return "–", ""
    if name in ("sensitivity", "specificity"):
        return words.share(value, n), words.interval(low, high, n)
    return f"{value:.2f}", "" if low is None or high is None else f"[{low:.2f}, {high:.2f}]"
