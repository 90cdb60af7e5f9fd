"""`palpate tasks`: the labelled images that studies can ask for."""

from pathlib import Path
from typing import TYPE_CHECKING

from palpate.cli.options import DataOption
from palpate.core.registry import COMMANDS

if TYPE_CHECKING:
    from rich.table import Table


@COMMANDS.register("tasks")
def tasks(data: DataOption = None) -> None:
    """List every task: classes, sizes, licence, where it was looked for, whether it is there, and how to get it.

    Example: palpate tasks --data ~/data
    """
    from rich.console import Console

    Console().print(tasks_table(data))


def tasks_table(root: Path | None) -> "Table":
    """Every task with its classes, size, licence, where it was looked for, whether it is there, and how to get it."""
    from rich.markup import escape
    from rich.table import Table

    from palpate.data.tasks import overview

    table = Table(title="Tasks", show_lines=True, caption="--data or PALPATE_DATA names the folder to look in")
    for column in ("task", "classes", "images", "licence", "here?", "where, or how to get it"):
        table.add_column(column, overflow="fold")
    for line in overview(root):
        task = line.task
        if task.kind == "synthetic":
            place = "generated when asked for"
        elif line.present:
            place = str(line.looked_in)
        else:
            looked = f"looked in {line.looked_in}; " if line.looked_in else "no data folder was named; "
            place = looked + task.how_to_get
        table.add_row(
            escape(task.name),
            escape(f"{len(task.classes)}: {', '.join(task.classes)}"),
            "any" if task.kind == "synthetic" else f"{task.images:,}",
            escape(task.licence),
            "[green]yes[/green]" if line.present else "[red]no[/red]",
            escape(place),
        )
    return table
