"""The files beside the page: results.json, tables, figures, a card for each model, the methods, and the bill of materials."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from palpate.core import formatting
from palpate.core.errors import InputError
from palpate.core.io import CHECKSUMS, sha256, write_json, write_text
from palpate.report import print_figures
from palpate.report.model_cards import bill_of_materials, model_cards
from palpate.report.run_data import RunData
from palpate.report.sections.methods import cited, methods
from palpate.report.tables import Table


def folder_of(page: Path) -> Path:
    """Where the files of a page lie: in the run folder beside its report.html, or in a folder of the page's name beside the page."""
    return page.parent if (page.parent / "study.json").is_file() else page.with_suffix("")


def export(data: RunData, tables: Iterable[Table], page: Path) -> None:
    """Write all files of a report but its page, and the checksums of them all and the page; the same run gives the same bytes.

    Raises:
        InputError: a folder to be written into is a link, which may lead anywhere.
    """
    folder = folder_of(page)
    results = data.results.model_copy(update={"problems": tuple(data.problems)})
    folder.mkdir(parents=True, exist_ok=True)
    for inner in ("tables", "figures", "models"):
        if (folder / inner).is_symlink():
            remedy = "remove the link"
            raise InputError(f"{folder / inner}: is a link, and a report is written only beside its page; {remedy}")
    texts: dict[Path, str] = {}
    for table in tables:
        for suffix, text in (("csv", table.csv()), ("md", table.markdown()), ("tex", table.latex())):
            texts[folder / "tables" / f"{_plain(table.name)}.{suffix}"] = text
    paragraphs = methods(data)
    texts[folder / "methods.md"] = "\n\n".join(paragraphs) + "\n"
    texts[folder / "references.bib"] = cited(paragraphs)
    texts |= {folder / "models" / _plain(name) / "README.md": card for name, card in model_cards(data).items()}
    for file, text in texts.items():
        write_text(file, text)
    write_json(folder / "results.json", results.to_dict())
    write_json(folder / "sbom.json", bill_of_materials(data))
    files = [page, folder / "results.json", folder / "sbom.json", *texts]
    for task, found in results.tasks.items():
        for board in found.leaderboards:
            with formatting.native(found.scale):
                figure = print_figures.curves(board)
            files += print_figures.save(figure, folder / "figures" / _plain(f"{task}-{board.attack_id}"))
    lines = [f"{sha256(file)}  {os.path.relpath(file, folder)}\n" for file in files]
    write_text(folder / CHECKSUMS, "".join(lines))


def _plain(name: str) -> str:
    """A name of tasks and attacks as a file may have it: their names come from files, and must not lead out of the folder.

    >>> _plain("isic-fast#1"), _plain("../../x")
    ('isic-fast-1', '-.-..-x')
    """
    return re.sub(r"^\W|[^\w.+-]", "-", name)[:200]
