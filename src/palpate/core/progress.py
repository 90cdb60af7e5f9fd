"""Progress of work that takes more than a few seconds: a bar with the time left in a terminal, a line now and then in a log."""

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

LOG_SECONDS = 30.0
"""Between two lines where there is no terminal."""


@contextlib.contextmanager
def progress_bar(console: Console, title: str) -> Iterator[Callable[[int, int, str], None]]:
    """Show how far the work inside has come; it gives a function to be told work done, work in all, and a few words.

    In a terminal a bar is shown and removed at the end. Elsewhere (a log file, a batch system) a line is printed at most every 30 seconds.

    >>> with progress_bar(Console(quiet=True), "decode") as told:
    ...     told(1, 2, "images")
    """
    title_of, note_of = (TextColumn(f"{{task.{field}}}", markup=False) for field in ("description", "fields[note]"))
    times = TextColumn("left"), TimeRemainingColumn(compact=True), TextColumn("spent"), TimeElapsedColumn()
    columns = title_of, BarColumn(), TaskProgressColumn(), *times, note_of
    last = time.monotonic()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        bar = bars.add_task(title, total=None, note="")

        def told(done: int, total: int, note: str) -> None:
            nonlocal last
            bars.update(bar, completed=done, total=total, note=note)
            now = time.monotonic()
            if not console.is_terminal and now - last >= LOG_SECONDS:
                last = now
                console.print(Text(f"{title}: {done:,} of {total:,}, {note}"), soft_wrap=True)

        yield told
