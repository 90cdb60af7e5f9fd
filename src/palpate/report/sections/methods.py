"""The methods of the run as text to be pasted into an article, with BibTeX."""

from palpate.core.registry import SECTIONS
from palpate.report.methods import cited, methods
from palpate.report.run_data import RunData
from palpate.report.section import Section, ranked, render


@SECTIONS.register("methods")
@ranked(95)
def section(data: RunData) -> Section:
    """Two texts, each with a button that copies it; both also lie beside the page as methods.md and references.bib."""
    paragraphs = methods(data)
    return Section(
        "Methods, to be pasted", render("methods.html", paragraphs=paragraphs, bibtex=cited(paragraphs)), "Methods"
    )
