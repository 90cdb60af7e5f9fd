"""Verdicts are shown worst first, counted as the checks count them, and their absence is shown too."""

import json

from palpate.report.checks import checks, summarise
from palpate.report.load import read
from palpate.verdicts.verdict import Status, Verdict, summary


def test_verdicts_are_ranked_and_figures_without_a_threshold_stand_apart(make_run):
    found = checks(read(make_run(verdicts=True, samples=2)))
    assert [one.title for one in found][::3] == ["resnet10t#0 on Phantom skin", "resnet10t+full#0 on Phantom chest"]
    assert [verdict["status"] for verdict in found[0].verdicts] == ["fail", "warn", "not run", "pass"]
    assert [verdict["name"] for verdict in found[0].information] == ["sharpness"]
    assert found[0].status == "fail"
    assert found[0].summary == "1 of 4 checks failed: twice the steps, 1 with a warning, 1 not run"
    assert [verdict["name"] for verdict in found[0].alarming] == ["twice the steps", "gradients zero"]


def test_the_summary_is_the_cells_own_where_it_wrote_one(make_run):
    run = make_run(verdicts=True, samples=2)
    cell = read(run).complete("trust")[0]
    (cell.folder / "cell.json").write_text(json.dumps(cell.record | {"facts": {"summary": "its own words"}}))
    assert checks(read(run))[0].summary == "its own words"


def test_it_counts_as_the_checks_do():
    cases: list[list[Status]] = [["pass", "not run"], ["pass", "warn", "fail", "fail"], ["not run"], ["warn", "pass"]]
    for statuses in cases:
        verdicts = [Verdict(f"c{i}", "model", status, 0.0, 1.0, "points", "", "") for i, status in enumerate(statuses)]
        assert summarise(tuple(verdict.to_dict() for verdict in verdicts)) == summary(verdicts)


def test_no_failure_is_never_called_more_than_that(make_run):
    run = make_run(verdicts=True, samples=2)
    for file in run.glob("trust-*/verdicts.json"):
        verdicts = [verdict for verdict in json.loads(file.read_text()) if verdict["status"] != "fail"]
        file.write_text(json.dumps(verdicts))
    found = checks(read(run))[0]
    assert found.summary == "no failure detected by 2 of 3 checks, 1 with a warning, 1 not run"
    assert found.status == "warn"


def test_unreadable_failed_and_missing_checks_are_lines_that_verify_nothing(make_run):
    run = make_run(verdicts=True, samples=2, failed=("trust",))
    cells = read(run).complete("trust")
    (cells[0].folder / "verdicts.json").write_text("{")
    (cells[1].folder / "cell.json").unlink()
    found = checks(read(run))
    assert len(found) == 4
    unverified = [one for one in found if one.status == "not run"]
    assert [one.summary.startswith("attack not verified") for one in unverified] == [True] * 3
    assert "cannot be read" in unverified[0].summary
    assert any("RuntimeError: <planted>" in one.summary for one in unverified)
    assert any("not run yet" in one.summary for one in unverified)
