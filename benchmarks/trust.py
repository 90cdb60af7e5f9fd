"""Which check finds which known failure, and whether any accuses an honest network: the table of docs/trust.md.

    python benchmarks/trust.py                  # five seeds; about fifteen minutes on two quiet cores
    python benchmarks/trust.py --seeds 0        # one of them

The test networks stand in tests/verdicts/known_failures, where the tests use them too. Thresholds were fixed on half A alone.
"""

import argparse
import os
import platform
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import torch  # noqa: E402
from tests.verdicts.known_failures.examples import EXAMPLES, Trained, examine, found_out  # noqa: E402

from palpate.core.io import write_json  # noqa: E402
from palpate.core.run_folder import versions  # noqa: E402
from palpate.verdicts.check import checks  # noqa: E402

SIGNS = {"pass": ".", "warn": "w", "fail": "F", "not run": "-"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    parser.add_argument(
        "--images", default="skin", help='what the models see: "skin", "fundus", "chest" or "pneumoniamnist"'
    )
    parser.add_argument("--out", type=Path, default=HERE / "trust.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    records = []
    made = checks()
    print(f"{'seed half':>9} {'example':24} {'':8}" + " ".join(f"{number:2}" for number in range(1, len(made) + 1)))
    for seed in arguments.seeds:
        nets = Trained(seed, arguments.images)
        for example in EXAMPLES:
            verdicts = examine(example, nets)
            failed = [verdict.name for verdict in verdicts if verdict.status == "fail"]
            right = found_out(example, verdicts) if example.failing else not failed
            outcome = ("found" if right else "MISSED") if example.failing else ("passed" if right else "ACCUSED")
            signs = "  ".join(SIGNS[verdict.status] for verdict in verdicts)
            print(f"{seed:4} {example.half:>4} {example.name:24} {outcome:8} {signs}", flush=True)
            records.append(
                {
                    "seed": seed,
                    "half": example.half,
                    "example": example.name,
                    "failing": example.failing,
                    "right": right,
                    "passes": sum(verdict.passes_forward + verdict.passes_backward for verdict in verdicts),
                    "verdicts": {verdict.name: [verdict.status, verdict.figure] for verdict in verdicts},
                }
            )
    print("\n" + "\n".join(f"{number:2} {check.name}" for number, check in enumerate(made, 1)))
    wrong = [f"{record['example']} (seed {record['seed']})" for record in records if not record["right"]]
    print(f"\n{len(records) - len(wrong)} of {len(records)} right" + (f"; wrong: {', '.join(wrong)}" if wrong else ""))
    report = {
        "command": "python benchmarks/trust.py " + " ".join(sys.argv[1:]),
        "machine": f"{platform.machine()}, {os.cpu_count()} shared cores, one thread",
        "versions": versions(),
        "images": arguments.images,
        "records": records,
    }
    write_json(arguments.out, report)


if __name__ == "__main__":
    main()
