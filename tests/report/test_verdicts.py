"""Verdicts are shown worst first, counted as the checks count them, and their absence is shown too."""

import json

from tests.runs import seal, unmake

from palpate.core.records import summarise_verdicts
from palpate.report.run_data import read
from palpate.report.sections.verdicts import section
from palpate.report.verdicts import amount


def test_verdicts_are_ranked(make_run):
    found = read(make_run(verdicts=True, samples=2)).results.checks
    assert [(one.task, one.model_id) for one in found][::3] == [
        ("phantom-skin", "resnet10t#0"),
        ("phantom-chest", "resnet10t+full#0"),
    ]
    assert [one.status for one in found[0].verdicts if not one.information] == ["fail", "warn", "not run", "pass"]
    assert found[0].status == "fail"
    assert found[0].summary == summarise_verdicts(found[0].verdicts)
    assert found[0].summary == "1 of 4 checks failed: twice the steps, 1 with a warning, 1 not run"
    sharpness = next(one for one in found[0].verdicts if one.information)
    assert (amount(sharpness, "figure"), amount(sharpness, "threshold")) == ("1.25 share", "–")


def test_no_failure_is_never_called_more_than_that(make_run):
    run = make_run(verdicts=True, samples=2)
    for file in run.glob("trust-*/verdicts.json"):
        file.write_text(json.dumps([one for one in json.loads(file.read_text()) if one["status"] != "fail"]))
    seal(run)
    found = read(run).results.checks[0]
    assert found.summary == "no failure detected by 2 of 3 checks, 1 with a warning, 1 not run"
    assert found.status == "warn"


def test_unreadable_failed_and_missing_checks_verify_nothing_and_say_so(make_run):
    run = make_run(verdicts=True, samples=2, failed=("trust",))
    stages = read(run).complete("trust")
    (stages[0].folder / "verdicts.json").write_text("{")
    seal(run)
    unmake(stages[1].folder / "stage.json")
    (stages[2].folder / "verdicts.json").write_text("[]")
    found = read(run).results.checks
    assert len(found) == 4
    unverified = [one for one in found if one.status == "not run"]
    assert [one.summary.startswith("attack not verified") for one in unverified] == [True] * 4
    assert "cannot be read" in unverified[0].summary
    assert any("RuntimeError: <injected>" in one.summary for one in unverified)
    assert any("not run yet" in one.summary for one in unverified)
    assert any("are damaged" in one.summary for one in unverified)


def test_the_section_counts_models_and_shows_the_alarming_first(make_run):
    html = section(read(make_run(verdicts=True, samples=2))).html
    assert "Of 4 results, 4 failed a check, 0 have a warning only, 0 show no failure, and 0 were not verified." in html
    assert html.index("twice the steps</b>: Attack with more steps") < html.index("input range")
