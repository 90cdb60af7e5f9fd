"""How the models of a task were trained: losses and balanced accuracy by epoch."""

from palpate.core.registry import SECTIONS
from palpate.report.figures import history_figures
from palpate.report.line_styles import line_styles
from palpate.report.run_data import RunData
from palpate.report.section import Plot, Section, ranked, render


@SECTIONS.register("training")
@ranked(80, scope="task")
def section(data: RunData, task: str) -> Section | None:
    """Nothing where nothing was trained."""
    history = data.table("train", "history.parquet", task)
    if not len(history):
        return None
    figures = enumerate(history_figures(history, line_styles(data.models(task))))
    plots = [(each, Plot(f"history-{task}-{n}", made, f"{each}, by epoch and model.")) for n, (each, made) in figures]
    return Section("Training", render("training.html", plots=plots))
