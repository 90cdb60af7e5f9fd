"""The site of the documentation is made without a warning, and names every page."""

import logging

from mkdocs.commands.build import build
from mkdocs.config import load_config
from tests.sources import ROOT

import palpate
from palpate.attacks.minimum_norm import MinimumNorm


def test_the_site_is_made_and_every_page_has_its_place(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_MKDOCS_2_WARNING", "1")
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())
    logging.getLogger("mkdocs").addHandler(handler)
    try:
        config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path / "site"))
        build(config)
    finally:
        logging.getLogger("mkdocs").removeHandler(handler)
    assert said == []
    pages = {str(page.relative_to(ROOT / "docs").with_suffix("")) for page in (ROOT / "docs").rglob("*.md")}
    made = {str(page.parent.relative_to(tmp_path / "site")) for page in (tmp_path / "site").rglob("index.html")}
    assert {page for page in pages if page != "index"} <= made
    text = (tmp_path / "site" / "faq" / "index.html").read_text(encoding="utf-8")
    assert "fonts.googleapis" not in text
    reference = (tmp_path / "site" / "reference" / "index.html").read_text(encoding="utf-8")
    assert [name for name in palpate._PUBLIC if f'id="palpate.{name}"' not in reference] == []
    draws = MinimumNorm.model_fields["draws"]
    assert f"<p>{draws.description}</p>" in reference  # the settings of a specification, in a table
