"""palpate on fifteen architectures: its radii beside those of every reference attack, image for image, and beside exact ones.

    python benchmarks/architectures.py                       # hours on two cores; what was run is kept and not run again
    python benchmarks/architectures.py --networks cnn vit --images 100 --attacks "palpate standard" "FMN 1000"

The lower envelope is the smallest norm that any attack found for an image. For each network: by how many points the robust accuracy that an
attack reports lies above the envelope's, at the worst of eight epsilons and on average; its optimality (one minus the area above the envelope,
over the area between clean accuracy and the envelope); passes. Attacks of 1,000 passes and more may run on fewer images: they then lower the
envelope of those and are rated on those. At the end, exact radii of tiny networks by mixed-integer programming.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import sweep

if TYPE_CHECKING:
    from references import Run
    from torch import Tensor, nn

HERE = Path(__file__).parent
OURS = {f"palpate {strength}": strength for strength in ("fast", "standard", "ensemble")}
SHORT = ("FMN 100", "PDPGD 100", "TR 100")
LONG = ("FMN 1000", "PDPGD 1000", "APGD-T 3 × 25", "APGD")


def palpate_run(
    strength: str, network: "nn.Module", images: "Tensor", labels: "Tensor", epsilons: list[float]
) -> "Run":
    """One strength through the public interface; what it calls adversarial is predicted and measured again."""
    import time

    import torch
    from references import INFINITE, Run

    import palpate

    start = time.perf_counter()
    found = palpate.sweep(network, images, labels, epsilons, strength)
    seconds = time.perf_counter() - start
    assert found.adversarials is not None
    with torch.no_grad():
        wrong = torch.cat([network(part).argmax(1) for part in found.adversarials.split(50)]) != labels
    norm = (found.adversarials.double() - images.double()).abs().flatten(1).amax(1)
    inside = ((found.adversarials >= 0) & (found.adversarials <= 1)).flatten(1).all(1)
    true = (found.radius == 0) | (wrong & inside & ((norm - found.radius).abs() <= 1e-6))
    radius = torch.where(torch.isfinite(found.radius) & ~true, INFINITE, found.radius)  # counts as not fooled
    return Run(radius, found.passes, seconds)


def all_runs(
    name: str,
    network: "nn.Module",
    images: "Tensor",
    labels: "Tensor",
    epsilons: list[float],
    arguments: argparse.Namespace,
) -> "dict[str, Run]":
    """Every attack's run on one network, from the cache where it was run before."""
    import attackbench
    import references

    mine = references.fingerprint(attackbench.palpate_source())
    runs = {}
    for attack in (*OURS, *SHORT, *LONG):
        count = min(len(images), arguments.long if attack in LONG else arguments.images)
        state = f"-{mine}" if attack in OURS else ""
        file = arguments.cache / "arch" / "runs" / f"{name}-{attack}-{count}{state}{'-api' if state else ''}.pt"
        if count and (arguments.attacks is None or attack in arguments.attacks or file.exists()):
            x, y = images[:count], labels[:count]
            make = (
                (lambda a=attack, x=x, y=y: palpate_run(OURS[a], network, x, y, epsilons))
                if attack in OURS
                else (lambda a=attack, x=x, y=y: references.run(a, network, x, y))
            )
            runs[attack] = references.stored(file, make)
            print(f"    {name}: {attack} on {count} images, {runs[attack].seconds:.0f} s", flush=True)
    return runs


def rate(runs: "dict[str, Run]", epsilons: list[float]) -> dict[str, dict]:
    """Of each attack: points above the envelope (worst and mean over epsilons), optimality, passes."""
    import torch
    from attackbench import exact_optimality

    most = max(len(run.radius) for run in runs.values())
    rows = torch.full((len(runs), most), float("inf"), dtype=torch.float64)
    for row, run in zip(rows, runs.values(), strict=True):
        row[: len(run.radius)] = run.radius
    envelope = rows.amin(0)
    table = {}
    for name, run in runs.items():
        best = envelope[: len(run.radius)]
        # A norm is read back in float32: within 1e-6 of an epsilon is at it.
        above = [100 * float(((run.radius > e + 1e-6).double() - (best > e + 1e-6).double()).mean()) for e in epsilons]
        table[name] = {
            "images": len(run.radius),
            "worst_points": max(above),
            "mean_points": sum(above) / len(above),
            "optimality": exact_optimality(run.radius.numpy(), best.numpy(), epsilons[-1]),
            "robust_accuracy": [float((run.radius > e + 1e-6).double().mean()) for e in epsilons],
            "beaten": float(
                (run.radius > best * 1.01 + 1e-6).double().mean()
            ),  # images whose radius another attack has 1 % smaller
            **run.spent(),
            "seconds": run.seconds,
        }
    return table


def show(record: dict) -> None:
    """Print one network's table."""
    print(
        f"\n{record['network']} ({record['task']}): accuracy {record['clean']:.3f}, balanced {record['balanced']:.3f};"
        f" epsilons up to {record['epsilons'][-1]:g}"
    )
    print(
        f"  {'attack':20}{'images':>7}{'points above, worst':>21}{'mean':>7}{'optimality':>12}{'> 1 % larger':>14}{'forward':>9}{'backward':>9}"
    )
    for name, row in record["attacks"].items():
        print(
            f"  {name:20}{row['images']:7}{row['worst_points']:21.2f}{row['mean_points']:7.2f}{row['optimality']:12.4f}"
            f"{row['beaten']:14.1%}{row['forward']:9.1f}{row['backward']:9.1f}"
        )
    sys.stdout.flush()


def summary(networks: list[dict]) -> dict[str, dict]:
    """Of each strength over the networks: the promises of the README, and whether each is kept."""
    import statistics

    found = {}
    for attack in OURS:
        rows = {record["network"]: record["attacks"][attack] for record in networks if attack in record["attacks"]}
        if not rows:
            continue
        worst = [row["worst_points"] for row in rows.values()]
        found[attack] = {
            "networks": len(rows),
            "within_half_a_point": sum(points <= 0.5 + 1e-9 for points in worst),
            "within_1_point": sum(points <= 1 + 1e-9 for points in worst),
            "worst_points": max(worst),
            "worst_network": max(rows, key=lambda name: rows[name]["worst_points"]),
            "mean_optimality": statistics.mean(row["optimality"] for row in rows.values()),
            "least_optimality": min(row["optimality"] for row in rows.values()),
            "median_forward": statistics.median(row["median_forward"] for row in rows.values()),
            "median_backward": statistics.median(row["median_backward"] for row in rows.values()),
            "most_forward": max(row["median_forward"] for row in rows.values()),
            "most_backward": max(row["median_backward"] for row in rows.values()),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="*", help="names of benchmarks/networks.py; all when absent")
    parser.add_argument(
        "--attacks", nargs="*", help="names as in the tables; all when absent, and always those in the cache"
    )
    parser.add_argument("--images", type=int, default=200, help="for palpate and attacks of about 100 steps")
    parser.add_argument(
        "--long", type=int, default=50, help="images for attacks of about 1,000 steps; 0 leaves them out"
    )
    parser.add_argument(
        "--milp", type=int, default=40, help="images of each tiny network with exact radii; 0 leaves them out"
    )
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "palpate-benchmark")
    parser.add_argument("--out", type=Path, default=HERE / "architectures.json")
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    if "PALPATE_BENCHMARK" not in os.environ:
        sweep.enter_environment(arguments.cache)

    import attackbench
    import milp
    import networks
    import torch

    torch.set_num_threads(1)
    report: dict = {
        "command": "python benchmarks/" + " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "machine": attackbench.machine(),
        "versions": attackbench.versions(),
        "networks": [],
    }
    for name in arguments.networks or networks.RECIPES:
        network, images, labels, epsilons = networks.load(name, arguments.cache / "arch")
        runs = all_runs(name, network, images, labels, epsilons, arguments)
        stored = networks.record(name, arguments.cache / "arch")
        record = {
            "network": name,
            "epsilons": epsilons,
            **{key: stored[key] for key in ("task", "clean", "balanced", "majority")},
        }
        record["attacks"] = rate(runs, epsilons)
        show(record)
        report["networks"].append(record)
        report["summary"] = summary(report["networks"])
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")
    print("\n" + json.dumps(report["summary"], indent=1))
    if arguments.milp:
        print(
            f"\nExact radii. Program against brute force on two inputs: largest difference {milp.check():.1e}",
            flush=True,
        )
        report["milp"] = milp.compare(arguments.milp)
    arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
