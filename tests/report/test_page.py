"""The page is one file that needs nothing else, escapes what it is given, and says what is missing."""

import base64
import json
import re
import subprocess
import sys

import pytest

from palpate.core.errors import InputError
from palpate.report.load import read
from palpate.report.page.page import render, script_json, write_report
from palpate.report.tables import blocks, curve_csv


@pytest.fixture(scope="module")
def page(whole_run) -> str:
    return render(read(whole_run))


def without_scripts(page: str) -> str:
    return re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)


def test_the_report_lands_in_the_run_or_where_it_is_asked(make_run):
    run = make_run(samples=2)
    assert write_report(run) == run / "report.html"
    elsewhere = run.parent / "new" / "page.html"
    assert write_report(run, elsewhere) == elsewhere
    assert elsewhere.read_text() == (run / "report.html").read_text()
    assert [file.name for file in elsewhere.parent.iterdir()] == ["page.html"]


def test_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="is not a run folder"):
        write_report(tmp_path)


def test_nothing_is_fetched(page):
    text = without_scripts(page)
    assert page.count("<html") == 1
    assert not re.search(r"""(src|href)\s*=\s*["']?(?!["']|data:|#)""", text)
    assert "<link" not in text
    assert "@import" not in page
    assert "default-src 'none'" in page
    assert page.count("plotly.js v") == 1


def test_every_picture_in_the_page_has_a_text(page):
    images = re.findall(r"<img\b[^>]*>", without_scripts(page))
    assert images
    assert all(re.search(r'alt="[^"]+"', image) for image in images)
    assert all(re.search(r'aria-label="[^"]+"', plot) for plot in re.findall(r'<div class="plot[^>]*>', page))


def test_every_accuracy_of_the_points_is_in_the_table(page, whole_run):
    text = without_scripts(page)
    for line in read(whole_run).lines:
        row = re.search(
            rf'<th scope="row">{re.escape(line.model_id).replace(chr(92) + "+", "[+]<wbr>")}</th>.*?</tr>',
            text,
            re.DOTALL,
        )
        assert row
    skin = [line for line in read(whole_run).lines if line.task == "phantom-skin"]
    for line in skin:
        for point in line.points:
            cell = f'{100 * (point.accuracy or 0):.0f}%<span class="ci">[{100 * (point.low or 0):.0f}, {100 * (point.high or 0):.0f}]'
            assert cell in text


def test_no_signal_takes_the_place_of_figures_under_attack(page):
    chest = page[page.index('id="task-phantom-chest"') : page.index('id="provenance"')]
    assert chest.count("no signal: balanced accuracy is not above chance (50%)") == 2
    skin = page[page.index('id="task-phantom-skin"') : page.index('id="task-phantom-chest"')]
    assert "no signal" not in without_scripts(skin)


def test_it_says_what_it_is_and_what_was_not_checked(page):
    assert "research software, not a medical device" in page
    assert "no trust checks were run" in page
    assert page.count("A phantom: no claim about patients.") == 2


def test_the_csv_in_the_page_is_the_table(page, whole_run):
    links = re.findall(r'download="([^"]+)" href="data:text/csv;charset=utf-8;base64,([^"]+)"', page)
    expected = [curve_csv(lines) for _, lines in blocks(read(whole_run))]
    assert [base64.b64decode(data).decode() for _, data in links] == expected
    assert len({name for name, _ in links}) == 2


def test_verdicts_stand_before_the_curves_and_mark_the_answers(make_run):
    page = without_scripts(render(read(make_run(verdicts=True, weak=(), samples=2))))
    assert "no trust checks were run" not in page
    assert "4 models checked, 4 with a failed check" in page
    assert page.index("Attack with more steps; accuracy still falls.") < page.index('id="task-phantom-skin"')
    answers = page[page.index('id="answer"') : page.index('id="verdicts"')]
    assert answers.count("a check failed: do not rely on this figure") == 4
    assert "1.25 share" in page


@pytest.mark.parametrize("kind", ["train", "predict", "attack", "explain"])
@pytest.mark.parametrize("state", ["failed", "missing"])
def test_a_partly_made_run_is_reported_with_its_gaps(make_run, kind, state):
    switches = {state: (kind,)}
    page = without_scripts(render(read(make_run(samples=2, **switches))))
    assert f"{kind} resnet10t+full#0 on phantom-skin" in page
    assert f"<b>{state}</b>" in page
    assert ("RuntimeError: &lt;planted&gt;" in page) == (state == "failed")


def test_a_run_without_any_result_is_reported(make_run):
    run = make_run(samples=2)
    for file in run.glob("*/cell.json"):
        file.unlink()
    page = without_scripts(render(read(run)))
    assert page.count("No result yet: 8 cells are failed or missing.") == 2
    assert "0 of 16 cells complete" in page


def test_damaged_samples_leave_the_rest_of_the_page(make_run):
    run = make_run(samples=2)
    next(run.glob("explain-*/maps.npz")).write_bytes(b"no zip")
    page = render(read(run))
    assert "cannot be read" in page
    assert "curve-phantom-skin" in page


def test_names_from_outside_are_text_and_never_markup(make_run):
    evil = "</script><script>window.hacked=1</script><img src=x onerror=alert(1)>"
    page = render(read(make_run(tasks={"phantom-skin": [evil, "b"]}, weak=(), samples=2)))
    assert "<script>window.hacked" not in page
    assert "<img src=x" not in page
    assert "&lt;/script&gt;" in page


def test_json_in_scripts_survives_the_round_trip():
    value = {"a": "</script>&<!--", "b": [1.5, None]}
    text = script_json(value)
    assert "<" not in text
    assert json.loads(text) == value


def test_the_report_never_imports_torch(whole_run, tmp_path):
    program = (
        "import sys; from pathlib import Path; from palpate.report.page.page import write_report; "
        "from palpate.report.tables import curve_table; run, out = map(Path, sys.argv[1:]); "
        "write_report(run, out); curve_table(run); "
        "sys.exit(', '.join({'torch', 'timm', 'captum', 'foolbox'} & sys.modules.keys()) or 0)"
    )
    subprocess.run([sys.executable, "-c", program, str(whole_run), str(tmp_path / "page.html")], check=True)
