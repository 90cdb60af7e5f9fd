"""Pages opened in a browser, with everything that goes wrong in them collected."""

import os
import time
from pathlib import Path
from typing import Any

PATIENCE = 180
"""Seconds; a shared machine may be slow, and slowness is no failure."""

SLOWER = 1 if os.getloadavg()[0] < 1.5 else 5
"""How long the page takes is its own on a quiet machine only: there a limit in milliseconds is kept as it is."""

STEPPING = """async () => {
    const slider = document.querySelector(".v-stepping input");
    const times = [];
    for (let step = 1; step <= Number(slider.max); step++) {
        const begun = performance.now();
        slider.value = step;
        slider.dispatchEvent(new Event("input", { bubbles: true }));
        await Promise.all([...document.querySelectorAll(".v-shot img")].filter((one) => !one.hidden).map((one) => one.decode()));
        times.push(performance.now() - begun);
    }
    return times.sort((a, b) => a - b)[Math.floor(times.length / 2)];
}"""
"""The median time from a step of the slider until its pictures are decoded, in ms."""


def new_page(browser: Any, width: int = 1200, height: int = 800, **options: Any) -> Any:
    """An empty page; `troubles` collects errors and every request that leaves this machine."""
    page = browser.new_page(viewport={"width": width, "height": height}, **options)
    page.set_default_timeout(1000 * PATIENCE)
    page.troubles = []
    inside = ("file:", "data:", "blob:", "http://127.0.0.1:")
    page.on("console", lambda message: message.type == "error" and page.troubles.append(message.text))
    page.on("pageerror", lambda error: page.troubles.append(str(error)))
    page.on("request", lambda r: r.url.startswith(inside) or page.troubles.append(r.url))
    return page


def opened(browser: Any, file: Path, **options: Any) -> Any:
    """The page of a file once its figures are drawn and its viewer is ready."""
    page = new_page(browser, **options)
    page.goto(file.as_uri())
    page.evaluate("document.querySelectorAll('details.part').forEach((one) => { one.open = true; })")
    for plot in page.locator(".plot").all():  # a figure is drawn when it comes into view
        plot.scroll_into_view_if_needed()
    until(page, "[...document.querySelectorAll('.plot')].every((one) => one.dataset.drawn === 'yes')")
    until(page, "[...document.querySelectorAll('.viewer')].every((one) => one.dataset.ready === 'yes')")
    return page


def until(page: Any, expression: str) -> None:
    """Wait for an expression to hold; asked from outside, because the page's own policy forbids evaluating text inside."""
    end = time.monotonic() + PATIENCE
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"never came true: {expression}"
        page.wait_for_timeout(50)


def violations(page: Any) -> list[str]:
    """What axe-core finds at fault with a page, but for what it calls minor."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']} ({one['impact']}): {node['html'][:200]} {node['failureSummary'][:200]}"
        for one in found
        if one["impact"] != "minor"
        for node in one["nodes"]
    ]
