"""Tables of a report: made once, then written into the page, into CSV at full precision, and into Markdown and LaTeX for an article."""

import base64
import csv
import dataclasses
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from palpate.core import formatting


@dataclasses.dataclass(frozen=True)
class Cell:
    """What stands at one place of a table.

    Attributes:
        text: the number or name.   below: what the page writes under it in small letters, such as an interval.
        mark: its style on the page: "below" (the majority rate), "left", "none", "bad", or "status" and a status of a check.
        key: what the page sorts by; by the text where absent.   span: columns that it takes.
    """

    text: str
    below: str = ""
    mark: str = ""
    key: float | None = None
    span: int = 1

    def __str__(self) -> str:
        return f"{self.text} {self.below}".strip()


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of the report.

    Attributes:
        name: of its files, unique in the report, such as "ham10000-leaderboard".   caption: a sentence or two.
        columns: header; a text after "|" is written below the first in small letters.
        rows: of cells.   records: what the CSV holds, at full precision.
        header: the column that names the row.   line: rows from here on stand below a line; None where none do.
        sortable: whether a click on a column sorts the page's table.
    """

    name: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    records: tuple[Mapping[str, Any], ...]
    header: int = 0
    line: int | None = None
    sortable: bool = False

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
        lines = [header, ["---"] + ["--:"] * (len(header) - 1), *(_filled(row) for row in self.rows)]
        body = "\n".join("| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in lines)
        return f"{self.caption}\n\n{body}\n"

    def latex(self) -> str:
        """The table as the page shows it, as a LaTeX table in the style of the booktabs package."""
        rows = [" & ".join(map(_latex, _filled(row))) + r" \\" for row in self.rows]
        if self.line is not None:
            rows.insert(self.line, r"\midrule")
        header = " & ".join(_latex(column.replace("|", " = ")) for column in self.columns) + r" \\"
        return "\n".join(
            [
                r"\begin{table}",
                rf"\caption{{{_latex(self.caption)}}}",
                rf"\begin{{tabular}}{{l{'r' * (len(self.columns) - 1)}}}",
                r"\toprule",
                header,
                r"\midrule",
                *rows,
                r"\bottomrule",
                r"\end{tabular}",
                r"\end{table}",
                "",
            ]
        )


def share(value: float | None, low: float | None, high: float | None, n: int, majority: float | None = None) -> Cell:
    """A share of n images with its interval; marked where it lies below a majority rate."""
    mark = "below" if value is not None and majority is not None and value < majority else ""
    return Cell(formatting.percent(value, n), formatting.interval(low, high, n), mark, value)


def epsilon_column(epsilon: float, norm: str, prefix: str = "ε ") -> str:
    """The header of a column of one epsilon, grey levels below."""
    if epsilon == 0:
        return "clean"
    return f"{prefix}{formatting.number(epsilon)}" + (f"|{formatting.grey_levels(epsilon)}" if norm == "linf" else "")


def _inert(value: Any) -> Any:
    """A value for a CSV file: a text that a spreadsheet would run as a formula is quoted, as OWASP advises.

    >>> _inert("=HYPERLINK(1)"), _inert("nevus"), _inert(-0.5)
    ("'=HYPERLINK(1)", 'nevus', -0.5)
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _filled(row: Sequence[Cell]) -> list[str]:
    """The texts of a row, with "" for the columns that a wide cell takes."""
    return [text for cell in row for text in (str(cell), *[""] * (cell.span - 1))]


def _latex(text: str) -> str:
    """Text with LaTeX's special characters escaped.

    >>> print(_latex("50% of a_b ≥ {c} at ε −1"))
    50\\% of a\\_b $\\geq$ \\{c\\} at $\\varepsilon$ $-$1
    """
    text = re.sub(r"\\", r"\\textbackslash ", text)
    text = re.sub(r"([%&#_{}$])", r"\\\1", text)
    for sign, command in (
        ("ε", r"$\varepsilon$"),
        ("−", "$-$"),
        ("≥", r"$\geq$"),
        ("≤", r"$\leq$"),
        ("∞", r"$\infty$"),
    ):
        text = text.replace(sign, command)
    for sign, command in (
        ("×", r"$\times$"),
        ("<", "$<$"),
        (">", "$>$"),
        ("–", "--"),
        ("Δ", r"$\Delta$"),
        ("~", r"\textasciitilde "),
    ):
        text = text.replace(sign, command)
    return text.replace("^", r"\textasciicircum ")
