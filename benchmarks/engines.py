"""Engines: eight equal trainings by one and by two workers on this machine, and a study on a Ray cluster of two workers, one of which is killed.

python benchmarks/engines.py --json benchmarks/engines.json
"""

import argparse
import io
import os
import platform
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import torch
from rich.console import Console

from palpate.core import rows
from palpate.core.io import write_json
from palpate.core.run_folder import RunFolder, open_run
from palpate.study.engines.choose import EngineChoice, opened
from palpate.study.engines.engine import Setup
from palpate.study.plan import plan
from palpate.study.progress import StudyProgress
from palpate.study.run import run
from palpate.study.schedule import Schedule
from palpate.study.spec import Study
from palpate.study.stages.context import Context, open_dataset

STAGES = 8


def study(images: int, seeds: int, epochs: int) -> Study:
    """Small networks on synthetic images at 32 px."""
    return Study.read(
        {
            "name": "engines",
            "epsilons": ["1/255", "4/255", "16/255"],
            "tasks": [
                {"name": "phantom-skin", "size": 32, "train_images": images, "val_images": 64, "test_images": 64}
            ],
            "models": [{"backbone": "test_resnet", "output_stride": 8}],
            "seeds": list(range(seeds)),
            "training": {"name": "t", "epochs": epochs},
            "attacks": [{"attack": "standard"}],
            "explain": {"images": 4},
            "trust": {"images": 8, "budget": 600},
        },
        "benchmark",
    )


def quiet() -> Console:
    """A console that keeps what is printed."""
    return Console(file=io.StringIO())


def trainings(folder: Path, workers: int, epochs: int) -> float:
    """Seconds in which so many workers, of one thread each, make eight equal trainings, their start included."""
    asked = study(800, STAGES, epochs)
    data = {task.name: open_dataset(asked, task, None) for task in asked.tasks}
    stages = tuple(stage for stage in plan(asked, data) if stage.kind == "train")
    place = open_run(folder / f"{workers}-workers", asked.name)
    context = Context(asked, place, None, torch.device("cpu"), _datasets=data)
    show, start = StudyProgress(quiet(), stages), time.perf_counter()
    setup = Setup(asked, place.path, None, "cpu", 1, None)
    with opened(EngineChoice("local", workers), setup, show.told, context) as engine:
        schedule = Schedule(stages, context, show)
        schedule.make_all(engine)
    assert schedule.made == STAGES, schedule.failed
    return time.perf_counter() - start


def on_ray(folder: Path) -> dict:
    """A study on two Ray workers, one of which is killed while it attacks: are its rows those of this process?"""
    asked, killed = study(200, 2, 2), list[str]()
    torch.set_num_threads(1)
    here = run(asked, folder / "here", device="cpu", console=quiet())

    def kill() -> None:
        while not killed:
            for log in (folder / "ray" / "logs").glob("attack-*.log"):
                number = log.read_text().partition(": process ")[2].split(" ")[0]
                if number and not killed:
                    os.kill(int(number), signal.SIGKILL)
                    killed.append(log.stem)
            time.sleep(0.05)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    start = time.perf_counter()
    there = run(asked, folder / "ray", device="cpu", console=quiet(), engine="ray", workers=2, threads=1)
    seconds = time.perf_counter() - start
    stages = [stage.id for stage in RunFolder(here).study().stages if stage.kind in ("predict", "attack")]
    tables = [[rows.read(place / stage / "images.parquet") for stage in stages] for place in (here, there)]
    begun = sum((there / "logs" / f"{stage}.log").read_text().count(": process ") for stage in killed)
    equal = all(one.equals(other) for one, other in zip(*tables, strict=True))
    return {"seconds": seconds, "tables": len(stages), "equal": equal, "killed": killed, "begun": begun}


def main() -> None:
    """Print the figures, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--without-ray", action="store_true")
    parser.add_argument("--json", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    found: dict = {"load_before": os.getloadavg()[0], "processors": os.cpu_count(), "python": platform.python_version()}
    with tempfile.TemporaryDirectory() as folder:
        found["seconds"] = {n: trainings(Path(folder), n, arguments.epochs) for n in (1, 2)}
        found["ratio"] = found["seconds"][2] / found["seconds"][1]
        print(f"{STAGES} trainings: {found['seconds'][1]:.0f} s by one worker, {found['seconds'][2]:.0f} s by two")
        print(f"ratio {found['ratio']:.2f}, load before {found['load_before']:.1f} on {found['processors']} cores")
        if not arguments.without_ray:
            found["ray"] = on_ray(Path(folder))
            print(f"Ray, two workers, one killed: {found['ray']}")
    write_json(arguments.json, found)
    if "ray" in found and not found["ray"]["equal"]:
        sys.exit("rows differ")


if __name__ == "__main__":
    main()
