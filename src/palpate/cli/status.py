"""`palpate status`: how far a run has come."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from palpate.cli.options import RunArgument
from palpate.core.registry import COMMANDS

if TYPE_CHECKING:
    from rich.table import Table


@COMMANDS.register("status")
def status(
    run: RunArgument, as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False
) -> None:
    """Say which stages of a run are complete, which failed and why, and which are missing.

    Example: palpate status runs/demo
    """
    from rich.console import Console

    if as_json:
        typer.echo(json.dumps(states(run), indent=1, ensure_ascii=False))
        return
    Console().print(status_table(run))


def states(folder: Path) -> dict[str, Any]:
    """The study's name, how many of its stages are complete, and of each stage its state, and what is known of it.

    Raises:
        InputError: the folder is not a run.
    """
    from palpate.core.run_folder import RunFolder

    run = RunFolder(folder)
    record, failures, stages = run.study(), run.failures(), []
    for stage in record.stages:
        known: dict[str, Any] = {name: getattr(stage, name) for name in ("id", "kind", "title", "task", "model_id")}
        if run.complete(stage.id):
            made = run.stage(stage.id)
            known |= {"state": "complete", "seconds": made.seconds, "device": made.device}
            known |= {"result": made.facts.get("result", "")}
        elif stage.id in failures:
            known |= {"state": "failed", "error": failures[stage.id].error}
        else:
            known |= {"state": "being made" if run.busy(stage.id) else "missing"}
        stages.append(known)
    complete = sum(stage["state"] == "complete" for stage in stages)
    return {"study": record.name, "complete": complete, "stages": stages}


def status_table(folder: Path) -> "Table":
    """The same as a table.

    Raises:
        InputError: the folder is not a run.
    """
    from rich.markup import escape
    from rich.table import Table

    found = states(folder)
    title = f"{found['study']}: {found['complete']} of {len(found['stages'])} stages complete"
    table = Table(title=title)
    for column in ("stage", "state", "seconds", "device", "folder"):
        table.add_column(column, overflow="fold")
    styles = {"complete": "green", "failed": "red", "being made": "yellow"}
    for stage in found["stages"]:
        state = stage["state"]
        words = f"[{styles[state]}]{state}[/{styles[state]}]" if state in styles else state
        detail = stage.get("error") or stage.get("result")
        words += f": {escape(detail)}" if detail else ""
        row = (f"{stage['seconds']:.0f}", escape(stage["device"]), stage["id"]) if state == "complete" else ("",) * 3
        table.add_row(escape(stage["title"]), words, *row)
    return table
