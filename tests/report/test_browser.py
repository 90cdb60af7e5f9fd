"""A browser without a network draws the page, sorts its tables and fits it on a phone.

Loading a page with Plotly takes long, so the tests share one page and leave it as they found it.
"""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.report.browsing import PATIENCE, opened, until, violations

from palpate.report.page.page import write_report


@pytest.fixture(scope="module")
def page(browser, whole_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    opened_page = opened(browser, write_report(whole_run, tmp_path_factory.mktemp("page") / "page.html"))
    yield opened_page
    opened_page.close()


def test_every_figure_and_picture_is_drawn_without_a_network_or_an_error(page):
    assert page.locator(".plot").count() == 5 + 4  # radii of models without signal are not drawn
    for plot in page.locator(".plot").all():
        assert plot.locator("path.js-line").count() >= 1
    shown = "[...document.images].filter((one) => one.getAttribute('src') && one.loading !== 'lazy')"
    until(page, f"{shown}.every((one) => one.complete)")
    bare = f"{shown}.filter((one) => !one.naturalWidth || (!one.alt && one.className !== 'v-map'))"
    assert page.evaluate(f"{bare}.length") == 0
    assert page.troubles == []


def test_the_first_screen_holds_question_answer_leaderboard_and_curve(browser, make_run, tmp_path):
    """Four models and one task, whole; on a phone the answer and the first model."""
    models = tuple((name, attention) for name in ("resnet18", "densenet121") for attention in ("none", "full"))
    run = make_run(models=models, tasks={"phantom-chest": ["a", "b"]}, weak=(), samples=1, verdicts=True)
    page = opened(browser, write_report(run, tmp_path / "page.html"))
    page.evaluate("window.scrollTo({ top: 0, behavior: 'instant' })")
    answer = ["h1", "#leaderboard h2", "#leaderboard .answer"]
    for width, height, parts in (
        (1440, 900, [*answer, "#leaderboard table", "#leaderboard .plot"]),
        (1280, 800, [*answer, "#leaderboard table", "#leaderboard .plot"]),
        (390, 844, [*answer, "#leaderboard tbody tr"]),
    ):
        page.set_viewport_size({"width": width, "height": height})
        until(page, f"document.querySelector('#leaderboard .main-svg').getBoundingClientRect().right <= {width}")
        for part in parts:
            box = page.locator(part).first.bounding_box()
            assert box["y"] + box["height"] <= height, (width, part, box)
        assert page.locator("#leaderboard .plot").bounding_box()["height"] >= 240
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.troubles == []
    page.close()


def test_it_fits_narrow_screens_and_its_tick_labels_keep_apart(page):
    overlaps = """() => {
        const boxes = [...document.querySelectorAll("#curve-phantom-skin-foolbox-pgd-20 .xtick text")].map((one) => one.getBoundingClientRect());
        return boxes.filter((box) => box.width).map((box) => [box.left, box.right]).sort((a, b) => a[0] - b[0]);
    }"""
    for width in (820, 390, 360, 1200):
        page.set_viewport_size({"width": width, "height": 800})
        drawn = "[...document.querySelectorAll('.main-svg')].map((one) => one.getBoundingClientRect().right)"
        until(page, f"Math.max(...{drawn}) <= {width}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        end = time.monotonic() + PATIENCE
        while True:  # labels are thinned a moment after the figure has its new width
            places = page.evaluate(overlaps)
            if len(places) >= 3 and all(a[1] <= b[0] for a, b in itertools.pairwise(places)):
                break
            assert time.monotonic() < end, f"tick labels overlap at {width} px: {places}"
            page.wait_for_timeout(50)


def test_light_and_dark_are_both_legible(page):
    asked = "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.querySelector('.xtick text')).fill]"
    expected = {"dark": ["rgb(21, 24, 29)", "rgb(231, 234, 238)"], "light": ["rgb(255, 255, 255)", "rgb(27, 31, 36)"]}
    for scheme, colours in expected.items():
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate(asked) == colours


def test_a_click_on_a_column_sorts_its_table_and_keeps_models_without_signal_below(browser, make_run, tmp_path):
    models = tuple((f"net{number:02d}", "none") for number in range(14))
    run = make_run(models=models, tasks={"phantom-skin": ["a", "b", "c"], "phantom-chest": ["a", "b"]}, samples=1, n=24)
    page = opened(browser, write_report(run, tmp_path / "page.html"))
    table = page.locator("#t-phantom-skin-leaderboard-foolbox-pgd-20")
    assert table.locator("tbody tr:visible").count() == 4
    cells = "(table) => [...table.tBodies[0].rows].map((row) => Number(row.cells[5].dataset.key))"
    for direction, reverse in (("descending", True), ("ascending", False)):
        table.get_by_role("button", name="ε 0.00125").click()
        assert table.locator(f"th[aria-sort={direction}]").count() == 1
        found = table.evaluate(cells)
        assert found == sorted(found, reverse=reverse)
    tools = page.locator(".tools").first
    tools.get_by_role("searchbox").fill("net07")
    assert table.locator("tbody tr:visible").count() == 1
    tools.get_by_role("searchbox").fill("")
    tools.get_by_role("button", name="Show all 14 rows").click()
    assert table.locator("tbody tr:visible").count() == 14
    assert page.troubles == []
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 1280, 390])
def test_there_is_no_barrier_to_readers(page, width, scheme):
    """On desk, laptop and phone, light and dark: axe-core finds nothing above minor, and nothing is wider than the screen."""
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".viewer[data-ready=yes]").count() == 1
    assert violations(page) == []
    page.set_viewport_size({"width": 1200, "height": 800})
    page.emulate_media(color_scheme="light")
    assert page.troubles == []


def test_figures_and_texts_are_saved_and_copied(page):
    figure = page.locator("#curve-phantom-skin-foolbox-pgd-20")
    for name in ("SVG", "PNG"):
        with page.expect_download() as download:
            figure.locator("xpath=following-sibling::p[1]").get_by_role("button", name=f"Save as {name}").click()
        content = Path(download.value.path()).read_bytes()
        assert b"<svg" in content[:200] if name == "SVG" else content.startswith(b"\x89PNG")
    page.evaluate("document.querySelectorAll('#methods details').forEach((one) => { one.open = true; })")
    page.locator("[data-copy=methods-text]").click()
    assert "Wilson" in page.evaluate("window.getSelection().toString()")
    assert page.troubles == []


def test_print_shows_whole_figures_and_tables(page):
    """A4 with margins of 10 mm is 718 CSS pixels wide."""
    page.set_viewport_size({"width": 718, "height": 1000})
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    parts = "[...document.querySelectorAll('table, .plot .main-svg, img, pre, p, .v-panel')].filter((one) => one.getClientRects().length)"
    until(page, f"Math.max(...{parts}.map((one) => one.getBoundingClientRect().right)) <= 718")
    until(page, f"{parts}.every((one) => one.scrollWidth <= Math.ceil(one.clientWidth) || one.tagName !== 'PRE')")
    assert page.locator(".v-bar:visible").count() == 0
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert len(page.pdf(format="A4")) > 50_000
    assert page.locator("details:not([open])").count() == 0
    page.emulate_media(media="screen")
    page.set_viewport_size({"width": 1200, "height": 800})
