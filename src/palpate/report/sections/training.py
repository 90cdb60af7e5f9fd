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
    figures = history_figures(history, line_styles(data.models(task)))
    plots = [
        (title, Plot(f"history-{task}-{number}", figure, f"{title}, by epoch and model."))
        for number, (title, figure) in enumerate(figures)
    ]
    return Section("Training", render("training.html", plots=plots))
