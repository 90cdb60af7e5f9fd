"""What every section of a report is given: the run's stages and tables, and the numbers made of them."""

import dataclasses
from pathlib import Path

from palpate.report.results import Results, measure
from palpate.report.stages import StageTables, open_tables


@dataclasses.dataclass(frozen=True)
class RunData(StageTables):
    """A run folder and its numbers: `results` holds every number, the methods of `StageTables` give the rows behind them."""

    results: Results


def read(path: Path) -> RunData:
    """Read a run folder, complete or not.

    Raises:
        InputError: the folder is no run folder, was made by another version, or its study.json cannot be read.
    """
    tables = open_tables(path)
    return RunData(tables.path, tables.study, tables.stages, tables.problems, measure(tables))
