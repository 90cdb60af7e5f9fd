"""What a report of a large run costs: 12 models on 10,000 images, 30 models under two attacks on three tasks, and 1,000 samples in `palpate view`.

The runs are generated (tests/report/large.py): their numbers mean nothing. Each report is written by a process of its own, as `palpate report`
does, and opened in Chromium. Writes benchmarks/report.json.

    python benchmarks/report.py
"""

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.report import large
from tests.report.browsing import STEPPING, new_page, until

from palpate.core.io import write_json
from palpate.report.page.page import write_report
from palpate.report.viewer.server import open_server

TABLES = "[...document.querySelectorAll('#leaderboard table.data')]"
ANSWER = TABLES + "[0].tBodies[0].rows[0].getBoundingClientRect().bottom"
READY = "document.querySelector('.viewer')?.dataset.ready === 'yes'"


def write(run: Path) -> None:
    """Write a report in this process and print what it cost."""
    begun = time.perf_counter()
    page = write_report(run)
    cost = {
        "seconds": round(time.perf_counter() - begun, 1),
        "processor_seconds": round(time.process_time(), 1),  # with the imports
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3),
        "page_mb": round(page.stat().st_size / 1e6, 1),
        "torch": "torch" in sys.modules,
    }
    print(json.dumps(cost))


def written(run: Path) -> dict:
    """What a report costs a process of its own."""
    command = [sys.executable, __file__, "--write", str(run)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def opened(browser, address: str) -> dict:
    """How long a page takes to answer to its reader, how long it is, and where on its first screen the first row of the answer ends."""
    page = new_page(browser, width=1280, height=800)
    page.goto(address, wait_until="commit")
    until(page, READY)
    found = {"interactive_ms": round(page.evaluate("performance.now()"))}
    if address.startswith("file:"):
        found["height_px"] = page.evaluate("document.documentElement.scrollHeight")
        found["answer_ends_at_px"] = round(page.evaluate(ANSWER))
        found["too_wide"] = page.evaluate("document.documentElement.scrollWidth") > 1280
    page.wait_for_timeout(1000)  # pictures are fetched ahead meanwhile
    found["slider_step_ms"] = round(page.evaluate(STEPPING), 1)
    found["troubles"] = page.troubles
    page.close()
    return found


def measure(folder: Path) -> dict[str, dict]:
    """All three runs, one after the other."""
    from playwright.sync_api import sync_playwright

    found = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, make in (
            ("12 models, 6 epsilons, 10,000 images", large.many_images),
            ("30 models, 2 attacks, 3 tasks", large.many_models),
        ):
            run = make(folder / make.__name__)
            found[name] = written(run) | opened(browser, (run / "report.html").as_uri())
            print(name, found[name], flush=True)
        run = large.many_samples(folder / "samples")
        begun = time.perf_counter()
        with open_server([run], 0) as server:
            ready = time.perf_counter() - begun
            threading.Thread(target=server.serve_forever, daemon=True).start()
            found["1,000 samples in palpate view"] = {"seconds": round(ready, 1)} | opened(browser, server.url)
            server.shutdown()
        browser.close()
    return found


def main() -> None:
    """Measure, print a table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, metavar="RUN")
    asked = parser.parse_args().write
    if asked:
        write(asked)
        return
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder))
    names = list(dict.fromkeys(name for one in found.values() for name in one))
    print("| run | " + " | ".join(name.replace("_", " ") for name in names) + " |\n|---|" + "---:|" * len(names))
    for run, one in found.items():
        print(f"| {run} | " + " | ".join(str(one.get(name, "")) for name in names) + " |")
    machine = {
        "python": platform.python_version(), "polars": version("polars"), "processors": os.cpu_count(),
        "load": os.getloadavg()[0], "system": platform.system(),
    }  # fmt: skip
    write_json(
        Path(__file__).with_suffix(".json"),
        {"command": "python benchmarks/report.py", "machine": machine, "runs": found},
    )


if __name__ == "__main__":
    main()
