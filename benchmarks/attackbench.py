"""AttackBench's protocol (Cinà et al. 2024, arXiv 2404.19460) on the benchmark's networks or on your own: optimality in l∞ at equal budgets.

    python benchmarks/attackbench.py --images 50
    python benchmarks/attackbench.py --networks cnn vit --attacks "palpate standard" "FMN 1000"
    python benchmarks/attackbench.py --model my_module:make_network --weights checkpoint.pt --data images.npz

Every attack has AttackBench's interface: called with model, inputs, labels, targets and targeted, it gives adversarial inputs. Whatever it asks
the network is watched: the forward and backward passes of an image together end at 2,000 (1,000 steps of one each), and the smallest
perturbation answered wrongly until then is what the attack found, whatever it returns.

Local optimality is one minus the area between an attack's curve of robust accuracy and the lower envelope of all attacks, over the area between
clean accuracy and that envelope, up to the envelope's largest norm; global optimality is its mean over networks. AttackBench takes trapezoids
over the distinct norms; beside it stands the exact area under the steps.
"""

import argparse
import importlib
import json
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import sweep

if TYPE_CHECKING:
    from references import Attack, Run
    from torch import Tensor, nn

HERE = Path(__file__).parent
STRENGTHS = ("fast", "standard", "ensemble")


def palpate_attack(strength: str) -> "Attack":
    """palpate's sweep with AttackBench's interface; radii up to 1 are looked for, since the interface names none."""
    import palpate

    def run(
        model: "nn.Module", inputs: "Tensor", labels: "Tensor", targets: "Tensor | None" = None, targeted: bool = False
    ) -> "Tensor":
        aimed = {"targets": targets} if targeted else {}
        found = palpate.sweep(model, inputs, labels, [1.0], strength, **aimed)
        assert found.adversarials is not None
        return found.adversarials

    return run


def attacks() -> "dict[str, Attack]":
    """Every attack of the comparison: palpate's, and the references that AttackBench lists among the best in l∞."""
    import references

    ours = {f"palpate {strength}": palpate_attack(strength) for strength in STRENGTHS}
    return {**ours, **{name: attack for name, attack in references.ATTACKS.items() if not name.endswith("PGD 100")}}


def _curve(distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct distances, rising, and robust accuracy at each."""
    distinct, counts = np.unique(distances, return_counts=True)
    return distinct, 1 - counts.cumsum() / len(distances)


def optimality(distances: np.ndarray, envelope: np.ndarray) -> float:
    """AttackBench's local optimality of the smallest norms (N,) that an attack found, given the lower envelope (N,).

    An image that the attack does not fool within the envelope's largest norm stays right until there.

    >>> optimality(np.array([0.0, 0.2, 0.4]), np.array([0.0, 0.2, 0.4]))
    1.0
    >>> abs(optimality(np.array([0.0, np.inf, np.inf]), np.array([0.0, 0.2, 0.4]))) < 1e-9
    True
    """
    norms, accuracy = _curve(envelope[np.isfinite(envelope)]) if np.isinf(envelope).any() else _curve(envelope)
    top, clean = float(norms[-1]), np.count_nonzero(envelope) / len(envelope)
    best = float(np.trapezoid(accuracy, norms))
    norms, accuracy = _curve(distances.clip(max=top))
    accuracy[-1] = (distances > top).mean()
    return float(1 - (np.trapezoid(accuracy, norms) - best) / (clean * top - best))


def exact_optimality(distances: np.ndarray, envelope: np.ndarray, top: float | None = None) -> float:
    """The same with the exact areas under the steps of the curves, up to `top` or the envelope's largest finite norm.

    >>> exact_optimality(np.array([0.0, 0.2, 0.4]), np.array([0.0, 0.2, 0.4]))
    1.0
    >>> round(exact_optimality(np.array([0.0, 0.3, 0.4]), np.array([0.0, 0.2, 0.4])), 3)
    0.5
    """
    top = float(envelope[np.isfinite(envelope)].max()) if top is None else top
    best, clean = envelope.clip(max=top).mean(), (envelope > 0).mean()
    return float(1 - (distances.clip(max=top).mean() - best) / (clean * top - best))


def table(runs: "dict[str, Run]") -> dict[str, dict]:
    """Of each attack on one network: both optimalities, passes, median norm, and how often it failed; best first."""
    import torch

    found = {name: run.radius.numpy() for name, run in runs.items()}
    envelope = torch.stack([run.radius for run in runs.values()]).amin(0).numpy()
    rows = {
        name: {
            "optimality": optimality(radius, envelope),
            "exact_optimality": exact_optimality(radius, envelope),
            **runs[name].spent(),
            "seconds": runs[name].seconds,
            "median": float(np.median(radius[radius > 0])),
            "not_fooled": float(np.isinf(radius).mean()),
        }
        for name, radius in found.items()
    }
    return dict(sorted(rows.items(), key=lambda row: -row[1]["optimality"]))


def show(title: str, rows: dict[str, dict]) -> None:
    """Print the table of one network."""
    print(
        f"\n{title}\n  {'attack':20}{'optimality':>11}{'exact':>8}{'forward':>9}{'backward':>9}{'median':>9}{'not fooled':>11}"
    )
    for name, row in rows.items():
        print(
            f"  {name:20}{row['optimality']:11.4f}{row['exact_optimality']:8.4f}{row['forward']:9.1f}{row['backward']:9.1f}"
            f"{row['median']:9.4f}{row['not_fooled']:11.1%}"
        )
    sys.stdout.flush()


def overall(networks: list[dict]) -> dict[str, dict]:
    """Global optimality of each attack: the mean over the networks that all of its rivals ran on, too."""
    names = set.intersection(*(set(network["attacks"]) for network in networks))
    rows = {
        name: {
            key: float(np.mean([network["attacks"][name][key] for network in networks]))
            for key in networks[0]["attacks"][name]
        }
        for name in names
    }
    return dict(sorted(rows.items(), key=lambda row: -row[1]["optimality"]))


def own_network(factory: str, weights: Path | None, data: Path) -> "tuple[nn.Module, Tensor, Tensor]":
    """A network from `module:factory`, its checkpoint, and images (N, C, H, W) in [0, 1] with labels from an .npz of `images` and `labels`."""
    import torch

    module, _, name = factory.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    network = getattr(importlib.import_module(module), name or "make_network")()
    if weights is not None:
        state = torch.load(weights, map_location="cpu", weights_only=True)
        for key in ("state_dict", "model_state_dict", "model"):
            state = state.get(key, state)
        network.load_state_dict({key.removeprefix("module."): value for key, value in state.items()})
    file = np.load(data)
    images, labels = torch.from_numpy(file["images"]).float(), torch.from_numpy(file["labels"]).long()
    return network.eval().requires_grad_(False), images, labels


def versions() -> dict[str, str]:
    """What the figures were made with."""
    import importlib.metadata

    import references

    found = {name: importlib.metadata.version(name) for name in ("torch", "timm", "monai", "adv-lib", "scipy")}
    return {**found, "palpate attacks": references.fingerprint(palpate_source())}


def palpate_source() -> Path:
    """The folder on which palpate's radii depend."""
    import palpate

    return Path(palpate.__file__).parent / "attacks"


def machine() -> str:
    """The machine, in words."""
    return f"{platform.machine()}, {os.cpu_count()} shared cores, one thread, Python {platform.python_version()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="*", help="names of benchmarks/networks.py; all when absent")
    parser.add_argument("--attacks", nargs="*", help="names as in the table; all when absent")
    parser.add_argument("--images", type=int, default=50)
    parser.add_argument("--model", help="module:factory of your own network, logits from images in [0, 1]")
    parser.add_argument("--weights", type=Path, help="its checkpoint")
    parser.add_argument("--data", type=Path, help=".npz with images (N, C, H, W) in [0, 1] and labels (N,)")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "palpate-benchmark")
    parser.add_argument("--out", type=Path, default=HERE / "attackbench.json")
    arguments = parser.parse_args()
    if arguments.model and arguments.data is None:
        parser.error("--model needs --data")
    arguments.cache.mkdir(parents=True, exist_ok=True)
    if "PALPATE_BENCHMARK" not in os.environ:
        sweep.enter_environment(arguments.cache)

    import networks
    import references
    import torch

    torch.set_num_threads(1)
    chosen = {
        name: attack for name, attack in attacks().items() if arguments.attacks is None or name in arguments.attacks
    }
    mine = references.fingerprint(palpate_source())
    report: dict = {
        "command": "python benchmarks/" + " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "machine": machine(),
        "versions": versions(),
        "budget": references.BUDGET,
        "networks": [],
    }
    names = [arguments.model] if arguments.model else arguments.networks or list(networks.RECIPES)
    for name in names:
        if arguments.model:
            network, images, labels = own_network(arguments.model, arguments.weights, arguments.data)
        else:
            network, images, labels, _ = networks.load(name, arguments.cache / "arch")
        images, labels = images[: arguments.images], labels[: arguments.images]
        runs = {}
        for attack_name, attack in chosen.items():
            state = f"-{mine}" if attack_name.startswith("palpate") else ""
            file = arguments.cache / "arch" / "runs" / f"{name.replace(':', '.')}-{attack_name}-{len(images)}{state}.pt"
            make = lambda a=attack, n=network, x=images, y=labels: references.measure(a, n, x, y)  # noqa: E731
            runs[attack_name] = make() if arguments.model else references.stored(file, make)
        rows = table(runs)
        show(f"{name}, {len(images)} images", rows)
        report["networks"].append({"network": name, "images": len(images), "attacks": rows})
        report["overall"] = overall(report["networks"])
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")
    show(f"all {len(names)} networks", report["overall"])


if __name__ == "__main__":
    main()
