"""`palpate status`: how far a run has come."""

from pathlib import Path
from typing import TYPE_CHECKING

from palpate.cli.options import RunArgument
from palpate.core.registry import COMMANDS

if TYPE_CHECKING:
    from rich.table import Table


@COMMANDS.register("status")
def status(run: RunArgument) -> None:
    """Say which stages of a run are complete, which failed and why, and which are missing.

    Example: palpate status runs/demo
    """
    from rich.console import Console

    Console().print(status_table(run))


def status_table(folder: Path) -> "Table":
    """The stages of a run: complete, failed and why, being made, or missing.

    Raises:
        InputError: the folder is not a run.
    """
    from rich.markup import escape
    from rich.table import Table

    from palpate.core.run_folder import RunFolder

    run = RunFolder(folder)
    record, failures = run.study(), run.failures()
    complete = sum(run.complete(stage.id) for stage in record.stages)
    table = Table(title=f"{record.name}: {complete} of {len(record.stages)} stages complete")
    for column in ("stage", "state", "seconds", "device", "folder"):
        table.add_column(column, overflow="fold")
    for stage in record.stages:
        if run.complete(stage.id):
            made = run.stage(stage.id)
            row = ("[green]complete[/green]", f"{made.seconds:.0f}", escape(made.device), stage.id)
        elif stage.id in failures:
            row = (f"[red]failed[/red]: {escape(failures[stage.id].error)}", "", "", "")
        else:
            row = ("[yellow]being made[/yellow]" if run.busy(stage.id) else "missing", "", "", "")
        table.add_row(escape(stage.title), *row)
    return table
