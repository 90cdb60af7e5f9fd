"""`palpate demo`: the starter study, as a first look."""

from pathlib import Path
from typing import Annotated

import typer

from palpate.cli.options import DeviceOption, ThreadsOption
from palpate.cli.running import run_study
from palpate.core.registry import COMMANDS


@COMMANDS.register("demo")
def demo(
    out: Annotated[Path, typer.Option("--out", help="The run folder.")] = Path("runs/demo"),
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """A whole study on synthetic images: train, attack, explain, report. Minutes on two cores, no download.

    Example: palpate demo --out runs/demo
    """
    from palpate.study.starter import demo_study

    run_study(demo_study(), out, None, device, threads)
