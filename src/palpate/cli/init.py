"""`palpate init`: a commented study to start from."""

from pathlib import Path
from typing import Annotated

import typer

from palpate.core.errors import InputError
from palpate.core.io import named_errors, write_text
from palpate.core.registry import COMMANDS


@COMMANDS.register("init")
def init(file: Annotated[Path, typer.Argument(help="Where to write the study.")] = Path("study.toml")) -> None:
    """Write a commented starter study, ready to run and to change.

    Example: palpate init study.toml
    """
    from palpate.study.starter import STARTER

    if file.exists():
        raise InputError(f"{file}: exists already and is left as it is; name another file")
    with named_errors(str(file)):
        write_text(file, STARTER.read_text(encoding="utf-8"))
    typer.echo(f"Wrote {file}. Run it with: palpate study {file}")
