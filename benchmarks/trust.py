"""Which check finds which known failure, and whether any accuses an honest network: the table of docs/trust.md.

    python benchmarks/trust.py                                   # everything on seeds 5 to 9; hours on two cores
    python benchmarks/trust.py --tasks skin --seeds 0 --half A   # some of it; what is in the file already is not made again

The test networks stand in tests/verdicts/known_failures, where the tests use them too. Thresholds were fixed on half A and seeds 0 to 4.
"""

import argparse
import json
import os
import platform
import sys
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import torch  # noqa: E402
from tests.verdicts.known_failures.examples import ALL, EXAMPLES, Trained, examine, found_out  # noqa: E402

from palpate.core.io import write_text  # noqa: E402
from palpate.core.provenance import versions  # noqa: E402
from palpate.verdicts.check import checks  # noqa: E402

SIGNS = {"pass": ".", "warn": "w", "fail": "F", "not run": "-"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="*", default=list(ALL))
    parser.add_argument("--seeds", type=int, nargs="*", default=[5, 6, 7, 8, 9])
    parser.add_argument("--half", choices=["A", "B"], help="one of them; both when absent")
    parser.add_argument("--out", type=Path, default=HERE / "trust.json")
    parser.add_argument("--table", action="store_true", help="print the table of what is in the file, and make nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    names = [check.name for check in checks()]
    records = json.loads(arguments.out.read_text())["records"] if arguments.out.is_file() else []
    made = {(record["task"], record["seed"], record["example"]) for record in records}
    for task, seed in [] if arguments.table else [(task, seed) for seed in arguments.seeds for task in arguments.tasks]:
        nets = Trained(seed, task)
        for example in EXAMPLES:
            if task not in example.tasks or arguments.half not in (None, example.half):
                continue
            if (task, seed, example.name) in made:
                continue
            verdicts = examine(example, nets)
            right = found_out(example, verdicts) if example.failing else all(each.status != "fail" for each in verdicts)
            record = {
                "task": task,
                "seed": seed,
                "half": example.half,
                "example": example.name,
                "failing": example.failing,
                "right": right,
                "passes": sum(verdict.passes_forward + verdict.passes_backward for verdict in verdicts),
                "signs": "".join(SIGNS[verdict.status] for verdict in verdicts),
                "figures": {v.name: v.figure for v in verdicts if v.status == "fail" and v.figure is not None},
            }
            print(
                f"{task:9} {seed} {example.half} {example.name:24} {'right' if right else 'WRONG'} {record['signs']}",
                flush=True,
            )
            records.append(record)
        write(arguments.out, names, records)
    table(names, records)


def write(path: Path, names: list[str], records: list[dict]) -> None:
    """One record a line."""
    head = {
        "command": "python benchmarks/trust.py",
        "machine": f"{platform.machine()}, {os.cpu_count()} shared cores, one thread",
        "versions": versions(),
        "checks": names,
    }
    lines = ",\n".join(json.dumps(record, ensure_ascii=False) for record in records)
    write_text(path, json.dumps(head, indent=1)[:-2] + f',\n "records": [\n{lines}\n]\n}}\n')


def table(names: list[str], records: list[dict]) -> None:
    """By example: in how many cases each check failed, or "w" where it warned at most, or "-" where it was never made."""
    print("\n" + "  ".join(f"{number} {name}" for number, name in enumerate(names, 1)))
    print(f"{'':33}" + "".join(f"{number:>3}" for number in range(1, len(names) + 1)))
    for example in EXAMPLES:
        cases = [record for record in records if record["example"] == example.name]
        if not cases:
            continue
        row = ""
        for column in range(len(names)):
            signs = Counter(record["signs"][column] for record in cases)
            row += f"{signs['F'] or ('w' if signs['w'] else '-' if signs['-'] == len(cases) else '.'):>3}"
        right = sum(record["right"] for record in cases)
        print(f"{example.half} {example.name:24}{right:>3}/{len(cases):<3}{row}")
    for task in dict.fromkeys(record["task"] for record in records):
        for half in ("A", "B"):
            for failing, word in ((True, "failures found"), (False, "honest networks passed")):
                cases = [r for r in records if (r["task"], r["half"], r["failing"]) == (task, half, failing)]
                right = sum(record["right"] for record in cases)
                wrong = ", ".join(f"{r['example']} (seed {r['seed']})" for r in cases if not r["right"])
                print(f"{task:9} half {half}: {right} of {len(cases)} {word}" + (f"; not: {wrong}" if wrong else ""))
    print(f"largest spending: {max((record['passes'] for record in records), default=0):,} passes")


if __name__ == "__main__":
    main()
