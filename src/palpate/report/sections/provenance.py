"""Where the numbers of a report come from: data, training, attack, device, versions and hashes, per model; and what failed or is missing.

A number without these cannot be repeated or disputed, so they stand on the page and not in a file beside it.
"""

import json
from typing import Any

import polars as pl

from palpate.core.registry import SECTIONS
from palpate.report.figures import lost_in
from palpate.report.run_data import RunData
from palpate.report.section import Section, ranked, render
from palpate.report.stages import Stage


@SECTIONS.register("provenance")
@ranked(90)
def section(data: RunData) -> Section:
    """Versions, one folded list per model, and every stage that is not complete."""
    titles = {task: found.title for task, found in data.results.tasks.items()}
    tasks = [(title, {one: facts(data, task, one) for one in data.models(task)}) for task, title in titles.items()]
    absent, problems = [stage for stage in data.stages if stage.state != "complete"], data.problems
    html = render("provenance.html", software=data.made_with(), tasks=tasks, absent=absent, problems=problems)
    return Section("Provenance", html, "Provenance")


def facts(data: RunData, task: str, model: str) -> list[tuple[str, str]]:
    """What the numbers of one model of one task depend on, as names and texts."""
    found: list[tuple[str, str]] = []
    for stage in data.complete("train", task, model):
        spec = stage.spec
        found += [(name, _settings(spec[name])) for name in ("model", "training", "seed") if spec.get(name) is not None]
        found += [("trained", _settings(stage.facts))] if stage.facts else []
        found += [("weights, SHA-256", stage.weights)] if stage.weights else []
    for stage in data.complete("attack", task, model):
        found += _attack(data, stage)
    for stage in data.complete("explain", task, model):
        found.append(("maps", _settings(stage.spec | stage.facts)))
    stages = [stage for kind in ("train", "predict", "attack") for stage in data.of(kind, task, model)]
    found.append(("stages", ", ".join(f"{stage.id} ({stage.state})" for stage in stages)))
    return found


def _attack(data: RunData, stage: Stage) -> list[tuple[str, str]]:
    """Settings of an attack, the passes it spent, and the examination of its images."""
    spec = stage.spec
    found = [("attack", _settings(spec.get("attack", spec)))]
    passes, limits = ("passes_forward", "passes_backward"), ("in_ball", "in_box")
    columns = ("image_id", "epsilon_index", "correct", *passes, *limits, "survives_rounding")
    attacked = data.attack_rows_of(stage, columns).filter(pl.col("epsilon_index") > 0)
    if not len(attacked):
        return found
    forward, backward = attacked.group_by("image_id").agg(pl.col(passes).max()).mean().select(passes).row(0)
    found.append(("passes per image", f"{forward:.0f} forward, {backward:.0f} backward, for all epsilons together"))
    outside = [attacked.filter(~pl.col(name)).height for name in limits]
    examined = f"of {len(attacked)} examined, {outside[0]} outside their ball and {outside[1]} outside [0, 1]"
    found.append(("attacked images", examined))
    rounded = attacked.filter(~pl.col("correct"))["survives_rounding"].drop_nulls()
    if len(rounded):
        file = f"in {lost_in(data.results.tasks[stage.task].scale)}"
        found.append((file, f"{int(rounded.sum())} of {len(rounded)} misclassified images stay so after rounding"))
    return found


def _settings(value: Any) -> str:
    """Settings on one line; what is unset is left out."""
    if not isinstance(value, dict):
        return value if isinstance(value, str) else json.dumps(value)
    kept = {name: item for name, item in value.items() if item is not None}
    return ", ".join(f"{name} {_plain(item)}" for name, item in kept.items())


def _plain(item: Any) -> str:
    return _settings(item) if isinstance(item, dict) else f"{item:.6g}" if isinstance(item, float) else str(item)
