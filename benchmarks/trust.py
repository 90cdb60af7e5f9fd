"""Which check finds which known failure, and whether any accuses an honest network: the tables of docs/trust.md.

    python benchmarks/trust.py               # half A on seeds 0 to 4, where thresholds were fixed
    python benchmarks/trust.py --held-out    # half B on seeds 5 to 9, which show whether they hold
    python benchmarks/trust.py --table       # the tables of what is in benchmarks/trust.json

The test networks stand in tests/verdicts/known_failures, where the tests use them too. What is in the file already is not made again. PneumoniaMNIST
and HAM10000 are needed (`PALPATE_DATA`, or `--tasks` without them).
"""

import argparse
import json
import os
import platform
import sys
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import torch  # noqa: E402
from scipy.stats import binomtest  # noqa: E402
from tests.verdicts.known_failures.example import Example, examine, named  # noqa: E402
from tests.verdicts.known_failures.examples import EXAMPLES  # noqa: E402
from tests.verdicts.known_failures.tasks import TASKS  # noqa: E402
from tests.verdicts.known_failures.trained import Trained  # noqa: E402

from palpate.core.io import write_text  # noqa: E402
from palpate.core.provenance import versions  # noqa: E402
from palpate.core.records import VerdictRecord  # noqa: E402
from palpate.verdicts.check import checks  # noqa: E402

SIGNS = {"pass": ".", "warn": "w", "fail": "F", "not run": "-"}
HALVES = {"A": range(5), "B": range(5, 10)}
WORDS = {"n": "named", "c": "caught, not named", "m": "MISSED", "p": "passed", "a": "ACCUSED"}
TAKEN = ["pneumonia", "lesions", "digits10", "findings"]
KINDS = {
    "K = 2": ("skin", "pneumonia"),
    "K = 7": ("digits7", "lesions"),
    "K = 10": ("digits10",),
    "12 findings": ("findings",),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--held-out", action="store_true", help="half B on seeds 5 to 9")
    parser.add_argument("--tasks", nargs="*", choices=list(TASKS), default=TAKEN)
    parser.add_argument("--seeds", type=int, nargs="*", help="other seeds than those of the half")
    parser.add_argument("--only", nargs="*", help="names of test networks")
    parser.add_argument("--out", type=Path, default=HERE / "trust.json")
    parser.add_argument(
        "--table", action="store_true", help="print the tables of what is in the file, and make nothing"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    half = "B" if arguments.held_out else "A"
    records = json.loads(arguments.out.read_text())["records"] if arguments.out.is_file() else []
    if not arguments.table:
        wanted = [
            (seed, task, example)
            for seed in (HALVES[half] if arguments.seeds is None else arguments.seeds)
            for task in arguments.tasks
            for example in EXAMPLES
            if example.half == half
            and task in example.tasks
            and (not arguments.only or example.name in arguments.only)
            and str(seed) not in record_of(records, task, example)["seeds"]
        ]
        make(wanted, records, arguments.out)
    tables(records)


def record_of(records: list[dict], task: str, example: Example) -> dict:
    """The record of a test network on a task, a new one if there is none."""
    key = {"task": task, "half": example.half, "network": example.name, "failing": example.failing}
    for record in records:
        if {name: record[name] for name in key} == key:
            return record
    records.append(key | {"passes": 0, "seeds": {}})
    return records[-1]


def make(wanted: list[tuple[int, str, Example]], records: list[dict], out: Path) -> None:
    """Examine test networks, and write the file after each seed and task."""
    began, nets = time.monotonic(), None
    for place, (seed, task, example) in enumerate(wanted):
        if nets is None or (nets.seed, nets.source) != (seed, task):
            if nets is not None:
                write(out, records)
            nets = Trained(seed, task)
        verdicts = examine(example, nets, short=True)
        record, word = record_of(records, task, example), result(example, verdicts)
        signs = "".join(SIGNS[verdict.status] for verdict in verdicts)
        record["passes"] = max(
            record["passes"] or 0, sum(verdict.passes_forward + verdict.passes_backward for verdict in verdicts)
        )
        record["seeds"][str(seed)] = f"{word} {signs}"
        left = (time.monotonic() - began) / (place + 1) * (len(wanted) - place - 1) / 60
        print(f"{place + 1} of {len(wanted)}, {left:.0f} min left: {task} {seed} {example.name}: {WORDS[word]} {signs}")
        for verdict in verdicts if word in "cma" else ():
            if verdict.status in ("fail", "warn"):
                print(f"    {verdict.name}: {verdict.status} {verdict.figure}: {verdict.advice}")
        if not example.failing:
            print("    " + ", ".join(f"{v.name} {v.figure:.3g}" for v in verdicts if v.figure and v.threshold))
        sys.stdout.flush()
    write(out, records)


def result(example: Example, verdicts: list[VerdictRecord]) -> str:
    """One letter of `WORDS`."""
    failed = any(verdict.status == "fail" for verdict in verdicts)
    if not example.failing:
        return "a" if failed else "p"
    return "n" if named(example, verdicts) else "c" if failed else "m"


def write(path: Path, records: list[dict]) -> None:
    """One test network and task a line; per seed a letter of `WORDS`, and a sign of `SIGNS` for each check; `passes` null if unknown."""
    head = {
        "commands": ["python benchmarks/trust.py", "python benchmarks/trust.py --held-out"],
        "machine": f"{platform.machine()}, {os.cpu_count()} shared cores, one thread",
        "versions": versions(),
        "words": WORDS,
        "signs": {sign: status for status, sign in SIGNS.items()},
        "checks": [check.name for check in checks()],
    }
    lines = ",\n".join(json.dumps(record, ensure_ascii=False) for record in records if record["seeds"])
    text = "".join(f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)},\n" for key, value in head.items())
    write_text(path, "{\n" + text + f'"records": [\n{lines}\n]\n}}\n')


def tables(records: list[dict]) -> None:
    """For each half: what was found for each number of classes, what was not, and which checks found each test network."""
    names = [check.name for check in checks()]
    for half in HALVES:
        mine = [record for record in records if record["half"] == half and record["seeds"]]
        if not mine:
            continue
        seeds = sorted({seed for record in mine for seed in record["seeds"]}, key=int)
        print(f"\nHalf {half}, seeds {', '.join(seeds)}\n")
        print(
            "| | known failures caught | by a check that names the cause | honest networks accused |\n|---|---|---|---|"
        )
        for kind, tasks in KINDS.items():
            print(f"| {kind} | " + " | ".join(counts([r for r in mine if r["task"] in tasks])) + " |")
        print("| all | " + " | ".join(counts(mine)) + " |\n")
        for record in mine:
            for seed, text in record["seeds"].items():
                if text[0] not in "np":
                    print(f"{WORDS[text[0]]}: {record['network']} ({record['task']}, seed {seed}): {by(names, [text])}")
        print("\n| test network | right | checks that failed |\n|---|---|---|")
        for example in EXAMPLES:
            cases = [text for r in mine if r["network"] == example.name for text in r["seeds"].values()]
            if cases:
                good = sum(case[0] in "np" for case in cases)
                print(f"| {example.name} | {good} of {len(cases)} | {by(names, cases)} |")
        print(f"\nlargest spending: {max(record['passes'] or 0 for record in mine):,} passes")


def by(names: list[str], cases: list[str]) -> str:
    """Which checks failed, and in how many cases."""
    failed = Counter(name for case in cases for name, sign in zip(names, case[2:], strict=True) if sign == "F")
    return ", ".join(f"{name} {count}" for name, count in failed.most_common())


def counts(records: list[dict]) -> list[str]:
    """Known failures caught and named, and honest networks accused, with 95 % intervals (Wilson)."""
    letters = {
        failing: [text[0] for r in records if r["failing"] == failing for text in r["seeds"].values()]
        for failing in (True, False)
    }
    failing, honest = letters[True], letters[False]
    return [
        share(sum(letter in "nc" for letter in failing), len(failing)),
        share(failing.count("n"), len(failing)),
        share(honest.count("a"), len(honest)),
    ]


def share(count: int, total: int) -> str:
    if not total:
        return "none"
    low, high = binomtest(count, total).proportion_ci(method="wilson")
    return f"{count} of {total} ({100 * count / total:.1f} %; {100 * low:.1f} to {100 * high:.1f})"


if __name__ == "__main__":
    main()
