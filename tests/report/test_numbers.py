"""Every number of the page equals results.json, and results.json equals a plain group-by of the rows."""

import json
import re

import numpy as np
import polars as pl
import pytest
from tests.runs import rewrite

from palpate.core import formatting, rows
from palpate.report.page.page import checked_models, write_report
from palpate.report.run_data import read

KEYS = ["model_id", "attack_id", "epsilon_index"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run in which images failed, some models saw fewer images, and radii lie between the epsilons; its page, numbers and rows."""
    from tests.report.conftest import write_run

    run = write_run(tmp_path_factory.mktemp("numbers") / "run", seeds=(0, 1), weak=(), samples=1, verdicts=True)
    for stage in read(run).complete("attack"):
        path = stage.folder / "images.parquet"
        number = pl.col("image_id").str.slice(5).cast(pl.Int64)
        kept = 40 if stage.model_id.startswith("resnet10t#") else 48
        lost = (number < 2) & (pl.col("epsilon_index") > 0)
        table = rows.read(path).filter(number < kept)
        radius = pl.when(pl.col("epsilon_index") > 0).then(0.003 * (number % 9))
        rewrite(
            table.with_columns(status=pl.when(lost).then(pl.lit("failed")).otherwise("status"), radius=radius), path
        )
    page = write_report(run).read_text(encoding="utf-8")
    return run, page, json.loads((run / "results.json").read_text(encoding="utf-8"))


def plain(run) -> pl.DataFrame:
    """Counts by the shortest group-by, straight from the files."""
    table = pl.concat([pl.read_parquet(file) for file in sorted(run.glob("attack-*/images.parquet"))])
    right = (pl.col("status") == "ok") & pl.col("correct")
    return table.group_by("task", *KEYS).agg(
        n=pl.len(), accuracy=right.mean(), failed=(pl.col("status") == "failed").sum()
    )


def test_results_are_a_group_by_of_the_rows(made):
    run, _, results = made
    counts = {(row["task"], *(row[key] for key in KEYS)): row for row in plain(run).iter_rows(named=True)}
    seen = 0
    for task, found in results["tasks"].items():
        for curve in found["curves"]:
            for point in curve["points"]:
                attack = curve["attack_id"] if point["epsilon_index"] else "none"
                row = counts[task, curve["model_id"], attack, point["epsilon_index"]]
                assert (point["n"], point["failed"]) == (row["n"], row["failed"])
                assert point["accuracy"] == pytest.approx(row["accuracy"], abs=1e-12)
                seen += 1
        for board in found["leaderboards"]:
            for entry in board["entries"]:
                for point in entry["accuracy"]:
                    attack = board["attack_id"] if point["epsilon_index"] else "none"
                    runs = [counts[task, name, attack, point["epsilon_index"]] for name in entry["runs"]]
                    assert point["value"] == pytest.approx(np.mean([row["accuracy"] for row in runs]), abs=1e-12)
                    assert entry["images"] == runs[0]["n"]
    assert seen == 2 * 4 * 7


def test_the_median_radius_is_the_median_of_the_rows(made):
    run, _, results = made
    table = pl.concat([pl.read_parquet(file) for file in sorted(run.glob("attack-*/images.parquet"))])
    for task, found in results["tasks"].items():
        for entry in found["leaderboards"][0]["entries"]:
            mine = table.filter(pl.col("task") == task, pl.col("model_id").is_in(entry["runs"]))
            right = mine.filter(epsilon_index=0, correct=True).select("model_id", "image_id")
            attacked = mine.filter(epsilon_index=1).with_columns(
                radius=pl.when(pl.col("status") == "ok").then("radius").otherwise(0.0)
            )
            radii = np.sort(attacked.join(right, on=["model_id", "image_id"])["radius"].to_numpy())
            assert entry["median_radius"]["value"] == radii[int(np.ceil(len(radii) / 2)) - 1]


def cells(page: str, name: str) -> list[list[str]]:
    """The texts of a table's cells, the small ones below apart by a space."""
    table = page[page.index(f'id="t-{name}"') :]
    body = table[table.index("<tbody>") : table.index("</table>")]
    lines = re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
    return [
        [
            " ".join(re.sub(r"<[^>]*>", " ", cell.replace("<wbr>", "")).split())
            for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line, re.DOTALL)
        ]
        for line in lines
    ]


def test_the_page_shows_the_numbers_of_results(made):
    _, page, results = made
    for task, found in results["tasks"].items():
        board = found["leaderboards"][0]
        shown = cells(page, f"{task}-leaderboard-{board['attack_id']}")
        assert len(shown) == len(board["entries"])
        for line, entry in zip(shown, board["entries"], strict=True):
            assert line[0].split()[0] == str(entry["rank"])
            assert line[1] == entry["name"]
            assert line[2] == str(len(entry["runs"]))
            assert line[3] == f"{entry['images']} {entry['failed']} failed"
            points = [entry["accuracy"][index] for index in (0, 1, 4, 6)]
            expected = [formatting.percent_interval(point["value"], point["low"], point["high"]) for point in points]
            assert [text.removeprefix("▾ ") for text in (line[4], *line[6:9])] == expected
            radius = entry["median_radius"]
            assert line[9].startswith(formatting.number(radius["value"]))
        whole = cells(page, f"{task}-accuracy-{board['attack_id']}")
        for line, entry in zip(whole, board["entries"], strict=True):
            expected = [
                formatting.percent_interval(point["value"], point["low"], point["high"])
                for point in entry["accuracy"][1:]
            ]
            assert line[6:] == expected
        for curve, line in zip(found["curves"], cells(page, f"{task}-runs-{board['attack_id']}"), strict=True):
            points = {point["epsilon_index"]: point for point in curve["points"]}
            assert line[0] == curve["model_id"]
            assert line[1].split()[0] == str(points[0]["n"])
            expected = [
                formatting.percent_interval(points[i]["accuracy"], points[i]["low"], points[i]["high"])
                for i in range(1, 7)
            ]
            assert line[5:] == expected


def test_checked_counts_models_and_not_results(made):
    run, page, results = made
    assert "8 models checked, 8 with a failed check" in " ".join(page.split())
    checks = list(read(run).results.checks)
    assert checked_models(checks + checks) == {"failed": 8, "others": 0}
    assert len(results["checks"]) == 8
