"""The page "paper against measured": the claims of `palpate.papers.wasserman2022.comparison` in one self-contained file.

It stands apart from the report because a run of other data has no paper to be held against.
"""

from importlib import resources
from pathlib import Path

import jinja2
from markupsafe import Markup

from palpate.papers.wasserman2022.comparison import NAMES, NOT_MEASURED, claims, reading
from palpate.papers.wasserman2022.print_figures import family
from palpate.report.load import read


def write_page(run: Path, out: Path | None = None) -> Path:
    """Write "paper against measured" as one self-contained page; RUN/paper.html when `out` is absent.

    Raises:
        InputError: `run` is no run folder.
    """
    material = read(Path(run))
    target = Path(out) if out is not None else material.path / "paper.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("palpate.papers.wasserman2022", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    page = environment.get_template("page.html").render(
        name=material.study.get("title") or material.study["name"],
        claims=claims(material),
        tasks=[
            (NAMES[kind], facts.get("title") or task, facts["size"], facts["images"], reading(material, task))
            for task, facts in material.tasks.items()
            if (kind := family(material, task))
        ],
        missing=NOT_MEASURED,
        style=Markup(resources.files("palpate.report.page").joinpath("style.css").read_text(encoding="utf-8")),
    )
    target.write_text(page, encoding="utf-8")
    return target
