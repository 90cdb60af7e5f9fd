"""`palpate study`: everything that a study asks for, or what it would cost."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from palpate.cli.options import DataOption, DeviceOption, ThreadsOption, argument, option
from palpate.cli.running import print_table, run_study, set_threads
from palpate.core.registry import COMMANDS

if TYPE_CHECKING:
    from palpate.study.estimate import Estimate


@COMMANDS.register("study")
def study(
    file: Annotated[Path, argument("A study in TOML; `palpate init` writes one.")],
    out: Annotated[Path | None, option("The run folder; runs/NAME when absent.")] = None,
    data: DataOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    engine: Annotated[
        str, typer.Option("--engine", help='Where stages are made: "in-process", "local" (several processes) or "ray".')
    ] = "in-process",
    workers: Annotated[int | None, option("Stages made at a time by these engines.", min=1)] = None,
    address: Annotated[str | None, option('Of a Ray cluster: "auto", "ray://HOST:10001".')] = None,
    devices: Annotated[int, typer.Option("--devices", min=1, help="GPUs of one machine that a training uses.")] = 1,
    log: Annotated[str | None, option('Write epochs to "tensorboard" or "mlflow" too.')] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be made, and what time and disk it would take here.")
    ] = False,
) -> None:
    """Train, attack, explain and report all that a study asks for. What is complete already is skipped.

    Example: palpate study study.toml --data ~/data --out runs/first
    """
    from palpate.study.spec import read_study

    asked = read_study(file)
    if not dry_run:
        where = {"engine": engine, "workers": workers, "address": address, "devices": devices, "log": log}
        run_study(asked, out, data, device, threads, **where)
        return
    from palpate.models.predict import choose_device
    from palpate.study.estimate import estimate

    set_threads(threads)
    print_estimate(asked.name, list(estimate(asked, out or Path("runs") / asked.name, data, choose_device(device))))


def print_estimate(name: str, lines: Sequence["Estimate"]) -> None:
    """What a study would cost here, a line per task and model."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Column
    from rich.text import Text

    from palpate.core.formatting import count, span

    parts = ("complete", "stages", "seconds", "megabytes")
    complete, stages, seconds, megabytes = (sum(getattr(line, part) for line in lines) for part in parts)
    footers = {"model": "in all", "data": "", "done": f"{complete} of {stages}", "train": "", "attack": ""}
    footers |= {"time": span(seconds), "disk": f"{megabytes:,.0f} MB"}
    columns, rows = [], []
    for head, foot in footers.items():
        columns.append(Column(head, foot, justify="left" if head in ("model", "data") else "right", overflow="fold"))
    for line in lines:
        here = Text("here", "green") if line.present else Text("absent", "red")
        passes = f"{line.complete} of {line.stages}", count(line.training_passes), count(line.attack_passes)
        spent = span(line.seconds), f"{line.megabytes:,.0f} MB"
        rows.append((f"{line.model}\n  on {line.task}", here, *passes, *spent))
    caption = (
        "train, attack: passes of one image each, at most; time and disk: of the whole study made from nothing, judged by a few passes "
        "made now; done: stages that the run folder holds already, and that are made again only if what they depend on changed"
    )
    print_table(columns, rows, title=f"{name}: nothing was run", caption=caption, box=SIMPLE_HEAD, show_footer=True)
