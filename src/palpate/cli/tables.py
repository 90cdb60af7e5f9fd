"""Tables that commands print."""

from collections.abc import Iterable, Sequence
from typing import Any


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], **style: Any) -> None:
    """Print a table; what comes from outside stands in it as rich's `Text`, so that nothing is taken for markup."""
    from rich.console import Console
    from rich.table import Table

    table = Table(**style)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
