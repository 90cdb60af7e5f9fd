"""The terminal shows the ranked models within 80 columns, never cuts a number, and says what is missing."""

import io
import re

from rich.console import Console
from tests.runs import unmake

from palpate.report.page.page import write_report
from palpate.report.run_data import read
from palpate.report.terminal import render, summary


def printed(renderable, width: int = 80) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(renderable)
    return console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def test_it_is_printed_from_the_results_file(make_run, tmp_path):
    run = make_run(samples=2)
    expected = printed(render(read(run).results))
    assert printed(summary(write_report(run))) == expected
    assert printed(summary(write_report(run, tmp_path / "page.html"))) == expected


def test_every_shown_number_is_whole_within_80_columns(whole_run):
    results = read(whole_run).results
    text = printed(render(results))
    assert max(map(len, text.splitlines())) <= 80
    for entry in results.tasks["phantom-skin"].leaderboards[0].entries:
        for point in (entry.accuracy[0], entry.accuracy[1], entry.accuracy[4], entry.accuracy[6]):
            assert f" {100 * point.value:.0f}%" in text
            assert f"[{100 * point.low:.0f}, {100 * point.high:.0f}]" in text
    assert text.count("no signal ") == 2 * 3 + 1


def test_thirty_models_are_ten_ranked_ones_and_a_count(make_run):
    models = tuple((f"net{number:02d}", attention) for number in range(15) for attention in ("none", "full"))
    run = make_run(models=models, weak=(), samples=1, n=24, verdicts=True, tasks={"phantom-skin": ["a", "b"]})
    results = read(run).results
    text = printed(render(results))
    assert max(map(len, text.splitlines())) <= 80
    assert "… and 20 more models on the page." in text
    assert re.findall(r"^ *(\d+)  ?net", text, re.MULTILINE) == [str(place) for place in range(1, 11)]
    assert len(text.splitlines()) < 110
    assert "Checks of the other models: 20 a check failed." in " ".join(text.split())


def test_gaps_are_said(make_run):
    text = printed(render(read(make_run(failed=("attack",), missing=("explain",))).results))
    assert "1 of 16 stages failed." in text
    assert "1 of 16 stages missing." in text


def test_a_run_without_results_still_prints(make_run):
    run = make_run()
    for file in run.glob("*/stage.json"):
        unmake(file)
    text = printed(render(read(run).results))
    assert text.count("No model of this task has been attacked yet.") == 2
    assert "16 of 16 stages missing." in text


def test_the_absence_of_verdicts_is_said_and_their_result_too(make_run):
    assert "Attack not verified: no trust checks were run." in printed(render(read(make_run(samples=2)).results))


def test_few_verdicts_are_all_listed(make_run):
    text = " ".join(printed(render(read(make_run(verdicts=True, samples=2)).results)).split())
    assert "resnet10t#0 on Phantom skin: 1 of 4 checks failed: twice the steps, 1 with a warning, 1 not run." in text
    assert "not verified" not in text
