"""The files beside a page: listed with their checksums, never outside their folder, and no formulas for a spreadsheet."""

import csv
import subprocess

import polars as pl
import pytest
from tests.runs import rewrite

from palpate.core.errors import InputError
from palpate.core.examine import examine
from palpate.core.run_folder import RunFolder
from palpate.report.page.page import write_report
from palpate.report.run_data import read


def test_every_file_of_a_report_is_listed_with_its_checksum(make_run):
    run = make_run(samples=1)
    before = set(run.rglob("*"))
    write_report(run)
    listed = {line.split("  ")[1] for line in (run / "report.sha256").read_text().splitlines()}
    made = {str(file.relative_to(run)) for file in set(run.rglob("*")) - before if file.is_file()}
    assert listed == made - {"report.sha256"}
    done = subprocess.run(["sha256sum", "--check", "--strict", "report.sha256"], cwd=run, capture_output=True)
    assert done.returncode == 0
    assert examine(RunFolder(run)).report == ()
    (run / "tables" / sorted(run.glob("tables/*"))[0].name).write_text("0.99")
    (run / "results.json").unlink()
    assert len(examine(RunFolder(run)).report) == 2


def test_names_from_rows_lead_nowhere_and_formulas_are_quoted(make_run, tmp_path):
    run = make_run(samples=1, tasks={"phantom-skin": ["a", "b"]}, weak=())
    stage = read(run).complete("attack")[0]
    path = stage.folder / "images.parquet"
    attacked = pl.col("epsilon_index") > 0
    evil = "=/../../../../../evil"
    named = pl.when(attacked).then(pl.lit(evil)).otherwise("attack_id").alias("attack_id")
    rewrite(pl.read_parquet(path).with_columns(named), path)
    before = {file for file in tmp_path.rglob("*") if run not in file.parents}
    write_report(run)
    assert {file for file in tmp_path.rglob("*") if run not in file.parents} == before
    assert any("evil" in file.name for file in (run / "figures").iterdir())
    cells = [
        cell for file in run.glob("tables/*.csv") for row in csv.reader(file.read_text().splitlines()) for cell in row
    ]
    assert f"'{evil}" in cells
    assert not [cell for cell in cells if cell.startswith(("=", "@", "+"))]


def test_a_report_is_not_written_through_a_link(make_run, tmp_path):
    run = make_run(samples=1)
    (tmp_path / "elsewhere").mkdir()
    (run / "tables").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="tables: is a link"):
        write_report(run)
    assert not list((tmp_path / "elsewhere").iterdir())
