"""`palpate paper`: the studies, figures and numbers of arXiv 2210.14405."""

from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from palpate.cli.options import RunArgument, argument, option
from palpate.cli.running import print_table

paper = typer.Typer(no_args_is_help=True, help="The studies, figures and numbers of arXiv 2210.14405.")


@paper.command(epilog="Example: palpate paper studies wasserman2022")
def studies(folder: Annotated[Path, argument("The folder to write into.")]) -> None:
    """Write the paper's studies as TOML files, to be run and changed. Files that exist are left as they are."""
    from palpate.core.io import write_text

    stored = resources.files("palpate.papers.wasserman2022").joinpath("studies")
    for source in sorted(stored.iterdir(), key=lambda file: file.name):
        target = folder / source.name
        if source.name.endswith(".toml") and not target.exists():
            write_text(target, source.read_text(encoding="utf-8"))
            typer.echo(target)


@paper.command(epilog="Example: palpate paper figures runs/paper --out figures")
def figures(
    run: RunArgument,
    out: Annotated[Path, typer.Option("--out", help="The folder to write into.")] = Path("figures"),
    radiograph: Annotated[Path | None, option("A chest radiograph to draw figure 1 from.")] = None,
) -> None:
    """Write the paper's figures 1 to 7 from a run, for print."""
    from palpate.papers.wasserman2022.print_figures import write

    for file in write(run, out, radiograph):
        typer.echo(file)


@paper.command(epilog="Example: palpate paper compare runs/paper")
def compare(
    run: RunArgument,
    out: Annotated[Path | None, option("The page; RUN/paper.html when absent.")] = None,
) -> None:
    """Write a page that sets the paper's numbers beside those of a run."""
    from palpate.papers.wasserman2022.page import write_page

    typer.echo(write_page(run, out))


@paper.command(epilog="Example: palpate paper parameters")
def parameters() -> None:
    """Count the parameters of the paper's models, beside Keras' count."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Column
    from rich.text import Text

    from palpate.papers.wasserman2022.parameters import parameter_table

    numbers = [Column(name, justify="right") for name in ("size", "classes", "counted", "Keras' count")]
    rows = []
    for row in parameter_table():
        equal = Text("yes", "green") if row.counted == row.keras else Text("no", "red")
        counts = (str(row.size), str(row.num_classes), f"{row.counted:,}", f"{row.keras:,}")
        rows.append((row.backbone, row.attention or "none", *counts, equal))
    title = "Parameters of the paper's models"
    print_table(["backbone", "attention", *numbers, "equal"], rows, title=title, box=SIMPLE_HEAD)
