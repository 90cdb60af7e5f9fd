"""The files beside the page: results.json, every table as CSV, Markdown and LaTeX, and every curve as PDF, SVG and PNG."""

from collections.abc import Iterable
from pathlib import Path

from palpate.core import formatting
from palpate.core.io import write_json, write_text
from palpate.report import print_figures
from palpate.report.results import Results
from palpate.report.tables import Table


def folder_of(page: Path) -> Path:
    """Where the files of a page lie: in the run folder beside its report.html, or in a folder of the page's name beside the page."""
    return page.parent if (page.parent / "study.json").is_file() else page.with_suffix("")


def export(results: Results, tables: Iterable[Table], folder: Path) -> None:
    """Write results.json, tables/ and figures/ into a folder, made when absent; the same results give the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "results.json", results.to_dict())
    for table in tables:
        for suffix, text in (("csv", table.csv()), ("md", table.markdown()), ("tex", table.latex())):
            write_text(folder / "tables" / f"{table.name}.{suffix}", text)
    for task, found in results.tasks.items():
        for board in found.leaderboards:
            with formatting.native(found.scale):
                figure = print_figures.curves(board)
            print_figures.save(figure, folder / "figures" / f"{task}-{board.attack_id.replace('#', '-')}")
