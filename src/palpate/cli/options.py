"""Options and arguments that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

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
