"""`palpate compare`: two models on the same images."""

from pathlib import Path
from typing import Annotated

import typer

from palpate.cli.options import argument, option
from palpate.core.registry import COMMANDS


@COMMANDS.register("compare")
def compare(
    a: Annotated[Path, argument("Rows, a saved sweep, or the folder of an attack stage.")],
    b: Annotated[Path, argument("The same of the model to compare with it.")],
    attack: Annotated[str | None, option("Which attack, where both hold several.")] = None,
    unit: Annotated[str, typer.Option("--unit", help="What a group is: patients, lesions.")] = "patients or lesions",
    out: Annotated[Path | None, option("Also write the figures as JSON.")] = None,
) -> None:
    """Compare two models on the same images: differences in points with intervals and p, epsilon by epsilon.

    Example: palpate compare first.npz second.npz
    """
    from palpate.core.io import write_json
    from palpate.statistics.paired import compare

    found = compare(a, b, attack_id=attack, unit=unit)
    typer.echo(str(found))
    if out:
        write_json(out, found.to_dict())
