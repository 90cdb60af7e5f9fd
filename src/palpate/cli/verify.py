"""`palpate verify`: whether every file of a run is as it was written, and what to do where one is not."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from palpate.cli.options import JsonOption, RunArgument
from palpate.core.registry import COMMANDS

if TYPE_CHECKING:
    from palpate.core.examine import Examination
    from palpate.core.run_folder import RunFolder


@COMMANDS.register("verify")
def verify(
    run: RunArgument,
    repair: Annotated[
        bool, typer.Option("--repair", help="Remove what is damaged; write study.json and the report again.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare every file of a run with its size and checksum; exit status 1 where one is not as it was written.

    What --repair removes is made again by `palpate study`.

    Example: palpate verify runs/demo --repair
    """
    import json

    from palpate.core.examine import examine
    from palpate.core.run_folder import RunFolder

    opened = RunFolder(run)
    found = examine(opened)
    if repair and (found.problems or found.left_over):
        for line in (*found.problems, *found.left_over):
            typer.echo(f"repairing: {line}", err=True)
        found = repaired(opened, found)
    typer.echo(json.dumps(found.to_dict(), indent=1) if as_json else "\n".join(lines(run, found)))
    raise typer.Exit(1 if found.problems else 0)


def repaired(run: "RunFolder", found: "Examination") -> "Examination":
    """Remove what is damaged, write study.json and the report again, and look once more.

    Raises:
        InputError: the folder cannot be written, or no stage output says what the study was.
    """
    from palpate.core.examine import clear, examine
    from palpate.core.io import named_errors
    from palpate.report.page.page import write_report

    if found.study:
        from palpate.study.plan import rebuild

        rebuild(run)
        found = examine(run)
    clear(run, found)
    with named_errors(str(run.path)):
        write_report(run.path)
    return examine(run)


def lines(run: Path, found: "Examination") -> list[str]:
    """What was found, in words."""
    count = {state: sum(output.state == state for output in found.outputs) for state in ("complete", "missing")}
    shown = [f"{run}: {count['complete']} of {len(found.outputs)} stage outputs are complete and as they were written"]
    shown += [f"  {problem}" for problem in found.problems]
    if found.left_over:
        files = f"{len(found.left_over)} unfinished files of processes that ended"
        shown.append(f"  {files}; they harm nothing, --repair removes them")
    if count["missing"]:
        shown.append(f"  {count['missing']} stages were not made yet; `palpate study` makes them")
    if found.problems:
        remedy = "`palpate study` makes damaged outputs again; --repair removes them."
        shown.append(f"Nothing damaged is shown in a report. {remedy}")
    return shown
