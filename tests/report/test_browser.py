"""A browser without a network draws the page, turns its panels and fits it on a phone."""

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from palpate.report.page import write_report

sync_api = pytest.importorskip("playwright.sync_api", reason="the browser tests need Playwright")


@pytest.fixture(scope="module")
def browser() -> Iterator:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on this machine: apt-get install chromium, and the report is looked at in a browser")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def file(whole_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(whole_run, tmp_path_factory.mktemp("page") / "page.html")


def until(page, expression: str) -> None:
    """Wait for an expression to hold; asked from outside, because the page's own policy forbids evaluating text inside."""
    for _ in range(300):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never came true: {expression}")


def opened(browser, file: Path, width: int = 1200, scheme: str = "light"):
    """The page once its figures are drawn; `troubles` collects errors and every request that leaves the file."""
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.troubles = []
    page.on("console", lambda message: message.type == "error" and page.troubles.append(message.text))
    page.on("pageerror", lambda error: page.troubles.append(str(error)))
    page.on("request", lambda r: r.url.startswith(("file:", "data:", "blob:")) or page.troubles.append(r.url))
    page.goto(file.as_uri())
    until(page, "[...document.querySelectorAll('.plot')].every((one) => one.dataset.drawn)")
    return page


def test_every_figure_and_picture_is_drawn_without_a_network_or_an_error(browser, file):
    page = opened(browser, file)
    assert page.locator(".plot").count() == 6
    for plot in page.locator(".plot").all():
        assert plot.locator("path.js-line").count() >= 2
    until(page, "[...document.images].every((one) => one.complete)")
    bare = (
        "[...document.images].filter((one) => one.src && (!one.naturalWidth || (!one.alt && one.className !== 'heat')))"
    )
    assert page.evaluate(f"{bare}.length") == 0
    assert page.troubles == []
    page.close()


def test_it_fits_narrow_screens_and_its_tick_labels_keep_apart(browser, file):
    page = opened(browser, file)
    for width in (820, 360):
        page.set_viewport_size({"width": width, "height": 800})
        drawn = "[...document.querySelectorAll('.main-svg')].map((one) => one.getBoundingClientRect().right)"
        until(page, f"Math.max(...{drawn}) <= {width}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.wait_for_timeout(300)
        labels = page.locator("#curve-phantom-skin-0 .xtick text").all()
        boxes = [box for label in labels if (box := label.bounding_box()) and box["width"]]
        boxes.sort(key=lambda box: box["x"])
        assert len(boxes) >= 3
        assert all(a["x"] + a["width"] <= b["x"] for a, b in itertools.pairwise(boxes))
    page.close()


def test_light_and_dark_are_both_legible(browser, file):
    colours = {}
    for scheme in ("light", "dark"):
        page = opened(browser, file, scheme=scheme)
        colours[scheme] = page.evaluate(
            "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.querySelector('.xtick text')).fill]"
        )
        page.close()
    assert colours["light"] == ["rgb(255, 255, 255)", "rgb(27, 31, 36)"]
    assert colours["dark"] == ["rgb(21, 24, 29)", "rgb(231, 234, 238)"]


def test_the_panels_turn_with_epsilon_and_class(browser, file):
    page = opened(browser, file)
    cam = page.locator("#cam-phantom-skin")
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
    page.close()


def test_many_samples_are_folded_until_asked_for(browser, make_run, tmp_path):
    page = opened(browser, write_report(make_run(samples=12), tmp_path / "page.html"))
    cards = page.locator("#cam-phantom-skin .card:visible")
    assert cards.count() == 8
    page.locator("#cam-phantom-skin").get_by_role("button", name="Show all 12 samples").click()
    assert cards.count() == 12
    page.close()


def test_names_from_outside_are_not_run(browser, make_run, tmp_path):
    evil = "</script><img src=x onerror=window.hacked=1>"
    page = opened(
        browser, write_report(make_run(tasks={"phantom-skin": [evil, "b"]}, weak=(), samples=2), tmp_path / "p.html")
    )
    assert page.evaluate("window.hacked") is None
    assert evil in page.locator("#cam-phantom-skin").inner_text()
    assert page.troubles == []
    page.close()


def test_it_prints_with_everything_unfolded(browser, file):
    page = opened(browser, file)
    page.emulate_media(media="print")
    assert page.locator(".controls:visible").count() == 0
    assert len(page.pdf()) > 50_000
    assert page.locator("details:not([open])").count() == 0
    page.close()
