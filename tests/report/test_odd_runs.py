"""Runs at the edge of what can be reported give a page, files and a terminal summary without NaN."""

import io
import re
from collections.abc import Callable

import polars as pl
import pytest
from rich.console import Console
from tests.runs import rewrite, unmake

from palpate.core import rows
from palpate.report.page.page import assemble, render_page, write_report
from palpate.report.run_data import read
from palpate.report.terminal import render


def change(run, edit: Callable[[pl.DataFrame], pl.DataFrame], kinds=("attack",)) -> None:
    for kind in kinds:
        for stage in read(run).complete(kind):
            path = stage.folder / "images.parquet"
            rewrite(edit(rows.read(path)), path)


def attacked(name: str, value: pl.Expr) -> Callable[[pl.DataFrame], pl.DataFrame]:
    here = pl.col("epsilon_index") > 0
    return lambda table: table.with_columns(
        pl.when(here).then(value).otherwise(name).alias(name).cast(table.schema[name])
    )


ODD = {
    "one epsilon": lambda table: table.filter(pl.col("epsilon_index") < 2),
    "one image": lambda table: table.filter(pl.col("image_id") == "test_0000"),
    "one class": lambda table: table.with_columns(label=pl.lit(1, pl.Int32)),
    "one patient": lambda table: table.with_columns(group_id=pl.lit("g")),
    "all at zero": attacked("correct", pl.lit(False)),
    "never fooled": lambda table: table.with_columns(correct=pl.lit(True), radius=pl.lit(float("inf"))),
    "all failed": attacked("status", pl.lit("failed")),
    "no gradient anywhere": attacked("status", pl.lit("no gradient")),
    "no gradient on some": attacked(
        "status", pl.when(pl.col("image_id") < "test_0010").then(pl.lit("no gradient")).otherwise("status")
    ),
    "all wrong when clean": lambda table: table.with_columns(correct=pl.lit(False)),
    "nothing but the clean rows": lambda table: table.filter(epsilon_index=0),
    "an l2 attack": lambda table: attacked("norm", pl.lit("l2"))(
        table.with_columns(epsilon=100 * pl.col("epsilon"), radius=90 * pl.col("epsilon"))
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_run_is_reported(make_run, name):
    run = make_run(samples=1, verdicts=True, weak=())
    change(run, ODD[name])
    data = read(run)
    page = render_page(data, assemble(data))
    assert not data.problems
    console = Console(width=80, file=io.StringIO(), color_system=None)
    console.print(render(data.results))
    text = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    assert max(map(len, text.splitlines())) <= 80
    shown = re.sub(r"<(script|style)\b.*?</\1>|<[^>]*>", " ", str(page), flags=re.DOTALL)
    assert not re.search(r"\b(nan|NaN|None|inf)\b", shown + text)
    if name == "an l2 attack":
        assert "(l2)" in page
        assert "0.125" in page
        assert "31.9/255" not in page


def test_a_hundred_classes_are_reported(make_run, tmp_path):
    run = make_run(tasks={"phantom-skin": [f"class {number}" for number in range(100)]}, weak=(), samples=1, n=300)
    page = write_report(run, tmp_path / "page.html")
    assert "class 99" in page.read_text()
    assert (tmp_path / "page" / "results.json").is_file()


def test_a_run_without_samples_is_reported(make_run):
    run = make_run(samples=1)
    for file in [*run.glob("explain-*/stage.json"), *run.glob("train-*/stage.json")]:
        unmake(file)
    data = read(run)
    sections = {name for name, _ in assemble(data)["phantom-skin"]}
    assert sections == {"curves", "contrasts", "confusion", "radii"}
    assert not data.problems
