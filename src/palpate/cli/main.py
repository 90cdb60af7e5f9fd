"""The `palpate` command: every registered command, each parsed by its signature. Nothing heavy is imported until a command needs it.

A user's mistake (`InputError`) ends in one clear message and exit status 2, a study with failed stages in status 1.
"""

import errno
import inspect
import io
import sys
import warnings
from typing import Annotated

import typer

from palpate import __version__
from palpate.cli.options import ungrouped
from palpate.core.errors import InputError, readable
from palpate.core.registry import COMMANDS

ORDER = ("demo", "init", "study", "status", "report", "verify", "attack", "explain", "compare", "tasks", "doctor")
"""Of the commands in the help, as a user meets them; all others follow."""


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
        epilog = f"Example: {example.strip()}" if example else None
        app.command(name, help=text.strip(), epilog=epilog)(ungrouped(function))
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
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name may hold what the terminal cannot show
            stream.reconfigure(errors="backslashreplace")
    warnings.showwarning = lambda message, *_, **__: typer.echo(f"palpate: warning: {readable(str(message))}", err=True)
    try:
        status = application()(standalone_mode=False, prog_name="palpate")
        sys.exit(status if isinstance(status, int) else 0)  # of typer.Exit; a command's own result is none
    except InputError as error:
        typer.echo(f"palpate: {error}", err=True)
        sys.exit(2)
    except typer.TyperException as error:  # an unknown command or option, or a value that it does not take
        if message := error.format_message():  # nothing where a command was named alone and its help was shown
            typer.echo(f"palpate: {_in_one_line(error, message)}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:  # a full or read-only disk, a folder without rights, a name that cannot be
        if error.filename is None and error.errno != errno.ENOSPC:
            raise
        place = readable(str(error.filename or "the disk"), 300)
        typer.echo(f"palpate: {place}: {error.strerror}; check the name, the rights and the free space", err=True)
        sys.exit(2)


def _in_one_line(error: typer.TyperException, message: str) -> str:
    """What typer says of a wrong call, and where to look."""
    text = message[:1].lower() + message[1:].rstrip(".").replace(". Did you", "; did you")
    context = getattr(error, "ctx", None)
    return f"{text}{'' if text.endswith('?') else '.'}" + (f" See `{context.command_path} --help`" if context else "")


if __name__ == "__main__":
    main()
