"""Each architecture with attention against the same without, on the same images."""

import polars as pl

from palpate.core import formatting
from palpate.core.errors import InputError
from palpate.core.spec import Spec
from palpate.report.stages import ATTACKED, StageTables
from palpate.statistics.comparison import Comparison
from palpate.statistics.leaderboard import ARCHITECTURE
from palpate.statistics.paired import compare

NO_ATTACK = "none"


class Contrast(Spec):
    """An architecture with attention and the same without, on the same images; `comparison` is None where the sentence says why."""

    finding: str
    name: str
    backbone: str
    attention: str
    training: str
    attack_id: str
    sentence: str
    comparison: Comparison | None


def with_attack_id(table: pl.DataFrame) -> pl.DataFrame:
    """Give the clean rows the ids of the attacks on their model, so that each curve starts at the images that were attacked."""
    clean = table.filter(epsilon_index=0).drop("attack_id", "attack")
    attacked = table.filter(pl.col("epsilon_index") > 0)
    images = ["finding", "model_id", "image_id", "split"]
    named = attacked.select(*images, "attack_id", "attack").unique(maintain_order=True)
    return pl.concat([clean.join(named, on=images, nulls_equal=True).select(table.columns), attacked])


def contrasts_of(
    tables: StageTables, task: str, holding: dict[tuple[str, ...], list[str]], signal: dict[str, bool | None]
) -> tuple[Contrast, ...]:
    """Every architecture with attention that the study holds without attention too."""
    names = ("finding", "name", *ARCHITECTURE, "attack_id")
    keys, found = [dict(zip(names, key, strict=True)) for key in holding], []
    for key, models in zip(keys, holding.values(), strict=True):
        same = {name: key[name] for name in ("finding", "backbone", "training", "attack_id")} | {"attention": "none"}
        plain = [held for other, held in zip(keys, holding.values(), strict=True) if same.items() <= other.items()]
        if key["attention"] == "none" or key["attack_id"] == NO_ATTACK or not plain:
            continue
        both = [model for held in plain for model in held], models
        rows = [with_attack_id(tables.attack_rows(task, ATTACKED, held)) for held in both]
        sides = [side.filter(finding=key["finding"]) for side in rows]
        sentence, comparison = _compare(sides, key["attack_id"], signal)
        found.append(Contrast(**key, sentence=sentence, comparison=comparison))
    return tuple(found)


def _compare(
    sides: list[pl.DataFrame], attack_id: str, signal: dict[str, bool | None]
) -> tuple[str, Comparison | None]:
    """Compare the runs with signal; those without are counted in the sentence."""
    silent = sorted({name for side in sides for name in side["model_id"].unique() if signal.get(name) is False})
    kept = [side.filter(~pl.col("model_id").is_in(silent)) for side in sides]
    if not all(len(side) for side in kept):
        return f"not compared: no signal in {', '.join(silent)}, so their robust accuracy has no meaning", None
    try:
        found = compare(*kept, attack_id=attack_id)
    except InputError as error:
        return f"not compared: {error}", None
    left_out = f"; {formatting.plural(len(silent), 'run')} without signal left out" if silent else ""
    return found.sentence + left_out, found
