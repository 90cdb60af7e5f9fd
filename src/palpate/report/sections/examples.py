"""What a perturbation looks like: an image clean, its magnified perturbation, and the perturbed image."""

from palpate.core.registry import SECTIONS
from palpate.report import samples
from palpate.report.run_data import RunData
from palpate.report.section import Section, ranked, render

MODELS = 6
"""So many models have examples."""

OPEN = 2
"""The examples of so many models are shown unfolded."""


@SECTIONS.register("examples")
@ranked(50, scope="task")
def section(data: RunData, task: str) -> Section | None:
    """Nothing where no model of the task was explained."""
    classes = data.study.tasks[task].classes
    found = [(one.model_id, samples.examples(one, classes)) for one in samples.load(data, task, MODELS)]
    if not found:
        return None
    return Section("What a perturbation looks like", render("examples.html", models=found, open=OPEN))
