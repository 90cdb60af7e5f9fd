"""What the commands that make a study share: run it, and print its curves and where its report lies."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from palpate.study.spec import Study


def run_study(study: "Study", out: Path | None, data: Path | None, device: str, threads: int | None) -> None:
    """Run a study and print its result; exit with status 1 when stages failed."""
    from palpate.study.run import StudyIncomplete, run

    set_threads(threads)
    failed = None
    try:
        folder = run(study, out, root=data, device=device)
    except StudyIncomplete as error:
        failed, folder = error, error.folder
    print_result(folder / "report.html")
    if failed:
        typer.echo(f"palpate: {failed}", err=True)
        raise typer.Exit(1)


def print_result(page: Path) -> None:
    """Print the result of a run whose report was written, and the place of the report."""
    from rich.console import Console
    from rich.text import Text

    from palpate.report.terminal import summary

    console = Console()
    console.print(summary(page))
    console.print(Text(f"Report: {page.resolve()}"), soft_wrap=True)


def set_threads(threads: int | None) -> None:
    """Have torch use so many threads; as many as it chooses when None."""
    import torch

    if threads:
        torch.set_num_threads(threads)
