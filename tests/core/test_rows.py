"""The row: a table of other columns or types is neither written nor read."""

import polars as pl
import pytest

from palpate.core import rows
from palpate.core.errors import InputError

RECORD = {
    "task": "t",
    "split": "test",
    "image_id": "a.png",
    "group_id": "1",
    "finding": "f",
    "label": 0,
    "model_id": "m#0",
    "backbone": "m",
    "attention": "none",
    "training": "paper",
    "seed": 0,
    "attack_id": "none",
    "attack": "none",
    "norm": None,
    "target": None,
    "epsilon": 0.0,
    "epsilon_index": 0,
    "inherited": False,
    "logits": [0.5, -0.5],
    "prediction": 0,
    "correct": True,
    "margin": 1.0,
    "radius": None,
    "linf": 0.0,
    "in_ball": True,
    "in_box": True,
    "survives_rounding": None,
    "passes_forward": 1,
    "passes_backward": 0,
    "status": "ok",
}


def rows_of(*records: dict) -> pl.DataFrame:
    return pl.DataFrame(list(records), schema=rows.SCHEMA, strict=True)


def test_rows_survive_the_file(tmp_path):
    table = rows_of(RECORD, RECORD | {"image_id": "b.png", "radius": float("inf")})
    rows.write(table, tmp_path / "images.parquet")
    assert rows.read(tmp_path / "images.parquet").equals(table)


def test_a_table_of_other_columns_is_refused_on_writing_and_reading(tmp_path):
    other = rows_of(RECORD).drop("margin")
    with pytest.raises(ValueError, match="not a table of rows"):
        rows.write(other, tmp_path / "x.parquet")
    other.write_parquet(tmp_path / "x.parquet")
    with pytest.raises(InputError, match="margin"):
        rows.read(tmp_path / "x.parquet")


def test_a_file_that_is_absent_or_cut_short_is_named(tmp_path):
    with pytest.raises(InputError, match=r"absent\.parquet"):
        rows.read(tmp_path / "absent.parquet")
    rows.write(rows_of(RECORD), tmp_path / "cut.parquet")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "cut.parquet").read_bytes()[:-40])
    with pytest.raises(InputError, match=r"cut\.parquet"):
        rows.read(tmp_path / "cut.parquet")


def test_files_of_rows_become_one(tmp_path):
    tables = [rows_of(*(RECORD | {"image_id": f"{place}{number}.png"} for number in range(3))) for place in "abc"]
    files = [tmp_path / f"{number}.parquet" for number in range(3)]
    for table, file in zip(tables, files, strict=True):
        rows.write(table, file)
    rows.join(files, tmp_path / "images.parquet")
    assert rows.read(tmp_path / "images.parquet").equals(pl.concat(tables))
