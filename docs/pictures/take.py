"""Takes the pictures of the documentation from a run: first screen, viewer in the page, and `palpate view`.

python docs/pictures/take.py RUN        # needs Playwright and Chromium; `make pictures` makes the run of the demo first
"""

import shutil
import sys
import threading
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from palpate.report.page.page import write_report
from palpate.report.viewer.server import open_server

HERE = Path(__file__).parent
LARGEST = 400_000  # bytes


def take(run: Path) -> list[Path]:
    """Write the pictures beside this file."""
    page_file = write_report(run)
    with sync_playwright() as playwright, open_server([run], 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(page_file.as_uri())
        page.locator("#leaderboard .plot .main-svg").first.wait_for()
        found = [shot(page, "first-screen")]
        page.locator("#viewer").scroll_into_view_if_needed()
        missed(page)
        page.locator("#viewer").evaluate("(one) => one.scrollIntoView({ behavior: 'instant' })")
        found.append(shot(page, "viewer"))
        page.set_viewport_size({"width": 1440, "height": 900})
        page.goto(server.url)
        missed(page)
        found.append(shot(page, "palpate-view"))
        browser.close()
        server.shutdown()
    return found


def missed(page: Page) -> None:
    """The first disease that a model misses at 2/255, with its Grad-CAM map."""
    page.locator(".viewer[data-ready=yes]").wait_for()
    page.locator("select[data-name=filter]").select_option("missed")
    steps = page.locator(".v-stepping output")
    slider = page.locator(".v-stepping input").first
    for step in range(int(slider.get_attribute("max") or 1) + 1):
        slider.fill(str(step))
        if "(2/255)" in steps.inner_text():
            break
    page.locator("select[data-name=map]").select_option("grad-cam")
    page.wait_for_timeout(500)
    page.locator(".v-list button").first.click()
    page.wait_for_timeout(1000)


def shot(page: Page, name: str) -> Path:
    """A screenshot in 256 colours, checked for its size."""
    page.wait_for_timeout(500)
    file = HERE / f"{name}.png"
    page.screenshot(path=file)
    with Image.open(file) as whole:
        whole.convert("RGB").quantize(256).save(file, optimize=True)
    assert file.stat().st_size < LARGEST, f"{file}: {file.stat().st_size} bytes, at most {LARGEST} are wanted"
    return file


if __name__ == "__main__":
    print(*take(Path(sys.argv[1])), sep="\n")
