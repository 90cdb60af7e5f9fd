"""Which check catches which planted failure, and whether any accuses an honest model: the matrix of docs/trust.md.

    python benchmarks/trust.py                  # five seeds; about fifteen minutes on two quiet cores
    python benchmarks/trust.py --seeds 0        # one of them

The exhibits stand in tests/verdicts/known_failures, where the tests use them too. Thresholds were fixed on half A alone.
"""

import argparse
import json
import os
import platform
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import torch  # noqa: E402
from tests.verdicts.known_failures.exhibits import EXHIBITS, Workshop, caught, examine  # noqa: E402

from palpate.core.run_folder import versions  # noqa: E402
from palpate.verdicts.checks import CHECKS  # noqa: E402

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
    print(f"{'seed half':>9} {'exhibit':24} {'':8}" + " ".join(f"{number:2}" for number in range(1, len(CHECKS) + 1)))
    for seed in arguments.seeds:
        shop = Workshop(seed, arguments.images)
        for exhibit in EXHIBITS:
            verdicts = examine(exhibit, shop)
            failed = [verdict.name for verdict in verdicts if verdict.status == "fail"]
            right = caught(exhibit, verdicts) if exhibit.planted else not failed
            outcome = ("caught" if right else "MISSED") if exhibit.planted else ("spared" if right else "ACCUSED")
            signs = "  ".join(SIGNS[verdict.status] for verdict in verdicts)
            print(f"{seed:4} {exhibit.half:>4} {exhibit.name:24} {outcome:8} {signs}", flush=True)
            records.append(
                {
                    "seed": seed,
                    "half": exhibit.half,
                    "exhibit": exhibit.name,
                    "planted": exhibit.planted,
                    "right": right,
                    "passes": sum(sum(verdict.passes) for verdict in verdicts),
                    "verdicts": {verdict.name: [verdict.status, verdict.to_dict()["figure"]] for verdict in verdicts},
                }
            )
    print("\n" + "\n".join(f"{number:2} {check.name}" for number, check in enumerate(CHECKS, 1)))
    wrong = [f"{record['exhibit']} (seed {record['seed']})" for record in records if not record["right"]]
    print(f"\n{len(records) - len(wrong)} of {len(records)} right" + (f"; wrong: {', '.join(wrong)}" if wrong else ""))
    report = {
        "command": "python benchmarks/trust.py " + " ".join(sys.argv[1:]),
        "machine": f"{platform.machine()}, {os.cpu_count()} shared cores, one thread",
        "versions": versions(),
        "images": arguments.images,
        "records": records,
    }
    arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
