"""Acceptance criteria: their file, what they say of a run, the exit statuses and the formats for other tools."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from palpate.cli.main import application
from palpate.core import rows
from palpate.core.errors import InputError
from palpate.report.acceptance import check_run
from palpate.report.acceptance_formats import junit, sarif
from palpate.statistics.acceptance import judge
from palpate.statistics.criteria import Criterion, read_criteria
from palpate.statistics.curves import curve

EPSILON = 1 / 255


def table(correct: int, n: int, model: str = "net#0", radius: float = 3 / 255, first: int = 0) -> pl.DataFrame:
    """n right images of two classes, `correct` of which are still right at 1/255; the others have half that radius."""
    records = []
    for at, index in ((0.0, 0), (EPSILON, 1)):
        for i in range(n):
            right = index == 0 or i < correct
            records.append(
                dict.fromkeys(rows.SCHEMA)
                | {
                    "task": "t", "split": "test", "image_id": f"i{first + i}", "group_id": f"g{first + i}", "label": i % 2, "model_id": model,
                    "backbone": "net", "attention": "none", "training": "standard", "seed": 0, "attack_id": "standard" if index else "none",
                    "attack": "minimum-norm" if index else "none", "norm": "linf" if index else None, "epsilon": at, "epsilon_index": index,
                    "prediction": i % 2 if right else 1 - i % 2, "correct": right, "status": "ok", "inherited": False,
                    "radius": radius if i < correct else EPSILON / 2,
                }
            )  # fmt: skip
    return pl.DataFrame(records, schema=rows.SCHEMA, strict=True)


def states(table: pl.DataFrame, baseline: pl.DataFrame | None = None, **criterion) -> list[str]:
    return [one.state for one in judge(Criterion(name="c", **criterion), table, baseline)]


@pytest.mark.parametrize(
    ("correct", "n", "expected"), [(90, 100, "met"), (20, 100, "not met"), (65, 100, "undecided"), (6, 8, "undecided")]
)
def test_a_bound_has_three_answers(correct, n, expected):
    """The limits are those of the curve: Wilson's interval of 65 of 100 is [.553, .737] and holds .6."""
    found = judge(Criterion(name="c", metric="robust accuracy", epsilon="1/255", minimum=0.6), table(correct, n))
    assert [one.state for one in found] == [expected]
    point = curve(table(correct, n)).filter(pl.col("epsilon_index") == 1).row(0, named=True)
    assert found[0].measured is not None
    assert (found[0].measured.value, found[0].measured.low, found[0].measured.high, found[0].measured.images) == (
        point["accuracy"], point["low"], point["high"], point["n"],
    )  # fmt: skip


def test_an_estimate_has_two_answers_and_too_few_images_none():
    share = {"metric": "robust accuracy", "epsilon": "1/255"}
    assert states(table(65, 100), **share, minimum=0.65, on="estimate") == ["met"]
    assert states(table(65, 100), **share, minimum=0.66, on="estimate") == ["not met"]
    assert states(table(65, 100), **share, maximum=0.65, on="estimate") == ["met"]
    assert states(table(90, 100), **share, minimum=0.6, images=101) == ["undecided"]


def test_errors_of_each_kind_and_the_median_radius():
    """Of the images that are fooled, every second has label 1: of 40 with 20 fooled, 10 of 20 diseased ones are missed."""
    found = judge(Criterion(name="c", metric="missed disease", epsilon="1/255", maximum=0.9), table(20, 40))[0]
    assert found.measured is not None
    assert found.measured.value == 0.5
    assert found.measured.images == 20
    assert states(table(20, 40), metric="false alarm", epsilon=0, maximum=0.2) == ["met"]
    assert states(table(90, 100), metric="median radius", minimum="2/255") == ["met"]
    assert states(table(10, 100), metric="median radius", minimum="2/255") == ["not met"]
    assert states(table(50, 100), metric="median radius", minimum="2/255") == ["undecided"]
    assert states(table(100, 100, radius=np.inf), metric="median radius", minimum="2/255") == ["met"]


def test_a_baseline_regression_is_seen_and_other_images_are_refused():
    criterion = {"metric": "robust accuracy", "epsilon": "1/255", "no_worse_by": 0.05}
    assert states(table(90, 100), table(90, 100), **criterion) == ["met"]
    assert states(table(60, 100), table(90, 100), **criterion) == ["not met"]
    assert states(table(86, 100), table(90, 100), **criterion) == ["undecided"]
    with pytest.raises(InputError, match="other images"):
        states(table(90, 100), table(90, 100, first=1), **criterion)
    with pytest.raises(InputError, match="--baseline RUN"):
        states(table(90, 100), **criterion)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"metric": "robustness", "minimum": 0.5}, "metric: one of clean accuracy"),
        ({"metric": "robust accuracy", "minimum": 0.5}, "epsilon or severity is needed"),
        ({"metric": "clean accuracy", "minimum": 0.5, "epsilon": "1/255"}, "no epsilon"),
        ({"metric": "clean accuracy"}, "one of minimum, maximum and no_worse_by"),
        ({"metric": "clean accuracy", "minimum": 60}, "write 0.60 for 60 %"),
        ({"metric": "clean accuracy", "minimum": "60 %"}, "a share in"),
        ({"metric": "median radius", "minimum": "two"}, "epsilon must be a number"),
        ({"metric": "robust accuracy", "minimum": 0.5, "epsilon": 8}, "grey levels as a fraction"),
        ({"metric": "median radius", "no_worse_by": 0.02}, "goes with clean accuracy"),
        ({"metric": "clean accuracy", "minimun": 0.5}, "did you mean `minimum`"),
    ],
)
def test_criteria_that_cannot_be_judged_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        states(table(9, 10), **given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epsilon": "3/255"}, "measured at 0.00392157"),
        ({"epsilon": "1/255", "model": "other#0"}, "model 'other#0' is not in the run; found 'net#0'"),
        ({"epsilon": "1/255", "attack": "fast"}, "attack 'fast' is not in the run; found 'standard'"),
        ({"severity": 3}, "no row that it is about"),
    ],
)
def test_criteria_about_what_was_not_measured_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        states(table(9, 10), metric="robust accuracy", minimum=0.5, **given)


CRITERIA = """
name = "release-1"
date = 2026-01-02
{checks}
[[criteria]]
name = "clean"
metric = "clean accuracy"
{limit}
task = "phantom-skin"
"""


def criteria(folder: Path, limit: str, checks: str = "") -> Path:
    path = folder / "criteria.toml"
    path.write_text(CRITERIA.format(limit=limit, checks=checks))
    return path


@pytest.mark.parametrize(
    ("limit", "status"),
    [("minimum = 0.01", 0), ("minimum = 0.999", 1), ("minimum = 0.01\nimages = 100000", 3), ("minimum = 5", 2)],
)
def test_the_command_ends_with_the_status_of_the_answer(whole_run, tmp_path, limit, status):
    arguments = ["check", str(criteria(tmp_path, limit)), str(whole_run), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(application(), arguments)
    if status == 2:
        assert isinstance(result.exception, InputError)
        assert not (tmp_path / "out").exists()
        return
    assert result.exit_code == status, result.output
    state = {0: "met", 1: "not met", 3: "undecided"}[status]
    written = json.loads((tmp_path / "out" / "acceptance.json").read_text())
    assert written["state"] == state
    assert {one["state"] for one in written["results"]} == {state}
    assert f"fixed on 2026-01-02: <b>{state}</b>" in (tmp_path / "out" / "certificate.html").read_text()


def test_required_checks(make_run, tmp_path):
    """The verdicts of the synthetic run hold a failed check."""
    run = make_run(verdicts=True)
    result = check_run(criteria(tmp_path, "minimum = 0.01", 'checks = "all"'), run)
    checks = [one for one in result.judgements if one.metric == "checks"]
    assert {one.state for one in checks} == {"not met"}
    assert result.state == "not met"
    unknown = check_run(criteria(tmp_path, "minimum = 0.01", 'checks = ["no such check"]'), run)
    assert unknown.state == "undecided"


def test_junit_and_sarif_are_what_their_readers_expect(make_run, tmp_path):
    junitparser, sarif_pydantic = pytest.importorskip("junitparser"), pytest.importorskip("sarif_pydantic")
    result = check_run(criteria(tmp_path, "minimum = 0.01", 'checks = "all"'), make_run(verdicts=True))
    states = [one.state for one in result.judgements]
    suites = junitparser.JUnitXml.fromstring(junit(result).encode())
    cases = [case for suite in suites for case in suite]
    assert len(cases) == len(states)
    assert sum(bool(case.is_failure) for case in cases) == states.count("not met")
    log = sarif_pydantic.Sarif.model_validate(sarif(result))
    assert [one.rule_id for one in log.runs[0].results] == [one.criterion for one in result.judgements]
    assert [one.level == "error" for one in log.runs[0].results] == [state == "not met" for state in states]


def test_the_example_of_the_docs_is_valid():
    text = (Path(__file__).parents[2] / "docs" / "check.md").read_text(encoding="utf-8")
    block = text.split("```toml\n")[1].split("```")[0]
    path = Path(__file__).parents[2] / "docs" / "criteria.toml"
    assert block == path.read_text(encoding="utf-8")
    assert len(read_criteria(path).criteria) == 5


def test_a_file_nested_beyond_reading_is_refused(tmp_path):
    path = tmp_path / "deep.toml"
    path.write_text("x = " + "[" * 100_000)
    with pytest.raises(InputError, match="not valid TOML"):
        read_criteria(path)
