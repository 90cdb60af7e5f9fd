"""Run folders that tests change on purpose: their records are written again, so that what was changed counts as made so."""

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl

from palpate.core import rows
from palpate.core.io import sha256, write_record
from palpate.core.run_folder import RunFolder


def edit(file: Path, **changes: Any) -> None:
    """Change values of a JSON record of a run folder."""
    record = json.loads(file.read_text(encoding="utf-8")) | changes
    record.pop("checksum", None)
    write_record(file, record)


def seal(run: Path) -> None:
    """Record the files of every stage output as they are now, and what they were made from."""
    folders = sorted(file.parent for file in run.glob("*-*/stage.json") if not file.parent.is_symlink())
    contents = {}
    for folder in folders:
        files = {
            file.name: {"size": file.stat().st_size, "sha256": sha256(file)}
            for file in sorted(folder.iterdir())
            if file.name != "stage.json" and file.is_file()
        }
        edit(folder / "stage.json", files=files)
        contents[folder.name] = RunFolder(run).stage(folder.name).content
    for folder in folders:
        parents = json.loads((folder / "stage.json").read_text(encoding="utf-8"))["parents"]
        edit(
            folder / "stage.json",
            made_from={one["id"]: contents[one["id"]] for one in parents if one["id"] in contents},
        )


def rewrite(table: pl.DataFrame, path: Path) -> None:
    """Put other rows into a stage output."""
    rows.write(table, path)
    seal(path.parents[1])


def unmake(record: Path) -> None:
    """Remove the stage output that a stage.json belongs to."""
    shutil.rmtree(record.parent)
