"""One self-contained HTML page from a run folder: every script, style, figure and picture inside, nothing fetched.

A content policy in the page forbids the network, so a report can be mailed, archived and opened years later. What a
partly complete run lacks is said at its place.
"""

import base64
import dataclasses
import json
import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import polars as pl
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from palpate import __version__
from palpate.report import agreement, checks, comparisons, figures, provenance, samples, tables
from palpate.report import clinical as bedside
from palpate.report import wording as words
from palpate.report.load import Line, Material, read

PICTURE_BYTES = 7_000_000
"""What all sample pictures of a page may take; with Plotly's 4.8 MB the page stays under 15 MB."""


@dataclasses.dataclass(frozen=True)
class Plot:
    """A Plotly figure and what to say where it cannot be seen."""

    name: str  # unique in the page
    json: str
    alt: str


@dataclasses.dataclass(frozen=True)
class Block:
    """One curve with its table: a task, a finding and an attack."""

    heading: str
    lines: tuple[Line, ...]
    epsilons: tuple[float, ...]
    answers: tuple[words.Answer, ...]
    plot: Plot | None
    csv: str  # data URI
    file: str  # its name when saved


@dataclasses.dataclass(frozen=True)
class Agreement:
    """One agreement table."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[agreement.Row, ...]
    percent: bool


@dataclasses.dataclass(frozen=True)
class Section:
    """Everything about one task."""

    name: str
    facts: Mapping[str, Any]  # the task in study.json
    blocks: tuple[Block, ...]
    contrasts: tuple[comparisons.Contrast, ...]
    bedside: bedside.Bedside | None
    examples: tuple[tuple[str, tuple[samples.Example, ...]], ...]  # model, examples
    panels: str  # JSON, "" where nothing was explained
    panels_note: str
    agreements: tuple[Agreement, ...]
    histories: tuple[tuple[str, Plot], ...]
    gaps: tuple[str, ...]  # what is missing


def write_report(run: Path, out: Path | None = None) -> Path:
    """Write the report of a run, whole or not at all.

    Args:
        run: the run folder; it may be partly complete.
        out: the page; RUN/report.html when absent.

    Returns:
        The page's path.

    Raises:
        InputError: `run` is no run folder.
    """
    material = read(Path(run))
    target = Path(out) if out is not None else material.path / "report.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    draft.write_text(render(material), encoding="utf-8")
    draft.replace(target)
    return target


def render(material: Material) -> str:
    """The page as text."""
    pairs = comparisons.contrasts(material)
    found = [section(material, task, pairs) for task in material.tasks]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("palpate.report.page", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"words": words, "points": comparisons.points, "amount": checks.amount}
    environment.filters |= {"breakable": breakable, "sentence": words.sentence}
    files = resources.files("palpate.report.page")
    return environment.get_template("template.html").render(
        name=material.study["name"],
        title=material.study.get("title") or material.study["name"],
        created=material.study.get("created", "")[:10],
        version=material.study.get("palpate") or __version__,
        counts={state: sum(c.state == state for c in material.cells) for state in ("complete", "failed", "missing")},
        cells=material.cells,
        sections=found,
        checks=checks.checks(material),
        origins=provenance.origins(material),
        software=provenance.software(material),
        problems=material.problems,
        style=Markup(files.joinpath("style.css").read_text(encoding="utf-8")),
        script=Markup(files.joinpath("script.js").read_text(encoding="utf-8")),
        plotly=Markup(get_plotlyjs().replace("</script", "<\\/script")),
    )


def section(material: Material, task: str, pairs: list[comparisons.Contrast]) -> Section:
    """Gather all there is about one task; `pairs` are the contrasts of all tasks."""
    look = figures.looks(list(dict.fromkeys(cell.model_id for cell in material.cells if cell.model_id)))
    facts = {"title": task, "groups": None, "notes": [], "identity": "", "kind": "real"} | material.tasks[task]
    found, problems = samples.load(material, task)
    panel = samples.panels(found, facts["classes"], PICTURE_BYTES // max(1, len(material.tasks)))
    history = material.history.filter(task=task) if len(material.history) else material.history
    histories = figures.history_figures(history, look) if len(history) else []
    return Section(
        name=task,
        facts=facts,
        blocks=tuple(
            _block(lines, look, f"{task}-{number}")
            for number, (_, lines) in enumerate(tables.blocks(material))
            if lines[0].task == task
        ),
        contrasts=tuple(one for one in pairs if one.task == task),
        bedside=bedside.bedside(material, task),
        examples=tuple((one.model_id, tuple(samples.examples(one, facts["classes"]))) for one in found),
        panels=script_json(panel[0]) if panel else "",
        panels_note=panel[1] if panel else "",
        agreements=tuple(_agreements(material, task, found)),
        histories=tuple(
            (title, Plot(f"history-{task}-{number}", script_json(json.loads(figure)), f"{title}, per epoch and model."))
            for number, (title, figure) in enumerate(histories)
        ),
        gaps=(*_gaps(material, task), *problems),
    )


def script_json(value: Any) -> Markup:
    """JSON that is safe inside a script element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def breakable(name: str) -> Markup:
    """A model's name that a narrow table may break where its parts meet.

    >>> breakable("resnet18+full#0")
    Markup('resnet18+<wbr>full#0')
    """
    return Markup(str(escape(name)).replace("+", "+<wbr>"))


def _block(lines: list[Line], look: dict[str, figures.Look], name: str) -> Block:
    answers = tuple(words.answer(line) for line in lines)
    plot = None
    if any(line.attacked for line in lines):
        alt = f"Accuracy against epsilon. {' '.join(f'{said.model}: {said.sentence}' for said in answers)}"
        plot = Plot(f"curve-{name}", script_json(json.loads(figures.curve_figure(lines, look))), alt)
    attack = lines[0].attack_id
    heading = "Accuracy, not attacked" if attack == "none" else f"Accuracy under attack by {attack}"
    text = base64.b64encode(tables.curve_csv(lines).encode()).decode()
    return Block(
        heading=heading,
        lines=tuple(lines),
        epsilons=tuple(tables.epsilons_of(lines)),
        answers=answers,
        plot=plot,
        csv=f"data:text/csv;charset=utf-8;base64,{text}",
        file=f"palpate-{name}.csv",
    )


def _agreements(material: Material, task: str, found: list[samples.Samples]) -> list[Agreement]:
    """The four agreement tables, those that have rows."""
    if not len(material.explanations):
        return []
    table = material.explanations.filter(task=task)
    steps = table.filter(pl.col("epsilon_index") > 0).select("epsilon_index", "epsilon").unique().sort("epsilon_index")
    names = tuple(words.epsilon(value) for value in steps["epsilon"])
    pairs = agreement.between_models({one.model_id: one.maps for one in found}, samples.TARGETS)
    return [
        one
        for one in (
            Agreement(
                "Clean against perturbed: how alike a model's map is to its map of the clean image (1: same order of "
                "places, 0: unrelated).",
                names,
                tuple(agreement.recorded(table, "similarity_clean", 1)),
                False,
            ),
            Agreement(
                "From epsilon to epsilon: how alike a model's map is to its map at the next smaller epsilon.",
                names,
                tuple(agreement.recorded(table, "similarity_previous", 1)),
                False,
            ),
            Agreement(
                "Between models: how alike the maps of two models are on the same sample, each attacked by itself.",
                ("clean", *names),
                tuple(pairs),
                False,
            ),
            Agreement(
                "On the sign: share of the map that falls on the sign that makes the label, and in brackets the share of a map "
                "spread evenly.",
                ("clean", *names),
                tuple(agreement.recorded(table, "on_sign", 0, "chance_on_sign")),
                True,
            ),
        )
        if one.rows
    ]


def _gaps(material: Material, task: str) -> list[str]:
    return [
        f"{cell.title}: {'failed, ' + cell.error if cell.state == 'failed' else 'not made yet'}"
        for cell in material.cells
        if cell.task == task and cell.state != "complete"
    ]
