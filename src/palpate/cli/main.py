"""The `palpate` command: every registered command, each parsed by its signature. Nothing heavy is imported until a command needs it.

A user's mistake (`InputError`) ends in one clear message and exit status 2, a study with failed stages in status 1.
"""

import errno
import inspect
import os
import sys
import warnings
from typing import Annotated

import typer

from palpate import __version__
from palpate.core.errors import InputError, readable
from palpate.core.registry import COMMANDS

ORDER = ("demo", "init", "study", "status", "report", "verify", "attack", "explain", "compare", "tasks", "doctor")
"""Of the commands in the help, as a user meets them; all others follow."""

OUTSIDE = {
    errno.ENOSPC,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.ENOTDIR,
    errno.EISDIR,
}
"""Errors of the system that the user can fix: a full or read-only disk, a folder without rights, a name that cannot be."""


def application() -> typer.Typer:
    """The command line with every registered command: its help is the docstring, up to the line that begins with "Example: "."""
    app = typer.Typer(
        name="palpate",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        help="Measure how robust a medical image classifier is, and whether the measurement can be trusted. Research software, not a medical device.",
        epilog="Start with [bold]palpate demo[/bold], then [bold]palpate init[/bold] and [bold]palpate study study.toml[/bold].",
    )
    app.callback()(_options)
    for name in sorted(COMMANDS, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER)):
        try:
            function = COMMANDS[name]
        except ImportError as error:  # of a plug-in: the other commands still work
            warnings.warn(f"command {name!r} was left out: {error}", stacklevel=1)
            continue
        if isinstance(function, typer.Typer):  # a command with commands of its own
            app.add_typer(function, name=name)
            continue
        text, _, example = (inspect.getdoc(function) or "").replace("[", r"\[").partition("\nExample: ")
        app.command(name, help=text.strip(), epilog=f"Example: {example.strip()}" if example else None)(function)
    return app


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"palpate {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; the entry point of the `palpate` script."""
    warnings.showwarning = lambda message, *_, **__: typer.echo(f"palpate: warning: {readable(str(message))}", err=True)
    try:
        application()(standalone_mode=True)
    except InputError as error:
        typer.echo(f"palpate: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("palpate: stopped; everything complete is kept, run the same command to go on", err=True)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.errno not in OUTSIDE:
            raise
        typer.echo(
            f"palpate: {readable(str(error.filename), 300)}: {error.strerror}; check the name, the rights and the free space",
            err=True,
        )
        sys.exit(2)


if __name__ == "__main__":
    main()
