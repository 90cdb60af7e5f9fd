"""`palpate report`: the page of a run, written again."""

from pathlib import Path
from typing import Annotated

from palpate.cli.options import RunArgument, option
from palpate.cli.running import print_result
from palpate.core.registry import COMMANDS


@COMMANDS.register("report")
def report(
    run: RunArgument,
    out: Annotated[Path | None, option("The page; RUN/report.html when absent.")] = None,
) -> None:
    """Write the report again from a run's stage outputs; needs neither the data nor a GPU.

    Example: palpate report runs/demo --out report.html
    """
    from palpate.report.page.page import write_report

    print_result(write_report(run, out))
