"""What commands share: run a study, stop it when asked to, print its curves and where its report lies, and print a table."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from palpate.core.errors import InputError

if TYPE_CHECKING:
    from rich.table import Column

    from palpate.study.spec import Study

GRACE = 3.5
"""Seconds between the wish to stop and the end of the process, at most."""


def run_study(
    study: "Study", out: Path | None, data: Path | None, device: str, threads: int | None, **more: Any
) -> None:
    """Run a study and print its result; exit with status 1 when stages failed, 130 or 143 when it was asked to stop.

    `more` holds further settings of `palpate.run`: engine, workers, address, devices, log.
    """
    from palpate.core.run_folder import RunFolder
    from palpate.study.engines.engine import Stopped
    from palpate.study.run import StudyIncomplete, run
    from palpate.study.stages.kept import kept_so_far

    set_threads(threads)
    failed, folder = None, out or Path("runs") / study.name

    def kept() -> str:
        try:
            return kept_so_far(RunFolder(folder))
        except InputError:
            return "no stage was begun"

    try:
        with stoppable(kept):
            run(study, folder, root=data, device=device, threads=threads, **more)
    except StudyIncomplete as error:
        failed = error
    except Stopped as stopped:
        raise typer.Exit(stopped.code) from None
    print_result(folder / "report.html")
    if failed:
        typer.echo(f"palpate: {failed}", err=True)
        raise typer.Exit(1)


@contextlib.contextmanager
def stoppable(kept: Callable[[], str]) -> Iterator[None]:
    """Ctrl-C and SIGTERM stop what is inside: the block or epoch in work is dropped, those before it are kept.

    What does not end within `GRACE` seconds, such as one long pass of a library, is ended, and so it is by a second signal: what is kept is
    safe at any moment. The seconds are counted by a thread, because Python's handler waits for such a pass to return.

    Args:
        kept: says what is kept; printed when it stops.

    Raises:
        Stopped: at the place where the signal came.
    """
    from palpate.study.engines.engine import Stopped

    heard, signalled = os.pipe()
    os.set_blocking(signalled, False)

    def watch() -> None:
        while number := os.read(heard, 1):  # nothing where the work ended before a signal came
            if number[0] in (signal.SIGINT, signal.SIGTERM):
                ending = threading.Timer(GRACE, os._exit, [128 + number[0]])
                ending.daemon = True
                ending.start()
                typer.echo("palpate: stopped; run the same command again to go on from what is kept", err=True)
                typer.echo(f"palpate: {kept()}", err=True)
        os.close(heard)

    def stop(number: int, frame: object) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, lambda *_: os._exit(128 + number))
        raise Stopped(128 + number)

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    woken = signal.set_wakeup_fd(signalled, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(woken)
        os.close(signalled)
        watching.join(GRACE)  # it may still be saying what is kept
        for number, handler in before.items():
            if signal.getsignal(number) is stop:
                signal.signal(number, handler)


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


def print_table(columns: "Sequence[str | Column]", rows: Iterable[Sequence[Any]], **style: Any) -> None:
    """Print a table; texts are printed as they are, so that nothing that comes from outside is taken for markup."""
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    table = Table(*(Column(each, overflow="fold") if isinstance(each, str) else each for each in columns), **style)
    for row in rows:
        table.add_row(*(Text(each) if isinstance(each, str) else each for each in row))
    Console().print(table)
