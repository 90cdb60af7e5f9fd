"""Peak memory of every stage at two numbers of test images: a stage that reads its images in blocks needs the same for both.

Each stage is made alone in a child process, whose peak resident memory the operating system gives (it counts the pages of the memory-mapped
image store that were read, 12 kB per image at 64 px). Writes benchmarks/memory.json.

    python benchmarks/memory.py
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from palpate.core.io import write_json

SIZES = (1000, 4000)
LIMIT_MB = 150
"""That a stage may need more for the larger number of images."""

LIMIT_SHARE = 0.1
"""The same, as a share of what it needs for the smaller one."""

PARTS = ("load", "train", "predict", "attack", "explain", "trust", "report")


def study(images: int):
    """A tiny network on synthetic images at 64 px, attacked on all test images."""
    from palpate.study.spec import Study

    return Study.read(
        {
            "name": "memory",
            "epsilons": [f"{2**power / 4}/255" for power in range(6)],
            "tasks": [
                {"name": "phantom-skin", "size": 64, "train_images": 64, "val_images": 16, "test_images": images}
            ],
            "models": [{"backbone": "test_resnet", "output_stride": 8}],
            "training": {"name": "tiny", "epochs": 1},
            "attacks": [{"attack": "fast"}],
            "explain": {"images": 8},
            "trust": {"images": 16, "budget": 400},
        },
        "benchmark",
    )


def make_stages(path: Path, images: int, part: str) -> None:
    """Make one kind of stage, or only open the data."""
    import torch

    from palpate.core.run_folder import open_run
    from palpate.study.engines.work import MAKERS
    from palpate.study.plan import plan
    from palpate.study.run import _facts
    from palpate.study.stages.context import Context, open_dataset

    asked = study(images)
    task = asked.tasks[0]
    data = {task.name: open_dataset(asked, task, None)}
    run, stages = open_run(path, asked.name), plan(asked, data)
    if part == "load":
        facts = dict(_facts(asked, data[task.name], task))
        run.write_study(name=asked.name, title=asked.name, tasks=facts, stages=stages, spec=asked.to_dict())
    context = Context(asked, run, None, torch.device("cpu"), _datasets=data)
    for stage in stages:
        if stage.kind == part:
            with run.making(stage, "cpu", None) as (draft, found):
                MAKERS[stage.kind](stage, context, draft, found)


def make(folder: Path, images: int, part: str) -> None:
    """Make one kind of stage (or only open the data, or write the report) in this process, and print its peak memory in MB."""
    if part == "report":
        from palpate.report.page.page import write_report

        write_report(folder / str(images))
    else:
        make_stages(folder / str(images), images, part)
    unit = 1 if sys.platform == "darwin" else 1024
    print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6))


def measure(folder: Path, images: int, part: str) -> float:
    """The peak of a child process that makes one part, in MB."""
    command = [sys.executable, __file__, "--make", str(folder), str(images), part]
    environment = {**os.environ, "PALPATE_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure every part at every size, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--make", nargs=3, metavar=("FOLDER", "IMAGES", "PART"))
    asked = parser.parse_args().make
    if asked:
        make(Path(asked[0]), int(asked[1]), asked[2])
        return
    with tempfile.TemporaryDirectory() as folder:
        peaks = {part: {size: measure(Path(folder), size, part) for size in SIZES} for part in PARTS}
    print("| stage | " + " | ".join(f"{size:,} images, MB" for size in SIZES) + " | more, MB | more, % |")
    print("|---|" + "---:|" * (len(SIZES) + 2))
    for part, found in peaks.items():
        more = found[SIZES[-1]] - found[SIZES[0]]
        share = 100 * more / found[SIZES[0]]
        print(f"| {part} | " + " | ".join(f"{found[size]:.0f}" for size in SIZES) + f" | {more:+.0f} | {share:+.1f} |")
    machine = {"python": platform.python_version(), "processors": os.cpu_count(), "system": platform.system()}
    result = {"limit_mb": LIMIT_MB, "limit_share": LIMIT_SHARE, "peak_mb": peaks, "machine": machine}
    write_json(Path(__file__).with_suffix(".json"), result)
    small, large = SIZES[0], SIZES[-1]
    over = [
        part for part, found in peaks.items() if found[large] - found[small] > min(LIMIT_MB, LIMIT_SHARE * found[small])
    ]
    if over:
        sys.exit(f"more than {LIMIT_MB} MB or {LIMIT_SHARE:.0%} above: {', '.join(over)}")


if __name__ == "__main__":
    main()
