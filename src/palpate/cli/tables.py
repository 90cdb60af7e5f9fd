"""Tables that commands print."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Column


def print_table(columns: "Sequence[str | Column]", rows: Iterable[Sequence[Any]], **style: Any) -> None:
    """Print a table; what comes from outside stands in it as rich's `Text`, so that nothing is taken for markup."""
    from rich.console import Console
    from rich.table import Column, Table

    table = Table(*(Column(each, overflow="fold") if isinstance(each, str) else each for each in columns), **style)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
