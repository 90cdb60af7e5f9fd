"""Saliency maps of the samples: the reader steps through epsilons and classes, with the models side by side."""

from palpate.core.registry import SECTIONS
from palpate.report import samples
from palpate.report.run_data import RunData
from palpate.report.section import Section, ranked, render, script_json

IMAGE_BYTES = 7_000_000
"""What all sample images of a page may take; with Plotly's 4.8 MB the page stays under 15 MB."""


@SECTIONS.register("maps")
@ranked(60, scope="task")
def section(data: RunData, task: str) -> Section | None:
    """Nothing where no model of the task was explained."""
    classes = data.study.tasks[task].classes
    panel = samples.panels(samples.load(data, task), classes, IMAGE_BYTES // max(1, len(data.results.tasks)))
    if panel is None:
        return None
    number, methods = len(data.complete("explain", task)), _methods(data, task)
    note = panel[1]
    if number > samples.SHOWN:
        note += f" The first {samples.SHOWN} of {number} models; the maps of the others are in the run folder."
    html = render("maps.html", task=task, methods=methods, panels=script_json(panel[0]), note=note)
    return Section("Which parts of the images the predictions depend on", html)


def _methods(data: RunData, task: str) -> str:
    found = [
        stage.map_method + (f" of {stage.facts['layer']}" if stage.facts.get("layer") else "")
        for stage in data.complete("explain", task)
    ]
    return ", ".join(dict.fromkeys(found))
