"""Single-bit flips over all files of a finished run: each is found or harmless, none is shown as another result, and the study repairs them.

A flip is *found* where `palpate verify` names something, else *harmless* where every number of the report is the one of the sound run, else *wrong*.
Whatever was found, the numbers that a report still shows must be those of the sound run. Then all flips of a round are put into one run folder
at once, the study is run again, and rows, weights, maps and verdicts are compared with the original bytes. Writes benchmarks/bit_flips.json.

    python benchmarks/bit_flips.py --flips 500 --rounds 10
"""

import argparse
import os
import platform
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
os.environ["HF_HUB_OFFLINE"] = "1"

import torch  # noqa: E402
from rich.console import Console  # noqa: E402

from palpate.core.errors import Damaged  # noqa: E402
from palpate.core.examine import examine  # noqa: E402
from palpate.core.io import write_json  # noqa: E402
from palpate.core.run_folder import RunFolder  # noqa: E402
from palpate.report.run_data import read  # noqa: E402
from palpate.study.run import run  # noqa: E402
from palpate.study.spec import Study  # noqa: E402

STUDY = {
    "name": "flips",
    "epsilons": ["1/255", "4/255", "16/255"],
    "training": {"name": "t", "epochs": 1},
    "tasks": [{"name": "phantom-skin", "size": 32, "train_images": 24, "val_images": 8, "test_images": 12}],
    "models": [
        {"backbone": "test_resnet", "output_stride": 8},
        {"backbone": "test_resnet", "output_stride": 8, "attention": "full"},
    ],
    "attacks": [{"attack": "fast", "images": 12}],
    "explain": {"images": 3},
    "trust": {"images": 6, "budget": 100},
}


def make(folder: Path) -> None:
    """Run the study; what is whole in the folder is kept."""
    run(Study.read(STUDY, "bit flips"), folder, device="cpu", console=Console(quiet=True))


def parts(value: Any, place: str = "") -> dict[str, Any]:
    """The curves, checks and rankings of results.json by their place; what a report leaves out is absent here."""
    tasks = value["tasks"].items()
    curves = {f"{task} {one['model_id']} {one['attack_id']}": one for task, found in tasks for one in found["curves"]}
    checks = {f"{one['task']} {one['model_id']} checks": one for one in value["checks"] if one["verdicts"]}
    return curves | checks


def shown(folder: Path) -> dict[str, Any]:
    """The numbers that a report of the folder shows; none where it cannot be read."""
    try:
        return parts(read(folder).results.to_dict())
    except Damaged:
        return {}


def differs(found: dict[str, Any], sound: dict[str, Any]) -> list[str]:
    """The places at which something else is shown than in the sound run. A curve may lack what was damaged, and then says so by being shorter."""
    wrong = []
    for place, value in found.items():
        known = sound.get(place) or next(
            (sound[each] for each in sound if each.startswith(place.removesuffix("none"))), {}
        )
        points = [point for point in value.get("points", ()) if point not in known.get("points", ())]
        if points or (value.get("clean") not in (None, known.get("clean"))) or ("verdicts" in value and value != known):
            wrong.append(place)
    return wrong


def flip(file: Path, bit: int) -> None:
    """Change one bit in place."""
    with file.open("r+b") as handle:
        handle.seek(bit // 8)
        byte = handle.read(1)[0]
        handle.seek(bit // 8)
        handle.write(bytes([byte ^ 1 << bit % 8]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flips", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--out", type=Path, default=HERE / "bit_flips.json")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rng, start = random.Random(0), time.monotonic()
    counts: Counter[tuple[str, str]] = Counter()
    wrong, remade = [], Counter()
    with tempfile.TemporaryDirectory() as place:
        os.environ["PALPATE_CACHE"] = str(Path(place) / "cache")
        sound, copy = Path(place) / "sound", Path(place) / "copy"
        make(sound)
        known = shown(sound)
        files = sorted(file.relative_to(sound) for file in sound.rglob("*") if file.is_file() and file.stat().st_size)
        kept = [
            file
            for file in files
            if file.name not in ("stage.json", "study.json") and "-" in file.parts[0] and len(file.parts) == 2
        ]
        shutil.copytree(sound, copy)
        flips = [
            (file, rng.randrange(8 * (sound / file).stat().st_size))
            for file in (rng.choice(files) for _ in range(asked.flips))
        ]
        for file, bit in flips:
            flip(copy / file, bit)
            found = examine(RunFolder(copy)).problems
            now = shown(copy)
            odd = differs(now, known) if found else [] if now == known else ["numbers"]
            counts[file.name, "wrong" if odd else "found" if found else "harmless"] += 1
            wrong += [{"file": str(file), "bit": bit, "shown": odd}] if odd else []
            flip(copy / file, bit)
        for number in range(asked.rounds):
            for file, bit in flips[number :: asked.rounds]:
                flip(copy / file, bit)
            make(copy)
            same = all((copy / file).read_bytes() == (sound / file).read_bytes() for file in kept)
            remade["bytes as before" if same and not examine(RunFolder(copy)).problems else "other bytes"] += 1
            shutil.rmtree(copy)
            shutil.copytree(sound, copy)
    kinds = sorted({name for name, _ in counts})
    print(f"{'file':28} {'flips':>6} {'found':>6} {'harmless':>9} {'wrong':>6}")
    table = []
    for name in kinds:
        row = {state: counts[name, state] for state in ("found", "harmless", "wrong")}
        table.append({"file": name, "flips": sum(row.values()), **row})
        print(f"{name:28} {sum(row.values()):6} {row['found']:6} {row['harmless']:9} {row['wrong']:6}")
    total = {key: sum(row[key] for row in table) for key in ("flips", "found", "harmless", "wrong")}
    print(f"{'all':28} {total['flips']:6} {total['found']:6} {total['harmless']:9} {total['wrong']:6}")
    print(f"{asked.rounds} runs of the study after {asked.flips // asked.rounds} flips each: {dict(remade)}")
    seconds = round(time.monotonic() - start)
    write_json(
        asked.out,
        {
            "machine": platform.platform(),
            "seconds": seconds,
            "total": total,
            "files": table,
            "wrong": wrong,
            "remade": dict(remade),
        },
    )
    sys.exit(1 if wrong or remade["other bytes"] else 0)


if __name__ == "__main__":
    main()
