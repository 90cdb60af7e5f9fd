"""The opening section: one sentence and one table per task, ranked alike on the page, in the terminal and in the files."""

import csv
import dataclasses
import io
import json
import re

import polars as pl
import pytest
from rich.console import Console
from tests.runs import rewrite, seal, unmake

from palpate.core import rows
from palpate.report.page.page import write_report
from palpate.report.run_data import read
from palpate.report.sections.leaderboard import board_table, checked, radius_text, section, sentence
from palpate.report.terminal import summary

MODELS = (("weak", "none"), ("sound", "none"))


def change(run, model: str, **columns) -> None:
    for stage in read(run).complete("attack", model_id=model):
        path = stage.folder / "images.parquet"
        rewrite(rows.read(path).with_columns(**columns), path)


def order_everywhere(run) -> list[list[str]]:
    """The models in their order on the page, in the terminal, in results.json and in the CSV."""
    page = write_report(run)
    text = page.read_text()
    table = text[text.index('id="t-phantom-skin-leaderboard') :]
    shown = re.findall(r'<th scope="row">(\w+)</th>', table[: table.index("</table>")])
    console = Console(width=80, file=io.StringIO(), color_system=None)
    console.print(summary(page))
    printed = re.findall(r"^ *\d+ (sound|weak)", console.file.getvalue(), re.MULTILINE)  # pyright: ignore[reportAttributeAccessIssue]
    board = json.loads((run / "results.json").read_text())["tasks"]["phantom-skin"]["leaderboards"][0]
    lines = csv.DictReader((run / "tables" / "phantom-skin-leaderboard-foolbox-pgd-20.csv").read_text().splitlines())
    return [shown, printed, [entry["name"] for entry in board["entries"]], [line["model"] for line in lines]]


@pytest.mark.parametrize("clean", [41, 20])
def test_the_model_better_at_every_epsilon_is_first_everywhere(make_run, clean):
    """Also where the worse one has the larger median radius, and where its clean accuracy lies below the majority rate."""
    run = make_run(models=MODELS, tasks={"phantom-skin": ["a", "b"]}, weak=(), samples=1)
    image, index = pl.col("image_id").str.slice(5).cast(pl.Int64), pl.col("epsilon_index")
    change(run, "sound#0", correct=image < 46 - 6 * index)
    change(run, "weak#0", correct=image < (clean - 3 * index).clip(0, 44 - 6 * index))
    found = read(run).results.tasks["phantom-skin"].leaderboards[0].entries
    assert [(entry.name, entry.rank) for entry in found] == [("sound", 1), ("weak", 2)]
    assert (found[1].accuracy[0].value < found[1].majority_rate) == (clean == 20)
    assert order_everywhere(run) == [["sound", "weak"]] * 4


def test_the_sentence_names_the_median_radius_of_the_first_and_the_second(whole_run):
    found = read(whole_run).results.tasks["phantom-skin"]
    best, other = found.leaderboards[0].entries
    assert best.median_radius is not None
    text = sentence(found)
    assert text.startswith(
        f"Attacked by foolbox-pgd-20 on 48 images, {best.name} loses half of its correct predictions at ε ≤ "
    )
    assert other.name in text
    assert radius_text(found.leaderboards[0], other).removeprefix("≤ ") in text
    assert "robust" not in text


def test_a_curve_that_never_falls_is_not_praised(make_run):
    run = make_run(models=MODELS, tasks={"phantom-skin": ["a", "b"]}, weak=(), samples=1)
    change(run, "sound#0", correct=pl.lit(True))
    text = sentence(read(run).results.tasks["phantom-skin"])
    assert "sound keeps more than half of its correct predictions up to the largest ε tried, 0.04 (10.2/255)" in text


def test_numbers_are_those_of_the_attacked_images_with_failed_ones(make_run):
    run = make_run(models=MODELS, tasks={"phantom-skin": ["a", "b"]}, weak=(), samples=1)
    lost = (pl.col("image_id") < "test_0003") & (pl.col("epsilon_index") > 0)
    change(run, "weak#0", status=pl.when(lost).then(pl.lit("failed")).otherwise("status"))
    results = read(run).results
    board = results.tasks["phantom-skin"].leaderboards[0]
    entry = next(entry for entry in board.entries if entry.name == "weak")
    assert (entry.images, entry.failed) == (48, 3)
    table = board_table(results, "phantom-skin", board)
    row = next(row for row in table.rows if row[1].text == "weak")
    assert (str(row[2]), row[2].mark) == ("48 3 failed", "bad")
    assert (
        str(row[3])
        == f"{100 * entry.accuracy[0].value:.0f}% [{100 * entry.accuracy[0].low:.0f}, {100 * entry.accuracy[0].high:.0f}]"
    )


def test_checks_of_all_runs_count(make_run):
    run = make_run(models=MODELS, seeds=(0, 1), tasks={"phantom-skin": ["a", "b"]}, weak=(), samples=1, verdicts=True)
    trust = read(run).complete("trust", model_id="sound#1")[0]
    for file in run.glob("trust-*/verdicts.json"):
        verdicts = [one for one in json.loads(file.read_text()) if one["status"] == "pass"]
        file.write_text(json.dumps(verdicts if file.parent != trust.folder else verdicts[:0]))
    seal(run)
    results = read(run).results
    entries = {entry.name: entry for entry in results.tasks["phantom-skin"].leaderboards[0].entries}
    assert checked(results, "phantom-skin", entries["weak"]) == "pass"
    assert checked(results, "phantom-skin", entries["sound"]) == "not run"


def test_tasks_without_an_attack_say_so(make_run):
    run = make_run(samples=1)
    for file in run.glob("attack-*/stage.json"):
        unmake(file)
    assert section(read(run)).html.count("No model of this task has been attacked yet.") == 2


@pytest.mark.parametrize(("lows", "words"), [((1, 2), None), ((1, 1), "do not tell them apart"), ((None, None), None)])
def test_models_that_may_all_be_first_are_said(whole_run, lows, words):
    found = read(whole_run).results.tasks["phantom-skin"]
    board = found.leaderboards[0]
    both = zip(board.entries, lows, strict=True)
    entries = tuple(dataclasses.replace(entry, rank_low=low) for entry, low in both)
    text = sentence(found.model_copy(update={"leaderboards": (dataclasses.replace(board, entries=entries),)}))
    assert words in text if words else "These images" not in text
    third = dataclasses.replace(entries[1], rank_low=3, name="third")
    text = sentence(found.model_copy(update={"leaderboards": (dataclasses.replace(board, entries=(*entries, third)),)}))
    assert ("do not tell the first 2 apart" in text) == (words is not None)
