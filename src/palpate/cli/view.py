"""`palpate view`: the sample images of runs in a browser."""

from pathlib import Path
from typing import Annotated

import typer

from palpate.cli.options import argument
from palpate.core.registry import COMMANDS


@COMMANDS.register("view")
def view(
    runs: Annotated[list[Path], argument("Run folders; several are compared.")],
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Of this machine; 0 for any free one.")] = 8765,
) -> None:
    """Look at sample images under attack, models and runs side by side, in the browser of this machine. Nothing is changed.

    Example: palpate view runs/first runs/second
    """
    from palpate.report.viewer.server import open_server

    with open_server(runs, port) as server:
        typer.echo(f"palpate: {server.url} shows the samples; stop with Ctrl-C")
        server.serve_forever()
