"""`palpate status`: how far a run has come."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from palpate.cli.options import JsonOption, RunArgument
from palpate.cli.running import print_table
from palpate.core.registry import COMMANDS

if TYPE_CHECKING:
    from rich.text import Text

STYLES = {"complete": "green", "failed": "red", "damaged": "red", "outdated": "yellow", "being made": "yellow"}


@COMMANDS.register("status")
def status(run: RunArgument, as_json: JsonOption = False) -> None:
    """Say which stages of a run are complete, which failed and why, which are damaged, and which are missing.

    Example: palpate status runs/demo
    """
    from rich.text import Text

    found = states(run)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    title = Text(f"{found['study']}: {found['complete']} of {len(found['stages'])} stages complete")
    print_table(("stage", "state", "seconds", "device", "folder"), map(row, found["stages"]), title=title)


def states(folder: Path) -> dict[str, Any]:
    """The study's name, how many of its stages are complete, and of each stage its state, and what is known of it.

    Files are compared with their sizes only; `palpate verify` compares their checksums.

    Raises:
        InputError: the folder is not a run.
    """
    from palpate.core.run_folder import RunFolder

    run = RunFolder(folder)
    record, failures, stages = run.study(), run.failures(), []
    for stage in record.stages:
        known: dict[str, Any] = {name: getattr(stage, name) for name in ("id", "kind", "title", "task", "model_id")}
        state, why = run.state(stage, contents=False)
        if state == "complete":
            made = run.stage(stage.id)
            known |= {"state": state, "seconds": made.seconds, "device": made.device}
            known |= {"result": str(made.facts.get("result", ""))}
        elif run.busy(stage.id):
            known |= {"state": "being made"}
        elif stage.id in failures:
            known |= {"state": "failed", "error": failures[stage.id].error}
        else:
            known |= {"state": state} | ({"error": why} if why else {})
        stages.append(known)
    complete = sum(stage["state"] == "complete" for stage in stages)
    return {"study": record.name, "complete": complete, "stages": stages}


def row(stage: dict[str, Any]) -> "list[str | Text]":
    """A stage in a table: its title and state, and once it is made the seconds, the device and its folder."""
    from rich.text import Text

    state = Text(stage["state"], style=STYLES.get(stage["state"], ""))
    if detail := stage.get("error") or stage.get("result"):
        state.append(f": {detail}", style="default")
    made = (f"{stage['seconds']:.0f}", stage["device"], stage["id"]) if "seconds" in stage else ("",) * 3
    return [stage["title"], state, *made]
