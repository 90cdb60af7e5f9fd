"""Tables of a report: made once, then written into the page, into CSV at full precision, and into Markdown and LaTeX for an article."""

import base64
import csv
import dataclasses
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from palpate.core import formatting


@dataclasses.dataclass(frozen=True)
class Cell:
    """What stands at one place of a table.

    Attributes:
        text: the number or name.   below: what the page writes under it in small letters, such as an interval.
        mark: its style on the page: "below" (the majority rate), "left", "none", "bad", or "status" and a status of a check.
        key: what the page sorts by; by the text where absent.
    """

    text: str
    below: str = ""
    mark: str = ""
    key: float | None = None

    def __str__(self) -> str:
        return f"{self.text} {self.below}".strip()


NONE = Cell(formatting.NO_VALUE)
"""Where there is no number."""

Column = tuple[str, str | Callable[[Any], Cell | str | int | None]]
"""A header, in which a text after "|" is written below in small letters, and the function from a line of the table to what stands there, or the key
of the line's value."""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of the report; made by `table`.

    Attributes:
        name: of its files, unique in the report, such as "ham10000-leaderboard".   caption: a sentence or two.
        columns: headers.   rows: of cells.   records: what the CSV holds, at full precision.
        header: the column that names the row.   line: rows from here on stand below a line; None where none do.
    """

    name: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    records: tuple[Mapping[str, Any], ...]
    header: int = 0
    line: int | None = None

    def at_left(self, column: int) -> bool:
        """Whether a column holds texts."""
        return column == self.header or any(row[column].mark == "left" for row in self.rows)

    @property
    def link(self) -> str:
        """The CSV as a data URI."""
        return f"data:text/csv;charset=utf-8;base64,{base64.b64encode(self.csv().encode()).decode()}"

    def csv(self) -> str:
        """One line per record, numbers at full precision; nothing for no value."""
        out = io.StringIO()
        names = list(dict.fromkeys(name for record in self.records for name in record))
        writer = csv.DictWriter(out, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _inert(value) for name, value in record.items()} for record in self.records)
        return out.getvalue()

    def markdown(self) -> str:
        """The table as the page shows it, in GitHub's Markdown, after its caption."""
        header = [column.replace("|", " = ") for column in self.columns]
        sides = ["---" if self.at_left(place) else "--:" for place in range(len(header))]
        lines = [header, sides, *(map(str, row) for row in self.rows)]
        body = "\n".join("| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in lines)
        return f"{self.caption}\n\n{body}\n"

    def latex(self) -> str:
        """The table as the page shows it, as a LaTeX table in the style of the booktabs package."""
        rows = [" & ".join(_latex(str(cell)) for cell in row) + r" \\" for row in self.rows]
        if self.line is not None:
            rows.insert(self.line, r"\midrule")
        header = " & ".join(_latex(column.replace("|", " = ")) for column in self.columns) + r" \\"
        sides = "".join("l" if self.at_left(place) else "r" for place in range(len(self.columns)))
        caption = rf"\caption{{{_latex(self.caption)}}}"
        above = [r"\begin{table}", caption, rf"\begin{{tabular}}{{{sides}}}", r"\toprule"]
        below = [r"\bottomrule", r"\end{tabular}", r"\end{table}", ""]
        return "\n".join([*above, header, r"\midrule", *rows, *below])


def table(
    name: str,
    caption: str,
    columns: Sequence[Column],
    lines: Iterable[Any],
    records: Iterable[Mapping[str, Any]],
    *,
    header: int = 0,
    line: int | None = None,
) -> Table:
    """A table from the declaration of its columns: a text other than the row's name stands at the left, an integer is sorted by its value.

    >>> found = table("t", "c", [("model", lambda one: one), ("letters", len), ("rate", lambda one: None)], ["a", "b"], [])
    >>> [str(cell) for cell in found.rows[0]]
    ['a', '1', '–']
    """

    def cell(place: int, value: Cell | str | int | None) -> Cell:
        if isinstance(value, str):
            return Cell(value, mark="" if place == header else "left")
        if isinstance(value, int):
            return Cell(str(value), key=value)
        return NONE if value is None else value

    makers = [itemgetter(make) if isinstance(make, str) else make for _, make in columns]
    rows = tuple(tuple(cell(place, make(one)) for place, make in enumerate(makers)) for one in lines)
    heads = tuple(head for head, _ in columns)
    return Table(re.sub(r"[#, ]+", "-", name), caption, heads, rows, tuple(records), header, line)


def percent(value: float | None, n: int = 0) -> Cell:
    """A share without an interval."""
    return Cell(formatting.percent(value, n), key=value)


def share(value: float | None, low: float | None, high: float | None, n: int, majority: float | None = None) -> Cell:
    """A share of n images with its interval; marked where it lies below a majority rate."""
    mark = "below" if value is not None and majority is not None and value < majority else ""
    return Cell(formatting.percent(value, n), formatting.interval(low, high, n), mark, value)


def rate(record: Mapping[str, Any] | None, name: str = "rate") -> Cell:
    """The share in a record with "n", "low" and "high"; where it has none, its "note"."""
    if record is None or record[name] is None:
        return Cell(formatting.NO_VALUE, (record or {}).get("note", ""))
    start = "" if name == "rate" else f"{name}_"
    return share(record[name], record[f"{start}low"], record[f"{start}high"], record["n"])


def decimal(value: float | None, low: float | None = None, high: float | None = None) -> Cell:
    """A number in two decimals with its interval."""
    if value is None:
        return NONE
    interval = "" if low is None or high is None else f"[{low:.2f}, {high:.2f}]"
    return Cell(f"{value:.2f}".replace("-", "−"), interval.replace("-", "−"), key=value)


def radius(value: float | None, low: float | None, high: float | None, largest: float, norm: str) -> Cell:
    """A radius with its interval below; None is above the largest epsilon tried."""
    text, _, rest = formatting.epsilon_interval(value, low, high, largest, norm="").partition(" [")
    unit = f" ({formatting.grey_levels(value)})" if norm == "linf" and value else ""
    return Cell(text + unit, f"[{rest}" if rest else "", key=1e9 if value is None else value)


def by_epsilon(rows: Iterable[Mapping[str, Any]], *names: str) -> list[dict[str | int, Any]]:
    """Lines of a table with a column for each epsilon: of records that share the values of these fields the first, and each by its epsilon_index."""
    found: dict[tuple, dict[int, Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in names), {})[row["epsilon_index"]] = row
    return [{**line[min(line)], **line} for line in found.values()]


def epsilon_columns(
    steps: Mapping[int, tuple[float, str]], make: Callable[[Any, int], Cell] = lambda line, index: rate(line.get(index))
) -> list[Column]:
    """A column for each epsilon, by index with its norm; `make` is given a line, as of `by_epsilon` where it is absent, and the index."""
    ordered = sorted(steps.items())
    return [(epsilon_column(*step), lambda line, index=index: make(line, index)) for index, step in ordered]


def epsilon_column(epsilon: float, norm: str) -> str:
    """The header of a column of one epsilon, grey levels below."""
    if epsilon == 0:
        return "clean"
    name = f"{'severity' if norm == 'severity' else 'ε'} {formatting.number(epsilon)}"
    return name + (f"|{formatting.grey_levels(epsilon)}" if norm == "linf" else "")


def _inert(value: Any) -> Any:
    """A value for a CSV file: a text that a spreadsheet would run as a formula is quoted, as OWASP advises.

    >>> _inert("=HYPERLINK(1)"), _inert("nevus"), _inert(-0.5)
    ("'=HYPERLINK(1)", 'nevus', -0.5)
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _latex(text: str) -> str:
    """Text with LaTeX's special characters escaped.

    >>> print(_latex("50% of a_b ≥ {c} at ε −1"))
    50\\% of a\\_b $\\geq$ \\{c\\} at $\\varepsilon$ $-$1
    """
    return text.translate(_IN_LATEX)


_SIGNS = {"\\": r"\textbackslash ", "~": r"\textasciitilde ", "^": r"\textasciicircum ", "–": "--"}
_MATHS = {"ε": r"\varepsilon", "≥": r"\geq", "≤": r"\leq", "∞": r"\infty", "×": r"\times", "Δ": r"\Delta", "−": "-"}
_MATHS |= {sign: sign for sign in "<>"}
_IN_LATEX = str.maketrans(
    _SIGNS | {sign: rf"\{sign}" for sign in "%&#_{}$"} | {sign: f"${command}$" for sign, command in _MATHS.items()}
)
