"""`palpate status`: how far a run has come."""

import json
from pathlib import Path
<<<<<<< HEAD
from typing import TYPE_CHECKING, Annotated, Any

import typer
=======
from typing import TYPE_CHECKING, Any
>>>>>>> 7d09c24 (palpate verify names and mends damage; status and verify as JSON; hostile npz, tables, weights and names are refused; decoded images are checksummed)

import typer

from palpate.cli.options import JsonOption, RunArgument
from palpate.core.registry import COMMANDS

if TYPE_CHECKING:
    from rich.table import Table


@COMMANDS.register("status")
<<<<<<< HEAD
def status(
    run: RunArgument, as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False
) -> None:
    """Say which stages of a run are complete, which failed and why, and which are missing.
=======
def status(run: RunArgument, as_json: JsonOption = False) -> None:
    """Say which stages of a run are complete, which failed and why, which are damaged, and which are missing.
>>>>>>> 7d09c24 (palpate verify names and mends damage; status and verify as JSON; hostile npz, tables, weights and names are refused; decoded images are checksummed)

    Example: palpate status runs/demo
    """
    import json

    from rich.console import Console

<<<<<<< HEAD
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
=======
    found = states(run)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
    else:
        Console().print(status_table(found))


def states(folder: Path) -> dict[str, Any]:
    """The stages of a run as JSON-able values: complete, being made, failed, damaged, outdated or missing, and why.

    Sizes are compared and no checksums: `palpate verify` does that.
>>>>>>> 7d09c24 (palpate verify names and mends damage; status and verify as JSON; hostile npz, tables, weights and names are refused; decoded images are checksummed)

    Raises:
        InputError: the folder is not a run.
    """
<<<<<<< HEAD
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
=======
    from palpate.core.run_folder import RunFolder

    run = RunFolder(folder)
    record, failures = run.study(), run.failures()
    stages = []
    for stage in record.stages:
        state, why = run.state(stage, contents=False)
        made = run.stage(stage.id) if state == "complete" else None
        if state != "complete" and run.busy(stage.id):
            state, why = "being made", ""
        elif state != "complete" and stage.id in failures:
            state, why = "failed", failures[stage.id].error
        stages.append(
            {
                "id": stage.id,
                "kind": stage.kind,
                "title": stage.title,
                "task": stage.task,
                "model_id": stage.model_id,
                "state": state,
                "why": why,
                "seconds": made.seconds if made else None,
                "device": made.device if made else None,
            }
        )
    complete = sum(stage["state"] == "complete" for stage in stages)
    return {"study": record.name, "complete": complete, "stages": stages}


COLOURS = {"complete": "green", "failed": "red", "damaged": "red", "outdated": "yellow", "being made": "yellow"}


def status_table(found: dict[str, Any]) -> "Table":
    """What `states` gives, for a terminal."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(f"{found['study']}: {found['complete']} of {len(found['stages'])} stages complete"))
    for column in ("stage", "state", "seconds", "device", "folder"):
        table.add_column(column, overflow="fold")
    for stage in found["stages"]:
        state = Text(stage["state"], style=COLOURS.get(stage["state"], ""))
        if stage["why"]:
            state.append(f": {stage['why']}", style="default")
        made = (
            (f"{stage['seconds']:.0f}", stage["device"], stage["id"]) if stage["seconds"] is not None else ("", "", "")
        )
        table.add_row(Text(stage["title"]), state, *map(Text, made))
>>>>>>> 7d09c24 (palpate verify names and mends damage; status and verify as JSON; hostile npz, tables, weights and names are refused; decoded images are checksummed)
    return table
