"""Runs that are killed at random moments and started again: do they end as a run that was not, and how much work does a kill cost?

The real command is ended by SIGKILL, which no process can notice, while it trains, attacks, checks and explains; then it is started again, until
the run is complete, and the next run begins. Some runs have two commands at work in the same folder, one of which is killed. Rows, weights, maps,
samples and verdicts are compared with those of an uninterrupted run, value by value. Lost is what was done since the last epoch, block or stage
that was kept.

Commands that are asked to stop, by Ctrl-C and SIGTERM in each kind of stage, are timed until they have ended.

    python benchmarks/faults.py --fork --kills 100 --kills-of-two 20 --stops 1
"""

import argparse
import contextlib
import dataclasses
import json
import multiprocessing
import os
import platform
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
from safetensors.numpy import load_file

from palpate.core.io import remove, write_json
from palpate.core.run_folder import RunFolder

STUDY = """
name = "faults"
epsilons = ["1/255", "4/255", "16/255"]
training = {{ name = "t", optimizer = "adamw", learning_rate = 0.003, epochs = {epochs}, schedule = "one-cycle", augment = "flips" }}
models = [{{ backbone = "test_resnet", output_stride = 8 }}]
attacks = [{{ attack = "foolbox-pgd", steps = 5, images = {foolbox} }}, {{ attack = "standard", images = {images} }}]
corruptions = [{{ corruption = "gaussian-noise", images = {images} }}]
explain = {{ images = {explained} }}
trust = {{ images = 16, budget = 6000 }}
tasks = [{{ name = "phantom-skin", size = 32, train_images = {train}, val_images = 64, test_images = {images} }}]
"""
LONG = {"epochs": 6, "train": 800, "images": 1280, "foolbox": 256, "explained": 256}
SHORT = {"epochs": 3, "train": 64, "images": 48, "foolbox": 16, "explained": 8}

KINDS = ("train", "predict", "attack", "corrupt", "explain", "trust")

SHORTEST = 4.0
"""Seconds within which a kill comes, at random, unless nothing is finished in them."""

WHILE_STARTING = 0.1
"""Of the kills: their seconds count from the start of the command, those of others from when it began to make a stage."""

FORKS = multiprocessing.get_context("forkserver")


def _command(arguments: list[str], log: Path) -> None:
    """The command line, in a process of its own."""
    from palpate.cli.main import main

    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.argv = ["palpate", *arguments]
    main()


@dataclasses.dataclass
class Kill:
    """One kill.

    Attributes:
        kind: of the stage in work; "" while the command was starting.   lost: seconds since something was last kept, or the work began.
        commands: at work in the folder.
    """

    kind: str
    lost: float
    commands: int


class Command:
    """A `palpate study` at work in a run folder: a new process, or one forked from a process that has imported palpate already."""

    def __init__(self, study: Path, run: Path, fork: bool) -> None:
        self.run = run
        arguments, log = ["study", str(study), "--out", str(run), "--device", "cpu"], run.parent / f"{run.name}.log"
        if fork:
            self.process = FORKS.Process(target=_command, args=(arguments, log))
            self.process.start()
            return
        command = [sys.executable, "-m", "palpate.cli.main", *arguments]
        with log.open("ab") as file:
            self.process = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)

    def wait(self, seconds: float) -> int | None:
        """The exit status, or None where it is still at work."""
        if isinstance(self.process, subprocess.Popen):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
            return self.process.returncode
        self.process.join(seconds)
        return self.process.exitcode

    def in_work(self) -> list[Path]:
        """The logs of the stages that it is making."""
        ours = f": process {self.process.pid} on "
        logs = [log for log in self.run.glob("logs/*.log") if ours in "".join(log.read_text().splitlines()[-1:])]
        return [log for log in logs if not (self.run / log.stem / "stage.json").exists()]

    def kill(self, commands: int) -> Kill:
        """End it at once."""
        self.process.kill()
        self.wait(60)
        logs = self.in_work()
        if not logs:
            return Kill("", 0.0, commands)
        marks = [*logs, *self.run.glob(f".kept/{logs[0].stem}/*/*/kept.json")]
        since = max(mark.stat().st_mtime for mark in marks)
        return Kill(logs[0].stem.partition("-")[0], max(0.0, time.time() - since), commands)


def units(run: Path, study: Path, fork: bool) -> dict[str, float]:
    """Make a run without a break, and give the median seconds between two kept parts of each kind of stage."""
    command, seen, gaps = Command(study, run, fork), dict[str, float](), dict[str, list[float]]()
    while (status := command.wait(0.05)) is None:
        for mark in run.glob(".kept/*/*/*-*/kept.json"):
            with contextlib.suppress(FileNotFoundError):
                stage, made = mark.parents[2].name, mark.stat().st_mtime
                log = (run / "logs" / f"{stage}.log").stat().st_mtime
                if made > seen.get(stage, log):
                    gaps.setdefault(stage.partition("-")[0], []).append(made - seen.get(stage, log))
                    seen[stage] = made
    if status:
        sys.exit(f"the uninterrupted run failed: {(run.parent / f'{run.name}.log').read_text()[-2000:]}")
    for stage in RunFolder(run).study().stages:  # of kinds that are made in one piece
        if stage.kind in ("predict", "explain"):
            gaps.setdefault(stage.kind, []).append(RunFolder(run).stage(stage.id).seconds)
    return {kind: statistics.median(values) for kind, values in gaps.items()}


def contents(run: Path) -> dict[str, object]:
    """What a reader sees of a finished run: by file, its rows, tensors, arrays or text."""
    found: dict[str, object] = {}
    for stage in RunFolder(run).study().stages:
        for file in sorted((run / stage.id).iterdir()):
            name = f"{stage.id}/{file.name}"
            if file.name in ("images.parquet", "severities.parquet"):
                found[name] = pl.read_parquet(file).write_json()
            elif file.suffix == ".safetensors":
                found[name] = {key: value.tobytes() for key, value in load_file(file).items()}
            elif file.suffix == ".npz":
                with np.load(file, allow_pickle=False) as arrays:
                    found[name] = {key: arrays[key].tobytes() for key in arrays.files}
            elif file.name == "verdicts.json":
                found[name] = json.loads(file.read_text())
    return found


def killed(folder: Path, reference: dict[str, object], kills: int, commands: int, fork: bool, seed: int = 0) -> dict:
    """Kill commands so often, in as many runs as that takes, and compare each run with the reference."""
    rng, done, runs, different = random.Random(100 * seed + commands), list[Kill](), 0, list[str]()
    longest, study = SHORTEST, folder / "study.toml"
    while len(done) < kills:
        run, before = folder / f"run-{commands}-{runs}", set[str]()
        working = [Command(study, run, fork) for _ in range(commands)]
        while any(command.wait(0) is None for command in working):
            victim, started = rng.randrange(commands), rng.random() < WHILE_STARTING or len(done) >= kills
            while all(command.wait(0.02) is None for command in working) and not (started or working[victim].in_work()):
                pass
            end = time.monotonic() + (rng.uniform(0, longest) if len(done) < kills else 1.0)
            while time.monotonic() < end and all(command.wait(0.02) is None for command in working):
                pass
            if len(done) >= kills or working[victim].wait(0) is not None:
                working[victim].wait(0.1)
                continue
            done.append(working[victim].kill(commands))
            after = {str(path) for path in (*run.glob("*/stage.json"), *run.glob(".kept/*/*/*/kept.json"))}
            # Where nothing was finished since the last kill the next one comes later, so that the run ends some day.
            longest = max(SHORTEST, longest / 1.5) if after - before else min(longest * 1.5, 300.0)
            before = after
            working[victim] = Command(study, run, fork)
        failed = [command.wait(0) for command in working if command.wait(0)]
        found = contents(run) if not failed else {}
        different += [f"{run.name}: exit status {code}" for code in failed]
        different += [f"{run.name}: {name}" for name in reference if found.get(name) != reference[name]]
        different += [f"{run.name}: {path.name} is left over" for path in (*run.glob(".*.part"), *run.glob(".kept/*"))]
        shutil.rmtree(run)
        runs += 1
    return {"kills": [dataclasses.asdict(kill) for kill in done], "runs": runs, "different": different}


def stopped(folder: Path, times: int, fork: bool, seed: int = 0) -> list[dict]:
    """Ask commands to stop in each kind of stage: the signal, the seconds until they have ended, and their exit status."""
    rng, study, found = random.Random(seed), folder / "study.toml", list[dict]()
    for kind in KINDS * times:
        for number in (signal.SIGINT, signal.SIGTERM):
            run = folder / "stopped"
            command = Command(study, run, fork)
            while not any(not (run / log.stem / "stage.json").exists() for log in run.glob(f"logs/{kind}-*.log")):
                if command.wait(0.01) is not None:
                    sys.exit(f"the run ended before a stage of the kind {kind}: {run}.log")
            time.sleep(rng.uniform(0, 0.2))
            start = time.monotonic()
            os.kill(command.process.pid or 0, number)
            status = command.wait(60)
            found.append({"kind": kind, "signal": number.name, "status": status, "seconds": time.monotonic() - start})
            for made in (*run.glob(f"logs/{kind}-*.log"), *run.glob(f"{kind}-*")):
                remove(made)  # so that the next signal comes in this kind of stage too
    return found


def campaign(
    folder: Path, size: dict[str, int], kills: int, kills_of_two: int, fork: bool, seed: int = 0, stops: int = 0
) -> dict:
    """The uninterrupted run, then the runs that are killed: everything that is known of them."""
    study = folder / "study.toml"
    study.write_text(STUDY.format(**size))
    os.environ |= {"PALPATE_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    FORKS.set_forkserver_preload(["palpate.cli.main", "palpate.study.run"])
    unit = units(folder / "whole", study, fork)
    reference = contents(folder / "whole")
    found = [killed(folder, reference, count, n, fork, seed) for n, count in ((1, kills), (2, kills_of_two)) if count]
    return {
        "commands": "forked from a process that had imported palpate" if fork else "new processes",
        "runs": sum(part["runs"] for part in found),
        "different": [name for part in found for name in part["different"]],
        "kills": [kill | {"unit": unit.get(kill["kind"])} for part in found for kill in part["kills"]],
        "stops": stopped(folder, stops, fork, seed),
        "machine": {"python": platform.python_version(), "processors": os.cpu_count(), "load": [os.getloadavg()[0]]},
    }


def both(one: dict, other: dict) -> dict:
    """Two campaigns as one."""
    load = one["machine"]["load"] + other["machine"]["load"]
    joined = {name: one[name] + other[name] for name in ("runs", "different", "kills", "stops")}
    return {**other, **joined, "machine": {**other["machine"], "load": load}}


def summary(kills: list[dict]) -> list[dict]:
    """By kind of the stage in work: kills, seconds lost in the median, and as a share of an epoch, block or check that is kept."""
    table = []
    for kind in ("", *KINDS):
        some = [kill for kill in kills if kill["kind"] == kind]
        if some:
            units = [kill["unit"] for kill in some if kill["unit"]]
            shares = [kill["lost"] / kill["unit"] for kill in some if kill["unit"]]
            lost = statistics.median(kill["lost"] for kill in some)
            row = {"in_work": kind or "starting", "kills": len(some), "median_lost_s": lost}
            row["unit_s"] = statistics.median(units) if units else None
            table.append(row | {"median_share": statistics.median(shares) if shares else None})
    return table


def main() -> None:
    """Print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--kills-of-two", type=int, default=20)
    parser.add_argument(
        "--fork", action="store_true", help="start commands without the seconds that their imports take"
    )
    parser.add_argument("--stops", type=int, default=0, help="by each signal in each kind of stage")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--append", action="store_true", help="to what the JSON holds already")
    parser.add_argument("--json", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kills, of_two, seed = arguments.kills, arguments.kills_of_two, arguments.seed
        found = campaign(Path(folder), LONG, kills, of_two, arguments.fork, seed, arguments.stops)
    if arguments.append and arguments.json.exists():
        found = both(json.loads(arguments.json.read_text(encoding="utf-8")), found)
    found["table"] = summary(found["kills"])
    print("| in work | kills | median lost, s | epoch, block or check, s | median share |\n|---|---:|---:|---:|---:|")
    for row in found["table"]:
        numbers = [f"{row[name]:.2f}" if row[name] is not None else "–" for name in ("unit_s", "median_share")]
        print(f"| {row['in_work']} | {row['kills']} | {row['median_lost_s']:.2f} | {' | '.join(numbers)} |")
    two = sum(kill["commands"] == 2 for kill in found["kills"])
    print(f"\n{len(found['kills'])} kills, {two} of them with two commands, {found['runs']} runs")
    for stop in found["stops"]:
        print(f"{stop['signal']} in {stop['kind']}: status {stop['status']} after {stop['seconds']:.2f} s")
    write_json(arguments.json, found)
    if found["different"]:
        sys.exit("different from the uninterrupted run: " + ", ".join(found["different"]))


if __name__ == "__main__":
    main()
