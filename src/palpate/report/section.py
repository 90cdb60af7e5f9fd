"""What a section of the report is: a function that is given the run's data and returns a title and HTML, or None where it has nothing to say.

A new section is one new file in `report/sections/`, or a function of a plug-in:

    @SECTIONS.register("largest-radii")
    @ranked(35, scope="task")
    def largest_radii(data: RunData, task: str) -> Section | None:
        return Section("Images with the largest radii", Markup("<p>…</p>"))
"""

import dataclasses
import json
import re
import tomllib
from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeVar
from xml.sax.saxutils import escape as escape_xml

import jinja2
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup, escape

from palpate.core import formatting
from palpate.report.tables import Table

Scope = Literal["run", "task"]
Function = TypeVar("Function", bound=Callable[..., "Section | None"])

TASKS_RANK = 50
"""Sections of the whole run with a smaller rank stand before the tasks, the others after them."""


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        title: its heading.   html: what stands below the heading.
        menu: its name in the page's menu; "" leaves it out. Sections of a task are never in the menu.
        tables: those in the HTML that are also written as files.
    """

    title: str
    html: Markup
    menu: str = ""
    tables: tuple[Table, ...] = ()


@dataclasses.dataclass(frozen=True)
class Plot:
    """A Plotly figure, its name in the page, and what to say where it cannot be seen."""

    name: str
    figure: str  # JSON
    alt: str

    @property
    def json(self) -> Markup:
        """The figure, safe inside a script element."""
        return script_json(json.loads(self.figure))


def ranked(rank: float, scope: Scope = "run") -> Callable[[Function], Function]:
    """Decorator that gives a section its place.

    Args:
        rank: sections stand in rising order of it.
        scope: "run", called once with the run's data, or "task", called for each task with the run's data and the task's name.
    """

    def place(function: Function) -> Function:
        function.rank, function.scope = rank, scope  # pyright: ignore[reportFunctionMemberAccess]
        return function

    return place


def render(template: str, **values: Any) -> Markup:
    """Fill a template of `report/sections/`, `report/page/` or `report/viewer/`; everything that is not `Markup` is escaped."""
    return Markup(text(template, **values))


def text(template: str, **values: Any) -> str:
    """Fill a template that is no HTML, in which nothing is escaped."""
    return _ENVIRONMENT.get_template(template).render(**values)


def source(name: str) -> str:
    """A file of these folders as it is: a style sheet, a script, a list of facts."""
    return _LOADER.get_source(_ENVIRONMENT, name)[0]


def caption(name: str, /, **told: Any) -> str:
    """What captions.toml says above the tables of a name, its places filled."""
    return _CAPTIONS[name].format(**told)


def of_tables(title: str, tables: Iterable[Table | None], menu: str = "") -> Section | None:
    """A section that is nothing but tables; None where there is none."""
    found = tuple(one for one in tables if one)
    return Section(title, render("tables.html", tables=found), menu, found) if found else None


def script_json(value: Any) -> Markup:
    """JSON that is safe inside a script element; NaN is refused (ValueError)."""
    return htmlsafe_json_dumps(value, separators=(",", ":"), allow_nan=False)


def breakable(name: str) -> Markup:
    """A model's name that a narrow table may break where its parts meet.

    >>> breakable("resnet18+full#0")
    Markup('resnet18+<wbr>full#0')
    """
    return Markup(str(escape(name)).replace("+", "+<wbr>"))


def plain(text: str) -> str:
    """Text from outside as Markdown shows it: nothing becomes a tag, a table or a line of its own."""
    return re.sub(r"\s+", " ", text).replace("<", "&lt;").replace("|", "\\|")


def xml(text: str, quote: bool = True) -> str:
    """Text inside an element of XML, or in quotes as an attribute of one."""
    return escape_xml(text, {'"': "&quot;", "\r": "&#13;", "\n": "&#10;", "\t": "&#09;"} if quote else {})


_FOLDERS = [jinja2.PackageLoader("palpate.report", folder) for folder in ("sections", "page", "viewer")]
_LOADER = jinja2.ChoiceLoader(_FOLDERS)
_ENVIRONMENT = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
_ENVIRONMENT.loader, _ENVIRONMENT.autoescape = _LOADER, jinja2.select_autoescape(["html"])
_CAPTIONS: dict[str, str] = tomllib.loads(source("captions.toml"))
_ENVIRONMENT.globals["formatting"] = formatting
_ENVIRONMENT.filters |= {"breakable": breakable, "plain": plain, "xml": xml, "sentence": formatting.sentence}
