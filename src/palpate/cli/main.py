"""The `palpate` command: parse, call the library, print. Nothing heavy is imported until a command needs it.

A user's mistake (`InputError`) ends in one clear message and exit status 2, a study with failed cells in status 1.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from palpate import __version__
from palpate.core.errors import InputError

if TYPE_CHECKING:
    from palpate.study.spec import Study

app = typer.Typer(
    name="palpate",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Press on a medical image classifier and see where it gives. Research software, not a medical device.",
    epilog="Start with [bold]palpate demo[/bold], then [bold]palpate init[/bold] and [bold]palpate study study.toml[/bold].",
)

DataOption = Annotated[
    Path | None,
    typer.Option("--data", envvar="PALPATE_DATA", help="Folder of the publishers' data folders.", show_default=False),
]
DeviceOption = Annotated[str, typer.Option("--device", help='"auto", "cpu", "cuda", "cuda:1" or "mps".')]
ThreadsOption = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="CPU threads; fewer are faster on a busy machine.", show_default=False),
]
RunArgument = Annotated[Path, typer.Argument(help="A run folder, as printed by `palpate study`.", show_default=False)]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"palpate {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


@app.command(epilog="Example: palpate demo --out runs/demo")
def demo(
    out: Annotated[Path, typer.Option("--out", help="The run folder.")] = Path("runs/demo"),
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Run a whole small study on generated images: train, attack, explain, report. Minutes on two cores, no download."""
    from palpate.study.spec import make_study
    from palpate.study.starter import demo_study

    _run_and_report(make_study(demo_study(), "the demo's study"), out, None, device, threads)


@app.command(epilog="Example: palpate init study.toml")
def init(
    file: Annotated[Path, typer.Argument(help="Where to write the study.")] = Path("study.toml"),
) -> None:
    """Write a commented starter study, ready to run and to change."""
    from palpate.study.starter import STARTER

    if file.exists():
        raise InputError(f"{file}: exists already and is left as it is; name another file")
    try:
        file.write_text(STARTER.read_text(encoding="utf-8"), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{file}: cannot be written ({error.strerror or error})") from None
    typer.echo(f"Wrote {file}. Run it with: palpate study {file}")


@app.command(epilog="Example: palpate study study.toml --data ~/data --out runs/first")
def study(
    file: Annotated[Path, typer.Argument(help="A study in TOML; `palpate init` writes one.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option("--out", help="The run folder; runs/NAME when absent.", show_default=False)
    ] = None,
    data: DataOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be made, and what time and disk it would take here.")
    ] = False,
) -> None:
    """Train, attack, explain and report all that a study asks for. What is complete already is skipped."""
    from palpate.study.spec import read_study

    asked = read_study(file)
    if dry_run:
        _estimate(asked, out, data, device, threads)
    else:
        _run_and_report(asked, out, data, device, threads)


@app.command(epilog="Example: palpate attack runs/demo/train-.../weights.safetensors phantom-chest --strength ensemble")
def attack(
    weights: Annotated[Path, typer.Argument(help="Weights that palpate wrote, their JSON beside.", show_default=False)],
    task: Annotated[str, typer.Argument(help="On whose test images; see `palpate tasks`.", show_default=False)],
    epsilons: Annotated[str, typer.Option("--epsilons", help="l-infinity radii, with commas between.")] = (
        "0.25/255, 0.5/255, 1/255, 2/255, 4/255"
    ),
    method: Annotated[str, typer.Option("--method", help="sweep or foolbox.")] = "sweep",
    strength: Annotated[str, typer.Option("--strength", help="of the sweep: fast, standard or ensemble.")] = "standard",
    images: Annotated[
        int | None, typer.Option("--images", min=1, help="At most so many; all when absent.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The run folder; runs/attack-TASK when absent.", show_default=False)
    ] = None,
    data: DataOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Attack weights that are trained already: the curve, Grad-CAM, verdicts and the report, as a study of one model."""
    from palpate.study.from_weights import given_study

    radii = [part.strip() for part in epsilons.split(",") if part.strip()]
    asked = given_study(weights, task, radii, {"method": method, "strength": strength, "images": images})
    _run_and_report(asked, out, data, device, threads)


@app.command(epilog="Example: palpate status runs/demo")
def status(run: RunArgument) -> None:
    """Say which cells of a run are complete, which failed and why, and which are missing."""
    from rich.console import Console

    from palpate.cli.tables import status_table

    Console().print(status_table(run))


@app.command(epilog="Example: palpate report runs/demo --out report.html")
def report(
    run: RunArgument,
    out: Annotated[
        Path | None, typer.Option("--out", help="The page; RUN/report.html when absent.", show_default=False)
    ] = None,
) -> None:
    """Write the report again from a run's cells; needs neither the data nor a GPU."""
    _report(run, out)


@app.command(epilog="Example: palpate tasks --data ~/data")
def tasks(data: DataOption = None) -> None:
    """List every task: classes, sizes, licence, where it was looked for, whether it is there, and how to get it."""
    from rich.console import Console

    from palpate.cli.tables import tasks_table

    Console().print(tasks_table(data))


@app.command(epilog="Example: palpate paper runs/paper --out figures")
def paper(
    run: RunArgument,
    out: Annotated[Path, typer.Option("--out", help="The folder to write into.")] = Path("figures"),
    radiograph: Annotated[
        Path | None,
        typer.Option("--radiograph", help="A chest radiograph to draw figure 1 from.", show_default=False),
    ] = None,
) -> None:
    """Write the figures of arXiv 2210.14405 from a run, for print, and a page that sets its numbers beside the measured ones."""
    from palpate.papers.wasserman2022.page import write_page
    from palpate.papers.wasserman2022.print_figures import write

    for file in [*write(run, out, radiograph), write_page(run, out / "paper-against-measured.html")]:
        typer.echo(file)


@app.command(epilog="Example: palpate doctor --parameters")
def doctor(
    data: DataOption = None,
    parameters: Annotated[
        bool, typer.Option("--parameters", help="Count the parameters of the paper's models instead.")
    ] = False,
) -> None:
    """Say what palpate finds on this machine: versions, devices, data, disk."""
    from rich.console import Console

    from palpate.cli.tables import machine_table, parameters_table

    if parameters:
        from palpate.papers.wasserman2022.parameters import parameter_table

        Console().print(parameters_table(parameter_table()))
        return
    import torch

    cards = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    mps = ["mps"] if torch.backends.mps.is_available() else []
    Console().print(machine_table(data, ["cpu", *cards, *mps], torch.get_num_threads()))


def _estimate(study: "Study", out: Path | None, data: Path | None, device: str, threads: int | None) -> None:
    import torch
    from rich.console import Console

    from palpate.cli.tables import estimate_table
    from palpate.models.predict import choose_device
    from palpate.study.estimate import estimate

    if threads:
        torch.set_num_threads(threads)
    found = estimate(study, out or Path("runs") / study.name, data, choose_device(device))
    Console().print(estimate_table(study.name, found))


def _run_and_report(study: "Study", out: Path | None, data: Path | None, device: str, threads: int | None) -> None:
    import torch

    from palpate.study.run import StudyIncomplete, run

    if threads:
        torch.set_num_threads(threads)
    broken = None
    try:
        folder = run(study, out, root=data, device=device)
    except StudyIncomplete as error:
        broken, folder = error, error.folder
    _report(folder, None)
    if broken:
        typer.echo(f"palpate: {broken}", err=True)
        raise typer.Exit(1)


def _report(folder: Path, out: Path | None) -> None:
    from rich.console import Console

    from palpate.report.page.page import write_report
    from palpate.report.tables import curve_table

    page = write_report(folder, out)
    console = Console()
    console.print(curve_table(folder))
    console.print(f"Report: {page.resolve()}", soft_wrap=True)


def main() -> None:
    """Run the command line; the entry point of the `palpate` script."""
    try:
        app(standalone_mode=True)
    except InputError as error:
        typer.echo(f"palpate: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("palpate: stopped; everything complete is kept, run the same command to go on", err=True)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
