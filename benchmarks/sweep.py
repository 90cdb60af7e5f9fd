"""palpate's attack against the other tools, on the same models and images, in one process.

    python benchmarks/sweep.py                  # about 25 minutes on two quiet cores
    python benchmarks/sweep.py --classes 2 --kinds undefended --images 64

The other tools are installed by uv into a folder of their own, which sees this environment's packages; what cannot be installed is reported and left
out. Seconds are only compared within a run: ours runs before and after Foolbox, and the ratio is to the mean of both. `README.md` holds the
last full table, `sweep.json` its numbers.
"""

import argparse
import json
import os
import platform
import site
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

HERE = Path(__file__).parent
DISTRIBUTIONS = ["adversarial-robustness-toolbox", "pyautoattack", "torchattacks", "adv-lib", "six", "tqdm", "monai"]
STRENGTHS = ("fast", "standard", "ensemble")


def enter_environment(cache: Path) -> None:
    """Run this script again in an environment that has the other tools on top of this one's packages."""
    folder = cache / "rivals"
    python = folder / "bin" / "python"
    uv = Path(sys.executable).parent / "uv"
    if not python.exists():
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, folder], check=True)
        target = next(folder.glob("lib/python*/site-packages"))
        (target / "palpate-environment.pth").write_text(
            "\n".join(f"import site; site.addsitedir({p!r})" for p in site.getsitepackages())
        )
        for name in DISTRIBUTIONS:
            # Their pins of numpy, requests and torch are left aside: what does not work with today's is reported below.
            if subprocess.run([uv, "pip", "install", "-q", "--no-deps", "--python", python, name]).returncode:
                print(f"{name} cannot be installed; its attacks are left out", flush=True)
    os.execve(python, [str(python), *sys.argv], {**os.environ, "PALPATE_BENCHMARK": "1"})


def attack_all(task: dict, classes: int, kind: str, count: int, cache: Path, rivals_too: bool) -> dict:
    """Every attack on one model; the record for the JSON."""
    import rivals
    import torch

    import models
    import palpate

    net = models.network(classes, kind, task, cache)
    images, labels = task["test"]
    chosen = torch.randperm(len(images), generator=torch.Generator().manual_seed(3))[:count]
    images, labels = images[chosen], labels[chosen]
    epsilons = [models.EPSILONS[classes] / 2 ** (7 - step) for step in range(8)]
    runs: dict[str, rivals.Run] = {}
    seconds: dict[str, list[float]] = {}

    def ours(strength: str, part: slice = slice(None)) -> None:
        start = time.perf_counter()
        # The other tools perturb each channel by itself, also where the image is grey.
        result = palpate.sweep(net, images[part], labels[part], epsilons, {"attack": strength, "channels": "free"})
        elapsed = time.perf_counter() - start
        seconds.setdefault(strength if part == slice(None) else f"{strength} part", []).append(elapsed)
        if part == slice(None):
            forward, backward = result.passes.double().mean(0).tolist()
            runs[f"palpate {strength}"] = rivals.Run(result.radius, (forward, backward), elapsed)

    def theirs(
        name: str, attack: rivals.Attack, part: slice = slice(None), at: list[float] = epsilons
    ) -> rivals.Run | None:
        try:
            return rivals.measure(attack, net, images[part], labels[part], at)
        except Exception as error:  # a rival that cannot run is a result, too
            print(f"    {name}: cannot run: {type(error).__name__}: {str(error)[:100]}", flush=True)
            return None

    for strength in STRENGTHS:
        ours(strength)
    net.requires_grad_(True)  # as users have it
    reference = theirs("Foolbox", rivals.foolbox_pgd)
    for strength in STRENGTHS[:2]:
        ours(strength)
    assert reference is not None
    runs["Foolbox LinfPGD 40 × 8"] = reference
    part = slice(0, min(64, count))
    ours("fast", part), ours("standard", part)
    net.requires_grad_(False)
    frozen = theirs("Foolbox, frozen", rivals.foolbox_pgd, part)
    ours("fast", part), ours("standard", part)
    assert frozen is not None
    if rivals_too:
        for name, attack in rivals.RIVALS.items():
            if name not in runs and (name not in rivals.SLOW or kind in ("undefended", "trained")):
                run = theirs(name, attack)
                if run is not None:
                    runs[name] = run
        if classes >= 10 and kind in ("undefended", "trained"):
            accuracies = [float((runs["palpate ensemble"].radius > e).double().mean()) for e in epsilons]
            at = min(epsilons, key=lambda e: abs(accuracies[epsilons.index(e)] - 0.5))
            run = theirs("AutoAttack", rivals.autoattack, at=[at])
            if run is not None:
                runs[f"AutoAttack standard at {at:g}"] = run
    mean = {name: sum(values) / len(values) for name, values in seconds.items()}
    record = {
        "classes": classes,
        "kind": kind,
        "images": count,
        "epsilons": epsilons,
        "seconds_ratio": {s: reference.seconds / mean[s] for s in STRENGTHS[:2]},
        "seconds_ratio_frozen": {s: frozen.seconds / mean[f"{s} part"] for s in STRENGTHS[:2]},
        "attacks": summarise(runs, epsilons),
    }
    return record


def summarise(runs: dict, epsilons: list[float]) -> dict[str, dict]:
    """Of each attack: passes, seconds, accuracy per epsilon, images where palpate is weaker or stronger, optimality."""
    import torch

    rounding = 1e-6
    envelope = torch.stack([run.radius for run in runs.values()]).amin(0)
    top = epsilons[-1]

    def area(radius: "torch.Tensor") -> float:
        return float(radius.clamp(max=top).mean())

    worst = float((envelope > 0).double().mean()) * top
    table = {}
    for name, run in runs.items():
        row: dict = {
            "forward": run.passes[0],
            "backward": run.passes[1],
            "seconds": run.seconds,
            "robust_accuracy": [float((run.radius > e + rounding).double().mean()) for e in epsilons],
            "optimality": None
            if "at 0" in name
            else 1 - (area(run.radius) - area(envelope)) / (worst - area(envelope)),
        }
        if not name.startswith("palpate"):
            for strength in STRENGTHS:
                mine = runs[f"palpate {strength}"].radius
                fooled = torch.stack([run.radius <= e + rounding for e in epsilons])
                by_us = torch.stack([mine <= e for e in epsilons])
                row[f"{strength}_weaker"] = int((fooled & ~by_us).any(0).sum())
                row[f"{strength}_stronger"] = int((by_us & ~fooled).any(0).sum())
        table[name] = row
    return table


def show(record: dict) -> None:
    """Print the record of one model."""
    import models

    ratio = ", ".join(f"{name} {value:.0f}×" for name, value in record["seconds_ratio"].items())
    frozen = ", ".join(f"{name} {value:.0f}×" for name, value in record["seconds_ratio_frozen"].items())
    print(f"\nK = {record['classes']}, {record['kind']}, {record['images']} images; {models.NAMES[record['classes']]}")
    print(f"  faster than Foolbox as called: {ratio}; than Foolbox on frozen parameters: {frozen}")
    print(
        f"  {'attack':34}{'forward':>8}{'backward':>9}{'seconds':>9}  optimality  weaker/stronger (fast, standard, ensemble)"
    )
    for name, row in record["attacks"].items():
        optimality = "" if row["optimality"] is None else f"{row['optimality']:.4f}"
        versus = (
            ", ".join(f"{row[f'{s}_weaker']}/{row[f'{s}_stronger']}" for s in STRENGTHS) if "fast_weaker" in row else ""
        )
        print(
            f"  {name:34}{row['forward']:8.1f}{row['backward']:9.1f}{row['seconds']:9.1f}  {optimality:>10}  {versus}"
        )
        print("    robust accuracy " + " ".join(f"{value:.3f}" for value in row["robust_accuracy"]), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, nargs="*", default=[2, 7, 10], choices=[2, 7, 10])
    parser.add_argument("--kinds", nargs="*", default=["undefended", "attention", "trained", "masked"])
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "palpate-benchmark")
    parser.add_argument("--out", type=Path, default=HERE / "sweep.json")
    parser.add_argument("--only-foolbox", action="store_true", help="leave the other tools out")
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    if not arguments.only_foolbox and "PALPATE_BENCHMARK" not in os.environ:
        enter_environment(arguments.cache)

    import cost
    import rivals
    import torch

    import models

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    data = Path(os.environ.get("PALPATE_DATA", HERE.parent.parent / "shared" / "data"))
    report = {
        "command": "python benchmarks/" + " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "machine": f"{platform.machine()}, {os.cpu_count()} shared cores, one thread",
        "python": platform.python_version(),
        "versions": rivals.versions(),
        "models": [],
    }
    for classes in arguments.classes:
        task = models.task(classes, data, arguments.cache)
        for kind in arguments.kinds:
            record = attack_all(task, classes, kind, arguments.images, arguments.cache, not arguments.only_foolbox)
            show(record)
            report["models"].append(record)
            arguments.out.write_text(json.dumps(report, indent=1) + "\n")
    report["cost"] = cost.measure(arguments.classes[0], data, arguments.cache)
    print("\n" + json.dumps(report["cost"], indent=1))
    arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
