"""Progress where there is no terminal: a line now and then, with nothing in it read as markup."""

import io

from rich.console import Console

from palpate.core import progress


def test_a_log_gets_a_line_now_and_then(monkeypatch):
    clock = iter([0.0, 10.0, 31.0, 40.0, 70.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    console = Console(file=io.StringIO(), width=100)
    with progress.progress_bar(console, "attack [a]") as told:
        for done in range(1, 5):
            told(1000 * done, 4000, "images")
    assert console.file.getvalue().splitlines() == [
        "attack [a]: 2,000 of 4,000, images",
        "attack [a]: 4,000 of 4,000, images",
    ]


def test_a_terminal_gets_a_bar_that_leaves_nothing(monkeypatch):
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    with progress.progress_bar(console, "decode [b]") as told:
        told(1, 2, "[images]")
    assert "decode [b]" in console.file.getvalue()
