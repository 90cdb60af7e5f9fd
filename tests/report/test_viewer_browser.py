"""The viewer in a browser, inside the page and from `palpate view`: slider, filters, order, keys, addresses, and names that are never run."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.report import large
from tests.report.browsing import SLOWER, STEPPING, new_page, opened, until, violations
from tests.report.conftest import write_run

from palpate.report.page.page import write_report
from palpate.report.viewer.server import open_server

EVIL = "</script><img src=x onerror=window.hacked=1>"


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory) -> Iterator[Any]:
    run = write_run(tmp_path_factory.mktemp("methods") / "run", methods=("grad-cam", "integrated-gradients"))
    found = opened(browser, write_report(run))
    yield found
    found.close()


@pytest.fixture
def serve(browser) -> Iterator[Any]:
    """A function that serves runs and opens their viewer; an address may follow."""
    pages, stops = [], []

    def start(*runs, address: str = "", **options):
        server = open_server(runs, 0)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        stops.append((server, thread))
        page = new_page(browser, **options)
        pages.append(page)
        page.goto(server.url + address)
        until(page, "document.querySelector('.viewer').dataset.ready === 'yes'")
        return page

    yield start
    for page in pages:
        page.close()
    for server, thread in stops:
        server.shutdown()
        thread.join()
        server.server_close()


def pick(page: Any, name: str, value: str) -> None:
    page.locator(f"select[data-name={name}]").select_option(value)


def step_to(page: Any, step: int) -> None:
    page.locator(".v-stepping input[type=range]").first.fill(str(step))


def test_the_slider_changes_images_predictions_and_maps(page):
    step_to(page, 6)
    assert "At ε = 0.04 (10.2/255)" in page.locator(".said").inner_text()
    clean, perturbed, difference = (page.locator(".v-shot img:first-child").nth(i) for i in range(3))
    before = [one.get_attribute("src") for one in (clean, perturbed, difference)]
    step_to(page, 1)
    after = [one.get_attribute("src") for one in (clean, perturbed, difference)]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, False]
    assert "difference ×400" in page.locator(".v-shot").nth(2).inner_text()
    pick(page, "map", "grad-cam")
    assert page.locator(".v-map:visible").count() == 4
    step_to(page, 4)
    assert page.locator(".v-panel").nth(1).get_by_text("empty map").count() == 1
    pick(page, "target", "1")
    assert page.locator(".viewer").get_by_text("empty map").count() == 0
    pick(page, "map", "integrated-gradients")
    pick(page, "colours", "viridis")
    assert "v-colours-1" in page.locator(".v-map").first.evaluate("(one) => one.style.filter")
    step_to(page, 0)
    assert "difference: none" in page.locator(".v-shot").nth(2).inner_text()
    pick(page, "map", "")
    assert page.locator(".v-map:visible").count() == 0
    assert page.troubles == []


def test_a_step_of_the_slider_takes_less_than_a_tenth_of_a_second(page, serve, whole_run):
    assert page.evaluate(STEPPING) < 100 * SLOWER
    served = serve(whole_run)
    served.wait_for_timeout(800)  # fetched ahead meanwhile
    assert served.evaluate(STEPPING) < 100 * SLOWER


def test_filters_and_orders_choose_the_right_samples(page):
    pick(page, "scene", "1")
    until(page, "document.querySelector('.v-head h3').textContent.includes('pneumothorax')")
    scene = page.evaluate("JSON.parse(document.querySelector('.viewer script').textContent)[1]")
    step_to(page, 5)
    right = {
        "missed": lambda i: scene["labels"][i] == 1 and any(view["predictions"][5][i] == 0 for view in scene["views"]),
        "alarm": lambda i: scene["labels"][i] == 0 and any(view["predictions"][5][i] == 1 for view in scene["views"]),
        "disagree": lambda i: len({view["predictions"][5][i] for view in scene["views"]}) > 1,
        "check": lambda i: False,
    }
    for name, passes in right.items():
        pick(page, "filter", name)
        shown = page.locator(".v-list li").all_text_contents()
        assert [text.split()[-1] for text in shown] == [scene["ids"][i] for i in range(4) if passes(i)], name
    pick(page, "filter", "all")
    pick(page, "sort", "largest")
    radius = [
        min(float("inf") if view["radius"][i] is None else view["radius"][i] for view in scene["views"])
        for i in range(4)
    ]
    shown = [text.split()[-1] for text in page.locator(".v-list li").all_text_contents()]
    assert [radius[scene["ids"].index(name)] for name in shown] == sorted(radius, reverse=True)
    pick(page, "sort", "stored")
    assert page.troubles == []


def test_keys_and_addresses_lead_to_a_view(serve, whole_run):
    page = serve(whole_run)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("m")
    for _ in range(7):
        page.keyboard.press("ArrowRight")
    assert "At ε = 0.04" in page.locator(".said").inner_text()
    assert "test_0001" in page.locator(".v-head h3").inner_text()
    address = page.evaluate("location.hash")
    assert "image=test_0001" in address
    assert "step=0.04" in address
    assert "map=grad-cam" in address
    again = serve(whole_run, address=address)
    assert again.locator(".said").inner_text() == page.locator(".said").inner_text()
    assert "test_0001" in again.locator(".v-head h3").inner_text()
    odd = serve(
        whole_run, address="#view?task=x&image=x&step=x&map=x&models=x&filter=__proto__&label=7&opacity=x&group=x"
    )
    assert odd.locator(".v-panel").count() == 2
    assert page.troubles == again.troubles == odd.troubles == []


def test_names_from_outside_are_shown_and_not_run(browser, serve, make_run, tmp_path):
    run = make_run(tasks={"phantom-skin": [EVIL, "b"]}, models=((EVIL, "none"),), weak=(), samples=3, size=32)
    for page in (opened(browser, write_report(run, tmp_path / "page.html")), serve(run)):
        pick(page, "map", "grad-cam")
        assert page.evaluate("window.hacked") is None
        assert EVIL in page.locator(".viewer").inner_text()
        assert page.troubles == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 1280, 390])
def test_the_served_viewer_fits_and_is_accessible(serve, make_run, whole_run, width, scheme):
    page = serve(whole_run, make_run(), width=width, color_scheme=scheme)
    pick(page, "map", "grad-cam")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert violations(page) == []
    assert page.locator(".v-panel").count() == (3 if width > 700 else 1)
    assert page.troubles == []


def test_a_thousand_samples_are_shown_within_seconds(serve, tmp_path):
    page = serve(large.many_samples(tmp_path / "run"))
    assert page.locator(".v-list li").count() == 1000
    begun = page.evaluate("performance.now()")
    pick(page, "sort", "smallest")
    pick(page, "filter", "fooled")
    assert page.evaluate("performance.now()") - begun < 2000 * SLOWER
    assert page.evaluate(STEPPING) < 100 * SLOWER
    assert (
        page.evaluate("performance.getEntriesByType('resource').filter((one) => one.name.includes('/photo/')).length")
        < 500
    )
    assert page.troubles == []
