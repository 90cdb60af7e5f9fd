"""One self-contained HTML page from a run folder: every script, style, figure and image inside, nothing fetched.

The page only assembles the registered sections. Its content policy forbids the network, so a report can be mailed, archived and opened
years later. What a partly complete run lacks is named at its place.
"""

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup
from plotly.offline import get_plotlyjs

from palpate.core import formatting
from palpate.core.io import write_text
from palpate.core.records import TaskRecord
from palpate.core.registry import SECTIONS
from palpate.report.export import export
from palpate.report.results import ModelChecks
from palpate.report.run_data import RunData, read
from palpate.report.section import TASKS_RANK, Section, render, source

UNFOLDED = 6
"""The sections of a task with so many models are unfolded when the page opens; with more models the page would be too long."""

Named = list[tuple[str, Section]]


def write_report(run: Path, out: Path | None = None) -> Path:
    """Write the report of a run: the page, results.json, and every table and figure as a file.

    Args:
        run: the run folder; it may be partly complete.
        out: the page; RUN/report.html when absent. The other files lie in `palpate.report.export.folder_of` of the page.

    Returns:
        The page's path.

    Raises:
        InputError: `run` is no run folder, or was made by another version.
    """
    data = read(Path(run))
    target = Path(out) if out is not None else data.path / "report.html"
    sections = assemble(data)
    write_text(target, render_page(data, sections))
    tables = [table for named in sections.values() for _, section in named for table in section.tables]
    export(data, tables, target)
    return target


def assemble(data: RunData) -> dict[str, Named]:
    """Make every registered section in its order: under "" those of the whole run, and under each task's name those of the task.

    A section that cannot be made, such as one of a plug-in that does not fit the run, is named among the problems.
    """
    ordered = sorted(SECTIONS.items(), key=lambda item: item[1].rank)
    found: dict[str, Named] = {task: [] for task in data.study.tasks}
    whole: Named = []
    for name, section in sorted(ordered, key=lambda item: item[1].scope != "task"):
        for task in data.study.tasks if section.scope == "task" else ():
            with formatting.native(data.results.tasks[task].scale):
                _add(found[task], name, data, task)
        if section.scope == "run":
            _add(whole, name, data)
    return {"": whole, **found}


def render_page(data: RunData, sections: dict[str, Named]) -> str:
    """The page as text."""
    whole = sections[""]
    return render(
        "page.html",
        results=data.results,
        checked=checked_models(data.results.checks),
        before=[(name, section) for name, section in whole if SECTIONS[name].rank < TASKS_RANK],
        after=[(name, section) for name, section in whole if SECTIONS[name].rank >= TASKS_RANK],
        tasks=[_task(data, task, sections[task]) for task in data.study.tasks],
        style=Markup("\n".join(map(source, ("style.css", "viewer.css")))),
        script=Markup("\n".join(map(source, ("script.js", "shots.js", "viewer.js")))),
        plotly=Markup(get_plotlyjs().replace("</script", "<\\/script")),
    )


def _task(data: RunData, task: str, sections: Named) -> tuple[str, TaskRecord, list[str], bool, Named]:
    """A task, its record, what is missing of it, whether its sections are unfolded, and these."""
    record = data.study.tasks[task].model_copy(update={"title": data.results.tasks[task].title})
    absent = [stage for stage in data.stages if task in stage.tasks and stage.state != "complete"]
    gaps = [f"{one.title}: {f'{one.state}, {one.error}' if one.error else 'not made yet'}" for one in absent]
    return task, record, gaps, len(data.models(task)) <= UNFOLDED, sections


def checked_models(checks: Sequence[ModelChecks]) -> dict[str, int]:
    """How many models were checked under at least one attack, those that failed under one apart."""
    worst: dict[tuple[str, str], set[str]] = {}
    for one in checks:
        worst.setdefault((one.task, one.model_id), set()).add(one.status)
    made = [found for found in worst.values() if found != {"not run"}]
    failed = sum("fail" in found for found in made)
    return {"failed": failed, "others": len(made) - failed}


def _add(named: Named, name: str, data: RunData, *task: str) -> None:
    try:
        section = SECTIONS[name](data, *task)
    except Exception as error:  # a plug-in's mistake must not take the report with it
        data.problems.append(f"section {name} was left out: {type(error).__name__}: {error}")
        return
    if section is not None:
        named.append((name, section))
