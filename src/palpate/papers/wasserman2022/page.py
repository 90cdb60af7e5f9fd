"""The page "paper against measured": the claims of `palpate.papers.wasserman2022.comparison` in one self-contained file.

It stands apart from the report because a run of other data has no paper to be compared with.
"""

from pathlib import Path

import jinja2
from markupsafe import Markup

from palpate.core.io import write_text
from palpate.papers.wasserman2022.comparison import NAMES, NOT_MEASURED, claims, family, reading
from palpate.report.run_data import read
from palpate.report.section import source


def write_page(run: Path, out: Path | None = None) -> Path:
    """Write "paper against measured" as one self-contained page; RUN/paper.html when `out` is absent.

    Raises:
        InputError: `run` is no run folder.
    """
    data = read(Path(run))
    target = Path(out) if out is not None else data.path / "paper.html"
    loader = jinja2.PackageLoader("palpate.papers.wasserman2022", ".")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    tasks = []
    for task, record in data.study.tasks.items():
        if kind := family(data, task):
            tasks.append((NAMES[kind], record.title or task, record.size, record.images, reading(data, task)))
    told = {"name": data.results.title, "claims": claims(data), "tasks": tasks, "missing": NOT_MEASURED}
    page = environment.get_template("page.html").render(style=Markup(source("style.css")), **told)
    write_text(target, page)
    return target
