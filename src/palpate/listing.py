"""Lists for the terminal: the tasks that palpate knows, and how far a run has come."""

from pathlib import Path

from rich.markup import escape
from rich.table import Table

from palpate.data.tasks import overview
from palpate.runs import Run


def tasks_table(root: Path | None) -> Table:
    """Every task with its classes, size, licence, where it was looked for, whether it is there, and how to get it."""
    table = Table(title="Tasks", show_lines=True, caption="--data or PALPATE_DATA names the folder to look in")
    for column in ("task", "classes", "images", "licence", "here?", "where, or how to get it"):
        table.add_column(column, overflow="fold")
    for line in overview(root):
        task = line.task
        if task.kind == "phantom":
            place = "generated when asked for"
        elif line.present:
            place = str(line.looked_in)
        else:
            looked = f"looked in {line.looked_in}; " if line.looked_in else "no data folder was named; "
            place = looked + task.how_to_get
        count = "any" if task.kind == "phantom" else f"{task.images:,}"
        present = "[green]yes[/green]" if line.present else "[red]no[/red]"
        classes = f"{len(task.classes)}: {', '.join(task.classes)}"
        table.add_row(task.name, escape(classes), count, escape(task.licence), present, escape(place))
    return table


def status_table(folder: Path) -> Table:
    """The cells of a run: complete, failed and why, or missing.

    Raises:
        InputError: the folder is not a run.
    """
    run = Run(folder)
    record = run.study()
    failures = run.failures()
    complete = sum(run.complete(cell["id"]) for cell in record["cells"])
    table = Table(title=f"{record['name']}: {complete} of {len(record['cells'])} cells complete")
    for column in ("cell", "state", "seconds", "device", "folder"):
        table.add_column(column, overflow="fold")
    for cell in record["cells"]:
        if run.complete(cell["id"]):
            made = run.cell(cell["id"])
            row = ("[green]complete[/green]", f"{made['seconds']:.0f}", made["device"], cell["id"])
        elif cell["id"] in failures:
            row = (f"[red]failed[/red]: {escape(failures[cell['id']]['error'])}", "", "", "")
        else:
            with run.lock(cell["id"]) as free:
                row = ("missing" if free else "[yellow]being made[/yellow]", "", "", "")
        table.add_row(escape(cell["title"]), *row)
    return table
