"""A browser without a network draws the page, sorts its tables, steps through its maps and fits it on a phone.

Loading a page with Plotly takes long, so the tests share one page and leave it as they found it.
"""

import itertools
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from palpate.report.page.page import write_report

sync_api = pytest.importorskip("playwright.sync_api", reason="the browser tests need Playwright")

PATIENCE = 180  # seconds; a shared machine may be slow, and slowness is no failure


@pytest.fixture(scope="module")
def browser() -> Iterator:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on this machine: apt-get install chromium, and the report is looked at in a browser")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-background-networking"],
            timeout=1000 * PATIENCE,
        )
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def page(browser, whole_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    opened_page = opened(browser, write_report(whole_run, tmp_path_factory.mktemp("page") / "page.html"))
    yield opened_page
    opened_page.close()


def opened(browser, file: Path):
    """The page once its figures are drawn; `troubles` collects errors and every request that leaves the file."""
    page = browser.new_page(viewport={"width": 1200, "height": 800})
    page.set_default_timeout(1000 * PATIENCE)
    page.troubles = []
    page.on("console", lambda message: message.type == "error" and page.troubles.append(message.text))
    page.on("pageerror", lambda error: page.troubles.append(str(error)))
    page.on("request", lambda r: r.url.startswith(("file:", "data:", "blob:")) or page.troubles.append(r.url))
    page.goto(file.as_uri())
    page.evaluate("document.querySelectorAll('details.part').forEach((one) => { one.open = true; })")
    for plot in page.locator(".plot").all():  # a figure is drawn when it comes into view
        plot.scroll_into_view_if_needed()
    until(page, "[...document.querySelectorAll('.plot')].every((one) => one.dataset.drawn === 'yes')")
    return page


def until(page, expression: str) -> None:
    """Wait for an expression to hold; asked from outside, because the page's own policy forbids evaluating text inside."""
    end = time.monotonic() + PATIENCE
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"never came true: {expression}"
        page.wait_for_timeout(50)


def test_every_figure_and_picture_is_drawn_without_a_network_or_an_error(page):
    assert page.locator(".plot").count() == 2 * 4
    for plot in page.locator(".plot").all():
        assert plot.locator("path.js-line").count() >= 2
    until(page, "[...document.images].every((one) => one.complete)")
    bare = (
        "[...document.images].filter((one) => one.src && (!one.naturalWidth || (!one.alt && one.className !== 'heat')))"
    )
    assert page.evaluate(f"{bare}.length") == 0
    assert page.troubles == []


def test_it_fits_narrow_screens_and_its_tick_labels_keep_apart(page):
    overlaps = """() => {
        const boxes = [...document.querySelectorAll("#curve-phantom-skin-foolbox-pgd-20 .xtick text")].map((one) => one.getBoundingClientRect());
        return boxes.filter((box) => box.width).map((box) => [box.left, box.right]).sort((a, b) => a[0] - b[0]);
    }"""
    for width in (820, 360, 1200):
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


def test_the_panels_turn_with_epsilon_and_class(page):
    cam = page.locator("#cam-phantom-skin")
    said = cam.locator(".said").inner_text()
    right = [int(n) for n in re.findall(r"classifies (\d+) of", said)]
    assert 2 * sum(right) <= sum(int(n) for n in re.findall(r"clean: (\d+)", said))
    cam.locator("input[type=range]").fill("6")
    assert "At ε = 0.04 (10.2/255)" in cam.locator(".said").inner_text()
    clean, perturbed = (cam.locator(".shot").nth(i).locator("img").first for i in (0, 1))
    before = clean.get_attribute("src"), perturbed.get_attribute("src")
    cam.locator("input[type=range]").fill("1")
    assert "At ε = 0.00125 (0.319/255)" in cam.locator(".said").inner_text()
    assert clean.get_attribute("src") == before[0]
    assert perturbed.get_attribute("src") != before[1]
    assert cam.locator(".void:visible").count() == 0
    cam.locator("input[type=range]").fill("4")
    assert cam.locator(".void:visible").count() == 3
    assert "3 maps empty" in cam.locator(".said").inner_text()
    cam.get_by_label("predicted class").check()
    assert cam.locator(".void:visible").count() == 0
    cam.get_by_label("show the map").uncheck()
    assert cam.locator(".heat:visible").count() == 0
    assert page.troubles == []


def test_a_click_on_a_column_sorts_its_table_and_keeps_models_without_signal_below(browser, make_run, tmp_path):
    models = tuple((f"net{number:02d}", "none") for number in range(14))
    run = make_run(models=models, tasks={"phantom-skin": ["a", "b", "c"], "phantom-chest": ["a", "b"]}, samples=1, n=24)
    page = opened(browser, write_report(run, tmp_path / "page.html"))
    table = page.locator("#t-phantom-skin-leaderboard-foolbox-pgd-20")
    assert table.locator("tbody tr:visible").count() == 10
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


def test_many_samples_are_folded_and_names_from_outside_are_not_run(browser, make_run, tmp_path):
    evil = "</script><img src=x onerror=window.hacked=1>"
    run = make_run(tasks={"phantom-skin": [evil, "b"]}, weak=(), samples=12, size=32)
    page = opened(browser, write_report(run, tmp_path / "page.html"))
    cam = page.locator("#cam-phantom-skin")
    assert cam.locator(".card:visible").count() == 8
    cam.get_by_role("button", name="Show all 12 samples").click()
    assert cam.locator(".card:visible").count() == 12
    assert page.evaluate("window.hacked") is None
    assert evil in cam.inner_text()
    assert page.troubles == []
    page.close()


def test_it_prints_with_everything_unfolded(page):
    page.emulate_media(media="print")
    assert page.locator(".controls:visible").count() == 0
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    widths = (
        "Math.max(...[...document.querySelectorAll('.plot .main-svg')].map((one) => one.getBoundingClientRect().width))"
    )
    until(page, f"{widths} <= 640")
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert len(page.pdf()) > 50_000
    assert page.locator("details:not([open])").count() == 0
    page.emulate_media(media="screen")
