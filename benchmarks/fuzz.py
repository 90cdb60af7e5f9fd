"""Damaged and hostile files of every kind that palpate reads: only its own errors may come, and nothing outside the run folder may be touched.

Cases are made from seeds and run in child processes with a limit of memory and of time, so that a crash of a library is counted and not suffered.
Writes benchmarks/fuzz.json.

    python benchmarks/fuzz.py                # 10,000 cases
    python benchmarks/fuzz.py --cases 200 --kinds runs tables
    python benchmarks/fuzz.py --kinds runs --first 500    # the cases from the 500th on, added to what the JSON holds
"""

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import platform
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import tomllib
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
os.environ |= {"HF_HUB_OFFLINE": "1", "RUST_BACKTRACE": "0", "OPENCV_LOG_LEVEL": "SILENT"}

import torch  # noqa: E402
from benchmarks.fuzz_files import TOML, Workshop  # noqa: E402
from tests.mutations import damage_run, mutate, mutate_json  # noqa: E402

from palpate.core.errors import InputError  # noqa: E402
from palpate.core.io import write_json  # noqa: E402

SHARE = {"runs": 0.1, "toml": 0.25, "tables": 0.2, "images": 0.2, "checkpoints": 0.15, "rows": 0.1}
"""Of the cases, by what is damaged."""

MEMORY, SECONDS = 12 * 2**30, 60
"""Address space of a child, and the time of one case."""

COMMANDS = ("status", "verify", "report")


def runs(shop: Workshop, rng: random.Random, place: Path) -> None:
    """`palpate status`, `verify` and `report` on a damaged run folder, through the command line's entry function."""
    run = Path(shutil.copytree(shop.run, place / "run"))
    for _ in range(rng.choice((1, 1, 1, 3))):
        with contextlib.suppress(
            ValueError, KeyError, TypeError, AttributeError, FileNotFoundError, IsADirectoryError, InputError
        ):
            damage_run(run, shop.outside, rng)
    before = look(place)
    for command in COMMANDS:
        out = ["--out", str(place / "page" / "page.html")] if command == "report" and rng.random() < 0.5 else []
        status = call(command, str(run), *out)
        if status not in (0, 1, 2):
            raise AssertionError(f"{command} ended with {status}")
        if command != "report" and look(place) != before:
            raise AssertionError(f"{command} wrote something")


def toml(shop: Workshop, rng: random.Random, place: Path) -> None:
    """A study, read: of damaged bytes or of odd values; through the command line where it cannot be read."""
    from palpate.study.spec import Study, read_study

    if rng.random() < 0.5:
        value = mutate_json(tomllib.loads(TOML), rng)
        Study.read(value if isinstance(value, dict) else {"name": value}, "study")
        return
    file = place / "study.toml"
    file.write_bytes(mutate(TOML.encode(), rng))
    try:
        read_study(file)
    except InputError:
        if rng.random() < 0.1 and (status := call("study", str(file), "--dry-run")) != 2:
            raise AssertionError(f"study ended with {status}") from None
        raise


def tables(shop: Workshop, rng: random.Random, place: Path) -> None:
    """A table of images, or an npz file of them."""
    from palpate.data.dataset import Dataset

    suffix = rng.choice(sorted(shop.tables))
    file = place / f"table.{suffix}"
    file.write_bytes(mutate(shop.tables[suffix], rng))
    if suffix == "npz":
        Dataset.from_arrays(file, size=16, test_only=True)
    else:
        Dataset.from_table(file, shop.folder / "images", size=16, test_only=True)


def images(shop: Workshop, rng: random.Random, place: Path) -> None:
    """One image."""
    from palpate.data.decode import Unreadable, decode

    suffix = rng.choice(sorted(shop.images))
    file = place / f"image.{suffix}"
    file.write_bytes(mutate(shop.images[suffix], rng))
    with contextlib.suppress(Unreadable):
        decode(str(file))


def checkpoints(shop: Workshop, rng: random.Random, place: Path) -> None:
    """Weights that palpate wrote, and those of torch.save."""
    from palpate.models.weight_files import read_weights
    from palpate.models.weights import load_weights

    for suffix in ("safetensors", "json"):
        (place / f"w.{suffix}").write_bytes(shop.weights[suffix])
    suffix = rng.choice(sorted(shop.weights))
    file = place / f"w.{suffix}"
    file.write_bytes(mutate(shop.weights[suffix], rng))
    if suffix == "pt":
        read_weights(file, shop.state)
    else:
        load_weights(place / "w.safetensors")


def rows(shop: Workshop, rng: random.Random, place: Path) -> None:
    """A table of rows."""
    from palpate.core import rows as read_rows

    file = place / "images.parquet"
    file.write_bytes(mutate(shop.rows, rng))
    read_rows.read(file)


KINDS: dict[str, Callable[[Workshop, random.Random, Path], None]] = {
    "runs": runs, "toml": toml, "tables": tables, "images": images, "checkpoints": checkpoints, "rows": rows,
}  # fmt: skip


def call(*arguments: str) -> int:
    """The exit status of the command line, called in this process."""
    from palpate.cli.main import main

    before, sys.argv = sys.argv, ["palpate", *arguments]
    try:
        out, err = (
            io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2)
        )  # which refuse what a terminal cannot show
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.argv = before
    return 0


def look(folder: Path) -> dict[str, tuple]:
    """Every file below a folder with its size, time and content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        state = path.lstat()
        regular = path.is_file() and not path.is_symlink()
        found[str(path)] = (state.st_mode, state.st_size, state.st_mtime_ns, hash(path.read_bytes()) if regular else 0)
    return found


def case(shop: Workshop, kind: str, seed: int) -> str:
    """Run one case: "read", "refused", or what went wrong."""
    place = Path(tempfile.mkdtemp(dir=shop.folder / "cases"))
    before = look(shop.outside)
    signal.alarm(SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            KINDS[kind](shop, random.Random(f"{kind} {seed}"), place)
        ended = "read"
    except InputError as error:
        ended = "refused" if len(str(error)) < 5000 else "a long message"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        last = traceback.extract_tb(error.__traceback__)[-1]
        ended = f"{type(error).__name__}: {str(error)[:200]} ({Path(last.filename).name}:{last.lineno})"
    finally:
        signal.alarm(0)
        shutil.rmtree(place, ignore_errors=True)
    return ended if look(shop.outside) == before else f"{ended}, and it touched what lies outside"


def child(shop: Workshop, kind: str, seeds: range, pipe) -> None:
    """Run cases, telling each before it begins, so that a crash names its case."""
    from matplotlib.figure import Figure

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    Figure.savefig = lambda figure, place, **options: Path(place).write_bytes(b"")  # most of a report's time
    os.fsync = lambda handle: None
    torch.set_num_threads(1)
    for seed in seeds:
        pipe.send(("begun", seed))
        pipe.send(("ended", seed, case(shop, kind, seed)))
    pipe.close()


def fuzz(shop: Workshop, kind: str, start: int, end: int) -> dict[int, str]:
    """How each case ended, by its seed, from `start` to before `end`."""
    found: dict[int, str] = {}
    context = multiprocessing.get_context("spawn")  # threads of polars do not live through a fork
    while start < end:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=child, args=(shop, kind, range(start, end), theirs))
        process.start()
        theirs.close()
        with contextlib.suppress(EOFError):
            while True:
                told = ours.recv()
                if told[0] == "begun":
                    start = told[1]
                else:
                    found[told[1]] = told[2]
        process.join()
        if process.exitcode:
            found[start] = f"the process ended with {process.exitcode}"
        start += 1
    return found


def joined(old: dict, new: dict) -> dict:
    """Counts of earlier cases and of these."""
    empty = {"cases": 0, "read": 0, "refused": 0, "wrong": {}}
    added = {
        kind: {
            key: value | found[key] if key == "wrong" else value + found[key]
            for key, value in old.get(kind, empty).items()
        }
        for kind, found in new.items()
    }
    return old | added


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--kinds", nargs="+", choices=sorted(KINDS), default=list(KINDS))
    parser.add_argument("--first", type=int, default=0, help="number of the first case of each kind")
    parser.add_argument("--out", type=Path, default=HERE / "fuzz.json")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    start, wrong = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PALPATE_CACHE"] = str(Path(folder) / "cache")
        shop = Workshop(Path(folder))
        (shop.folder / "cases").mkdir()
        print(f"{'kind':12} {'cases':>6} {'read':>6} {'refused':>8} {'wrong':>6}")
        results = {}
        for kind in asked.kinds:
            ended = fuzz(shop, kind, asked.first, asked.first + round(SHARE[kind] * asked.cases))
            count = Counter(ended.values())
            odd = {seed: how for seed, how in ended.items() if how not in ("read", "refused")}
            wrong += len(odd)
            results[kind] = {"cases": len(ended), "read": count["read"], "refused": count["refused"], "wrong": odd}
            print(f"{kind:12} {len(ended):6} {count['read']:6} {count['refused']:8} {len(odd):6}", flush=True)
            for how, number in Counter(odd.values()).most_common(20):
                print(
                    f"    {number} × {how}, first {next(seed for seed, each in odd.items() if each == how)}", flush=True
                )
    if asked.first and asked.out.exists():
        results = joined(json.loads(asked.out.read_text(encoding="utf-8"))["kinds"], results)
    seconds = round(time.monotonic() - start)
    write_json(asked.out, {"machine": platform.platform(), "kinds": results})
    print(f"{seconds} s, {asked.out}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
