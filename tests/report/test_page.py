"""The page is one file that needs nothing else, escapes what it is given, and says what is missing."""

import base64
import json
import re
import subprocess
import sys

import pytest
from tests.runs import unmake

from palpate.core.errors import InputError
from palpate.core.registry import SECTIONS
from palpate.report.page.page import assemble, render_page, write_report
from palpate.report.run_data import read
from palpate.report.section import Section, ranked, script_json


def render(data) -> str:
    return render_page(data, assemble(data))


@pytest.fixture(scope="module")
def page(whole_run) -> str:
    data = read(whole_run)
    text = render(data)
    assert not data.problems
    return text


def without_scripts(page: str) -> str:
    return re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)


def test_the_report_lands_in_the_run_or_where_it_is_asked(make_run):
    run = make_run(samples=2)
    assert write_report(run) == run / "report.html"
    elsewhere = run.parent / "new" / "page.html"
    assert write_report(run, elsewhere) == elsewhere
    assert elsewhere.read_text() == (run / "report.html").read_text()
    assert sorted(file.name for file in elsewhere.parent.iterdir()) == ["page", "page.html"]
    assert (elsewhere.parent / "page" / "results.json").read_text() == (run / "results.json").read_text()


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


def test_every_figure_in_the_page_has_a_text(page):
    plots = re.findall(r'<div class="plot[^>]*>', page)
    assert plots
    assert all(re.search(r'aria-label="[^"]+"', plot) for plot in plots)


def test_every_accuracy_is_in_the_tables(page, whole_run):
    text = without_scripts(page)
    results = read(whole_run).results
    for task, found in results.tasks.items():
        part = text[text.index(f'id="task-{task}"') :]
        for entry in found.leaderboards[0].entries:
            name = re.escape(entry.name).replace(chr(92) + "+", "[+]<wbr>")
            row = re.search(rf'<th scope="row">{name}</th>.*?</tr>', part, re.DOTALL)
            assert row
            for point in entry.accuracy if entry.signal else entry.accuracy[:1]:
                assert (
                    f'{100 * point.value:.0f}%<span class="ci">[{100 * point.low:.0f}, {100 * point.high:.0f}]'
                    in row[0]
                )


def test_no_signal_takes_the_place_of_numbers_under_attack(page):
    chest = page[page.index('id="task-phantom-chest"') : page.index('id="provenance"')]
    assert "No signal: balanced accuracy is not above chance (50%)." in chest
    assert chest.count(">no signal</td>") == 2 * (6 + 6)
    skin = page[page.index('id="task-phantom-skin"') : page.index('id="task-phantom-chest"')]
    assert "no signal" not in without_scripts(skin)
    answer = without_scripts(page)[: page.index('id="task-phantom-skin"')]
    assert "No model predicts better than chance on clean images, so no robustness is stated." in answer
    assert '<tbody class="without-signal">' in answer


def test_it_says_what_it_is_and_what_was_not_checked(page):
    assert "Research software, not a medical device: nothing here may guide the care of a patient." in page
    assert "no trust checks were run" in page
    assert page.count("A phantom: no claim about patients.") == 4  # of two tasks, there and in the methods


def test_the_tables_of_the_page_are_the_files(make_run):
    run = make_run(samples=2)
    page = write_report(run).read_text()
    links = dict(re.findall(r'download="([^"]+)" href="data:text/csv;charset=utf-8;base64,([^"]+)"', page))
    assert sorted(links) == sorted(file.name for file in (run / "tables").glob("*.csv"))
    assert {"phantom-skin-leaderboard-foolbox-pgd-20.csv", "phantom-chest-operating-points.csv"} <= links.keys()
    for name, text in links.items():
        assert base64.b64decode(text).decode() == (run / "tables" / name).read_text()
    for suffix in ("md", "tex"):
        assert len(list((run / "tables").glob(f"*.{suffix}"))) == len(links)
    assert len(list((run / "figures").iterdir())) == 2 * 3


def test_every_file_is_the_same_when_written_again(make_run):
    run = make_run(samples=2)
    write_report(run)
    files = [run / "results.json", run / "report.html", *(run / "tables").iterdir(), *(run / "figures").iterdir()]
    before = [file.read_bytes() for file in files]
    write_report(run)
    assert [file.read_bytes() for file in files] == before


def test_a_plugins_section_stands_at_its_rank_and_its_mistake_is_named(whole_run, monkeypatch):
    @ranked(85)
    def mine(data) -> Section:
        return Section("Added", script_json({"runs": len(data.stages)}))

    @ranked(25, scope="task")
    def wrong(data, task):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(SECTIONS, "_entries", dict(SECTIONS._entries))
    SECTIONS.add("added", mine)
    SECTIONS.add("mistaken", wrong)
    page = render(read(whole_run))
    assert (
        page.index('id="task-phantom-chest"')
        < page.index('<h2 id="h-added">Added</h2>')
        < page.index('id="provenance"')
    )
    assert "section mistaken was left out: ZeroDivisionError: by zero" in page


def test_verdicts_stand_before_the_tasks_and_mark_the_leaderboard(make_run):
    page = without_scripts(render(read(make_run(verdicts=True, weak=(), samples=2))))
    assert "no trust checks were run" not in page
    assert "4 models checked, 4 with a failed check" in page
    assert page.index("Attack with more steps; accuracy still falls.") < page.index('id="task-phantom-skin"')
    leaderboards = page[page.index('id="leaderboard"') : page.index('id="verdicts"')]
    assert leaderboards.count("do not rely on this row") == 4
    assert "1.25 share" in page


def test_only_models_that_were_checked_are_counted_as_such(make_run):
    page = without_scripts(render(read(make_run(verdicts=True, failed=("trust",), samples=2))))
    assert "3 models checked, 3 with a failed check" in page
    assert "and 1 were not verified" in page


@pytest.mark.parametrize("kind", ["train", "predict", "attack", "explain"])
@pytest.mark.parametrize("state", ["failed", "missing"])
def test_a_partly_made_run_is_reported_with_its_gaps(make_run, kind, state):
    switches = {state: (kind,)}
    page = without_scripts(render(read(make_run(samples=2, **switches))))
    assert f"{kind} resnet10t+full#0 on phantom-skin" in page
    assert f"<b>{state}</b>" in page
    assert ("RuntimeError: &lt;injected&gt;" in page) == (state == "failed")


def test_a_run_without_any_result_is_reported(make_run):
    run = make_run(samples=2)
    for file in run.glob("*/stage.json"):
        unmake(file)
    page = without_scripts(render(read(run)))
    assert page.count("No model of this task has been attacked yet.") == 2
    assert "0 of 16 stages complete" in page


def test_damaged_samples_leave_the_rest_of_the_page(make_run):
    run = make_run(samples=2)
    next(run.glob("explain-*/maps.npz")).write_bytes(b"no zip")
    page = render(read(run))
    assert "damaged, so it is not shown" in page
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
        "from palpate.report.terminal import summary; run, out = map(Path, sys.argv[1:]); "
        "summary(write_report(run, out)); "
        "sys.exit(', '.join({'torch', 'timm', 'captum', 'foolbox'} & sys.modules.keys()) or 0)"
    )
    subprocess.run([sys.executable, "-c", program, str(whole_run), str(tmp_path / "page.html")], check=True)
