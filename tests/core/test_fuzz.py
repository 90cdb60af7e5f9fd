"""A short version of benchmarks/fuzz.py: damaged records, rows and npz files end in an error of palpate's own, and touch nothing else."""

import io
import random
import sys
import tomllib
import zipfile

import numpy as np
import polars as pl
import pytest
from tests.core.stages import CHILD, STAGE, make, make_child, write_study
from tests.mutations import damage_run, mutate, mutate_json
from tests.runs import edit

from palpate.cli.main import main
from palpate.core import rows
from palpate.core.errors import InputError
from palpate.core.examine import examine
from palpate.core.io import MOST_BYTES
from palpate.core.npz import read_arrays
from palpate.core.run_folder import open_run
from palpate.report.page.page import write_report
from palpate.study.spec import Study
from palpate.study.starter import STARTER


def _look(folder) -> dict:
    return {
        path: (path.lstat().st_mtime_ns, path.is_file() and path.stat().st_size < MOST_BYTES)
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("start", range(0, 60, 20))
def test_a_damaged_run_is_examined_and_nothing_is_touched(tmp_path, start):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine.txt").write_text("years of work")
    (outside / "stage.json").write_text("{}")
    for seed in range(start, start + 20):
        run = open_run(tmp_path / f"run{seed}", "s")
        write_study(run)
        make(run)
        make_child(run)
        run.record_failure(CHILD, "it broke", "trace")
        done = damage_run(run.path, outside, random.Random(seed))
        before = _look(tmp_path)
        try:
            found = examine(run)
            assert {output.id for output in found.outputs} >= {STAGE.id} or found.problems or "folder" in done, done
            run.failures(), run.busy(STAGE.id), run.complete(STAGE.id)
            run.study()
        except InputError:
            pass
        assert _look(tmp_path) == before, done


def test_text_that_a_terminal_or_a_page_cannot_hold_is_shown_escaped(tmp_path, monkeypatch):
    run = open_run(tmp_path / "run", "s")
    write_study(run)
    stages = [stage.to_dict() | {"title": "half \ud800 ε"} for stage in run.study().stages]
    edit(run.path / "study.json", stages=stages, title="half \ud800 ε")
    shown = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", shown)
    monkeypatch.setattr(sys, "argv", ["palpate", "status", str(run.path)])
    with pytest.raises(SystemExit):
        main()
    shown.flush()
    assert rb"half \ud800 \u03b5" in shown.buffer.getvalue()
    write_report(run.path)
    assert r"half \ud800 ε" in (run.path / "report.html").read_text(encoding="utf-8")


def test_damaged_rows_and_arrays_are_refused(tmp_path):
    file = tmp_path / "a"
    rows.write(pl.DataFrame({name: pl.Series([None] * 4, dtype=kind) for name, kind in rows.SCHEMA.items()}), file)
    table = file.read_bytes()
    np.savez_compressed(tmp_path / "b.npz", a=np.arange(30), b=np.array(["x", "y"]))
    arrays = (tmp_path / "b.npz").read_bytes()
    refused = 0
    for seed in range(150):
        for content, read in ((table, rows.read), (arrays, read_arrays)):
            file.write_bytes(mutate(content, random.Random(seed)))
            try:
                read(file)
            except InputError:
                refused += 1
    assert refused > 200


def test_studies_of_odd_values_are_read_or_refused():
    study, refused = tomllib.loads(STARTER.read_text(encoding="utf-8")), 0
    for seed in range(300):
        value = mutate_json(study, random.Random(seed))
        try:
            Study.read(value if isinstance(value, dict) else {"name": value}, "study")
        except InputError as error:
            refused += 1
            assert len(str(error)) < 5000
    assert refused > 100


def test_an_npz_that_claims_more_than_there_is_takes_no_memory(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (3 * 10**12,)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", header.getvalue() + b"few")
    with pytest.raises(InputError, match="another length than its header says"):
        read_arrays(tmp_path / "a.npz")
    with pytest.raises(InputError, match="Python objects"):
        np.savez(tmp_path / "b.npz", a=np.array([{}], dtype=object))
        read_arrays(tmp_path / "b.npz")
