"""The methods of the run as text that can be pasted into an article, with the sources it cites as BibTeX."""

import re
from collections.abc import Iterable
from typing import Any

from palpate.core import formatting
from palpate.core.io import facts_beside
from palpate.core.registry import SECTIONS
from palpate.report.run_data import RunData
from palpate.report.section import Section, ranked, render, source, text
from palpate.report.stages import MADE_ON, Stage

NAMES = facts_beside(__file__, "methods.toml")
ATTACKS, MAPS = NAMES["attacks"], NAMES["maps"]


@SECTIONS.register("methods")
@ranked(95)
def section(data: RunData) -> Section:
    """Two texts, each with a button that copies it; both also lie beside the page as methods.md and references.bib."""
    paragraphs = methods(data)
    html = render("methods.html", paragraphs=paragraphs, bibtex=cited(paragraphs))
    return Section("Methods, to be pasted", html, "Methods")


def methods(data: RunData) -> list[str]:
    """Paragraphs of the methods, sources in brackets by their BibTeX key; only what the run holds is stated."""
    trained, made_with = data.complete("train"), data.made_with()
    attentive = [stage for stage in trained if "+" in stage.model_id.partition("#")[0]]
    checks = [verdict.name for one in data.results.checks for verdict in one.verdicts if verdict.status != "not run"]
    whole = text(
        "methods.md",
        tasks=data.study.tasks.values(),
        models=dict.fromkeys(re.sub(r"#\d+$", "", stage.model_id) for stage in trained),
        seeds=len({stage.model_id.rpartition("#")[2] for stage in trained}),
        training=_settings(_common([stage.spec.get("training") or {} for stage in trained])),
        attention=any("attention" in str(stage.spec.get("model", "")) for stage in attentive),
        attacks=dict.fromkeys(_attack(data, stage) for stage in data.complete("attack")),
        maps=dict.fromkeys(MAPS.get(stage.map_method, stage.map_method) for stage in data.complete("explain")),
        checks=dict.fromkeys(checks),
        contrasts=any(found.contrasts for found in data.results.tasks.values()),
        version=data.study.palpate,
        packages=[f"{name} {found[-1]}" for name, found in made_with.items() if name not in ("palpate", *MADE_ON)],
        devices=made_with.get("device", ()),
    )
    return [part.strip() for part in whole.split("\n\n") if part.strip()]


def cited(paragraphs: Iterable[str]) -> str:
    """The BibTeX entries that the paragraphs cite, in the order of the file."""
    keys = set(re.findall(r"[a-z]+\d{4}|palpate", " ".join(re.findall(r"\[([^\]]*)\]", " ".join(paragraphs)))))
    entries = re.split(r"\n(?=@)", source("references.bib").strip())
    return "\n".join(entry.strip() + "\n" for entry in entries if entry.partition("{")[2].partition(",")[0] in keys)


def _attack(data: RunData, stage: Stage) -> tuple[str, str, str, str]:
    """The kind of an attack, what it is, its settings and its epsilons."""
    settings = dict(stage.spec.get("attack", {}))
    kind, norm = settings.pop("attack", ""), settings.get("norm", "linf")
    with formatting.native(data.results.tasks[stage.task].scale):
        epsilons = ", ".join(formatting.epsilon(value, norm) for value in stage.spec.get("epsilons", ()))
    return kind, ATTACKS.get(kind, f"the attack {kind}"), _settings(settings), epsilons


def _common(specs: list[dict[str, Any]]) -> dict[str, Any]:
    """The settings that all have alike."""
    first = specs[0] if specs else {}
    return {name: value for name, value in first.items() if all(one.get(name) == value for one in specs)}


def _settings(values: dict[str, Any]) -> str:
    """Settings on one line; tables within them are left out."""
    shown = {name: value for name, value in values.items() if isinstance(value, str | int | float)}
    return ", ".join(f"{name} {value}" for name, value in shown.items() if not isinstance(value, bool))
