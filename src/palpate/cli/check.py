"""`palpate check`: a run against acceptance criteria that were stated before."""

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from palpate.cli.options import RunArgument, argument, option
from palpate.core.registry import COMMANDS


@COMMANDS.register("check")
def check(
    criteria: Annotated[Path, argument("A TOML file of criteria; docs/check.md shows one.")],
    run: RunArgument,
    baseline: Annotated[Path | None, option("A run on the same images, for no_worse_by.")] = None,
    out: Annotated[Path | None, option("Folder for JSON, JUnit XML, SARIF and a certificate in HTML.")] = None,
) -> None:
    """Judge a run by acceptance criteria. Exit status 0: all met; 1: one is not met; 3: undecided at this number of images; 2: a mistake.

    Example: palpate check criteria.toml runs/attack-mine --baseline runs/version-1.2 --out checked
    """
    answer(criteria, run, baseline, out)


def epsilons_of(criteria: Path) -> list[str]:
    """The epsilons that criteria are about, so that an attack measures them; the file is refused here where it is faulty."""
    from palpate.statistics.criteria import read_criteria

    return [str(one.epsilon) for one in read_criteria(criteria).criteria if one.epsilon not in (None, 0)]


def answer(criteria: Path, run: Path, baseline: Path | None = None, out: Path | None = None) -> NoReturn:
    """Judge a run, write what was asked for, print the answer, and end with its exit status."""
    from palpate.core.io import named_errors
    from palpate.report.acceptance import EXIT_CODES, check_run
    from palpate.report.acceptance_formats import text, write

    result = check_run(criteria, run, baseline)
    if out is not None:
        with named_errors(str(out)):
            out.mkdir(parents=True, exist_ok=True)
            write(result, out)
    typer.echo(text(result))
    raise typer.Exit(EXIT_CODES[result.state])
