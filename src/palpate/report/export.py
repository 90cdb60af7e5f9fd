"""The files beside the page: results.json, tables, figures, a card for each model, the methods, and the bill of materials."""

from collections.abc import Iterable
from pathlib import Path

from palpate.core import formatting
from palpate.core.io import write_json, write_text
from palpate.report import print_figures
from palpate.report.materials import bill_of_materials
from palpate.report.methods import cited, methods
from palpate.report.model_cards import model_cards
from palpate.report.run_data import RunData
from palpate.report.tables import Table


def folder_of(page: Path) -> Path:
    """Where the files of a page lie: in the run folder beside its report.html, or in a folder of the page's name beside the page."""
    return page.parent if (page.parent / "study.json").is_file() else page.with_suffix("")


def export(data: RunData, tables: Iterable[Table], folder: Path) -> None:
    """Write all files of a report but its page into a folder, made when absent; the same run gives the same bytes."""
    results = data.results.model_copy(update={"problems": tuple(data.problems)})
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "results.json", results.to_dict())
    for table in tables:
        for suffix, text in (("csv", table.csv()), ("md", table.markdown()), ("tex", table.latex())):
            write_text(folder / "tables" / f"{table.name}.{suffix}", text)
    paragraphs = methods(data)
    write_text(folder / "methods.md", "\n\n".join(paragraphs) + "\n")
    write_text(folder / "references.bib", cited(paragraphs))
    write_json(folder / "sbom.json", bill_of_materials(data))
    for name, card in model_cards(data).items():
        write_text(folder / "models" / name / "README.md", card)
    for task, found in results.tasks.items():
        for board in found.leaderboards:
            with formatting.native(found.scale):
                figure = print_figures.curves(board)
            print_figures.save(figure, folder / "figures" / f"{task}-{board.attack_id.replace('#', '-')}")
