"""Exact l∞ radii of tiny ReLU networks by mixed-integer programming, to compare attacks with.

    python benchmarks/milp.py      # palpate against exact radii; with --check only the program against brute force

The radius of an image is the least r such that some x' in [0, 1] within r of the image has another class's logit at least as large as its own
(arXiv 1711.07356): per other class one program, a binary variable for each ReLU whose sign interval arithmetic leaves open. HiGHS solves it.
"""

import argparse
import dataclasses
import itertools
import time

import numpy as np
import torch
from scipy.optimize import Bounds, LinearConstraint, milp
from torch import Tensor, nn

Layers = list[tuple[np.ndarray, np.ndarray]]  # weights (outputs, inputs) and biases; a ReLU between each two
GAP = 1e-6  # relative, of the solver


def layers_of(network: nn.Module) -> Layers:
    """The linear layers of a network of linear layers and ReLUs."""
    return [
        (module.weight.detach().double().numpy(), module.bias.detach().double().numpy())
        for module in network.modules()
        if isinstance(module, nn.Linear)
    ]


def logits_of(layers: Layers, x: np.ndarray) -> np.ndarray:
    """Logits (N, K) of inputs (N, D), in float64."""
    for index, (weight, bias) in enumerate(layers):
        x = x @ weight.T + bias
        if index < len(layers) - 1:
            x = np.maximum(x, 0)
    return x


class _Program:
    """Rows and variables of a mixed-integer program, as they are added."""

    def __init__(self) -> None:
        self.low: list[float] = []
        self.high: list[float] = []
        self.whole: list[int] = []
        self.rows: list[tuple[dict[int, float], float, float]] = []

    def variables(self, low: np.ndarray, high: np.ndarray, whole: bool = False) -> np.ndarray:
        start = len(self.low)
        self.low.extend(np.asarray(low, float)), self.high.extend(np.asarray(high, float))
        self.whole.extend([int(whole)] * len(low))
        return np.arange(start, len(self.low))

    def row(self, terms: dict[int, float], low: float, high: float = np.inf) -> None:
        self.rows.append((terms, low, high))

    def least(self, variable: int, seconds: float) -> tuple[float, float, np.ndarray]:
        """The least value of a variable, the solver's lower bound of it, and the solution; infinite where none is feasible."""
        matrix = np.zeros((len(self.rows), len(self.low)))
        for index, (terms, _, _) in enumerate(self.rows):
            matrix[index, list(terms)] = list(terms.values())
        cost = np.eye(len(self.low))[variable]
        result = milp(
            cost,
            constraints=LinearConstraint(matrix, [row[1] for row in self.rows], [row[2] for row in self.rows]),
            bounds=Bounds(np.array(self.low), np.array(self.high)),
            integrality=np.array(self.whole),
            options={"mip_rel_gap": GAP, "time_limit": seconds},
        )
        if result.x is None:
            if result.status != 2:
                raise RuntimeError(f"no solution within {seconds:g} seconds: {result.message}")
            return np.inf, np.inf, np.zeros(0)
        bound = (
            result.fun if result.mip_dual_bound is None else result.mip_dual_bound
        )  # None where presolving was enough
        return float(result.fun), float(bound), result.x


def _towards(layers: Layers, x: np.ndarray, label: int, target: int, upper: float, seconds: float) -> float:
    """The least radius at which the target's logit reaches the label's; infinite where it is above `upper`."""
    program = _Program()
    low, high = np.maximum(0, x - upper), np.minimum(1, x + upper)
    radius = int(program.variables(np.zeros(1), np.full(1, upper))[0])
    values = program.variables(low, high)
    for variable, clean in zip(values.tolist(), x.tolist(), strict=True):
        program.row({variable: 1.0, radius: -1.0}, -np.inf, clean)
        program.row({variable: 1.0, radius: 1.0}, clean)
    for weight, bias in layers[:-1]:
        positive, negative = np.maximum(weight, 0), np.minimum(weight, 0)
        below, above = positive @ low + negative @ high + bias, positive @ high + negative @ low + bias
        low, high = np.maximum(below, 0), np.maximum(above, 0)
        outputs = program.variables(low, high)
        for unit, output in enumerate(outputs.tolist()):
            if above[unit] <= 0:
                continue
            linear = {int(v): -float(w) for v, w in zip(values, weight[unit], strict=True)}
            if below[unit] >= 0:
                program.row({**linear, output: 1.0}, bias[unit], bias[unit])
                continue
            on = int(program.variables(np.zeros(1), np.ones(1), whole=True)[0])
            program.row({**linear, output: 1.0}, bias[unit])  # at least the sum, and at least 0 by its bounds
            program.row({**linear, output: 1.0, on: -below[unit]}, -np.inf, bias[unit] - below[unit])
            program.row({output: 1.0, on: -above[unit]}, -np.inf, 0.0)
        values = outputs
    weight, bias = layers[-1]
    slopes = (weight[target] - weight[label]).tolist()
    program.row(dict(zip(values.tolist(), slopes, strict=True)), bias[label] - bias[target])
    return program.least(radius, seconds)[0]


def radius(layers: Layers, image: np.ndarray, label: int, upper: float = 1.0, seconds: float = 120.0) -> float:
    """The exact l∞ radius of an image (any shape, [0, 1]); 0 where it is already wrong, infinite where it is above `upper`."""
    x = np.asarray(image, float).ravel()
    logits = logits_of(layers, x[None])[0]
    if logits.argmax() != label:
        return 0.0
    best = np.inf
    for target in np.argsort(-logits):
        if target != label:
            best = min(best, _towards(layers, x, label, int(target), min(upper, best), seconds))
    return best


@dataclasses.dataclass(frozen=True)
class Tiny:
    """A tiny network: digits pooled to side × side pixels, hidden layers of so many units, plain or adversarially trained."""

    classes: int
    side: int
    hidden: tuple[int, ...]
    epsilon: float = 0.0

    @property
    def name(self) -> str:
        kind = "adversarially trained" if self.epsilon else "plain"
        return f"K = {self.classes}, {self.side**2} inputs, {' + '.join(map(str, self.hidden))} units, {kind}"


TINY = [
    Tiny(2, 4, (16, 16)),
    Tiny(2, 6, (24, 24)),
    Tiny(2, 6, (24, 24), 0.1),
    Tiny(3, 4, (16, 16)),
    Tiny(3, 6, (24, 24)),
    Tiny(3, 6, (24, 24), 0.1),
]


def train(tiny: Tiny, count: int) -> tuple[nn.Module, Tensor, Tensor]:
    """The network, trained in seconds, and test images (count, 1, side, side) that were not trained on."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    x = torch.from_numpy(digits.images.astype(np.float32) / 16)[:, None]
    x = nn.functional.interpolate(x, size=tiny.side, mode="area")
    y = torch.from_numpy(digits.target.astype(np.int64))
    y = y % 2 if tiny.classes == 2 else y
    keep = y < tiny.classes
    x, y = x[keep], y[keep]
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    train_on, test = order[:-count], order[-count:]
    torch.manual_seed(5)
    sizes = [tiny.side**2, *tiny.hidden, tiny.classes]
    parts: list[nn.Module] = [nn.Flatten()]
    for width_in, width in itertools.pairwise(sizes):
        parts += [nn.Linear(width_in, width), nn.ReLU()]
    network = nn.Sequential(*parts[:-1])
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3, weight_decay=1e-3)
    for _ in range(600):
        pick = train_on[torch.randint(len(train_on), (128,))]
        images, labels = x[pick], y[pick]
        for _ in range(5 if tiny.epsilon else 0):
            moved = images.clone().requires_grad_(True)
            (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(network(moved), labels), moved)
            nearest = x[pick]
            images = (
                (images + tiny.epsilon / 3 * gradient.sign())
                .clamp(nearest - tiny.epsilon, nearest + tiny.epsilon)
                .clamp(0, 1)
            )
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        optimiser.step()
    return network.eval().requires_grad_(False), x[test].contiguous(), y[test]


def exact(network: nn.Module, images: Tensor, labels: Tensor, upper: Tensor | None = None) -> Tensor:
    """Exact radii (N,) float64 of every image; `upper` (N,) may hold radii already found, which makes the programs smaller."""
    layers = layers_of(network)
    found = []
    for index, (image, label) in enumerate(zip(images.double().numpy(), labels.tolist(), strict=True)):
        bound = (
            1.0
            if upper is None or not torch.isfinite(upper[index])
            else min(1.0, float(upper[index]) * (1 + 1e-4) + 1e-6)
        )
        found.append(radius(layers, image, label, bound))
    return torch.tensor(found, dtype=torch.float64)


def brute_force(layers: Layers, image: np.ndarray, label: int) -> tuple[float, float]:
    """Radius of an image of two inputs on a grid over [0, 1], made finer around the nearest wrong point; and the coarse grid's step."""
    low, high, steps = np.zeros(2), np.ones(2), 401
    first = 1 / (steps - 1)
    best = np.inf
    for _ in range(4):
        axes = [np.linspace(a, b, steps) for a, b in zip(low, high, strict=True)]
        points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
        wrong = points[logits_of(layers, points).argmax(1) != label]
        if not len(wrong):
            return best, first
        distance = np.abs(wrong - image).max(1)
        best = min(best, float(distance.min()))
        nearest, step = wrong[distance.argmin()], (high - low) / (steps - 1)
        low, high = np.maximum(0, nearest - 20 * step), np.minimum(1, nearest + 20 * step)
    return best, first


def check(networks: int = 12, images: int = 6) -> float:
    """The largest difference between program and brute force over random networks of two inputs, K = 2 and 3; raises where it matters."""
    largest = 0.0
    for seed in range(networks):
        rng = np.random.default_rng(seed)
        sizes = [2, 8, 8, 2 + seed % 2]
        layers = [(rng.normal(size=(b, a)) * 1.5, rng.normal(size=b)) for a, b in itertools.pairwise(sizes)]
        for image in rng.random((images, 2)):
            label = int(logits_of(layers, image[None]).argmax())
            by_program, (by_force, step) = radius(layers, image, label), brute_force(layers, image, label)
            if np.isinf(by_program) and np.isinf(by_force):
                continue
            difference = abs(by_program - by_force)
            largest = max(largest, difference if np.isfinite(difference) else 0.0)
            # Beyond the nearest point of the coarse grid a nearer one may lie within a step; never is the program above the grid.
            if not by_force - step <= by_program <= by_force + 1e-5:
                raise RuntimeError(f"network {seed}, {image}: {by_program} by the program, {by_force} by brute force")
    return largest


def compare(count: int) -> list[dict]:
    """For each tiny network: how palpate's radii compare with the exact ones."""
    import palpate

    table = []
    for tiny in TINY:
        network, images, labels = train(tiny, count)
        clean = float((network(images).argmax(1) == labels).double().mean())
        found = {}
        for attack in ("fast", "standard", "ensemble"):
            swept = palpate.sweep(network, images, labels, [1.0], attack=attack)
            found[attack] = (swept.radius.double(), swept.passes.double().mean(0).tolist())
        start = time.perf_counter()
        truth = exact(network, images, labels, found["ensemble"][0])
        row: dict = {"network": tiny.name, "images": count, "clean": clean, "seconds": time.perf_counter() - start}
        row["median"] = float(truth.median())
        right = (truth > 0) & torch.isfinite(truth)
        for attack, (radii, passes) in found.items():
            ratio = radii[right] / truth[right]
            row[attack] = {
                "within_1_percent": float((ratio <= 1.01).double().mean()),
                "worst_ratio": float(ratio.max()),
                "mean_ratio": float(ratio.clamp(max=1e3).mean()),
                "below_exact": float((ratio < 1 - 1e-4).double().sum()),
                "passes": passes,
            }
        table.append(row)
        show(row)
    return table


def show(row: dict) -> None:
    """Print one network's comparison."""
    print(
        f"{row['network']}: accuracy {row['clean']:.2f}, median radius {row['median']:.4f}, {row['seconds']:.0f} s for {row['images']} images"
    )
    for attack in ("fast", "standard", "ensemble"):
        found = row[attack]
        print(
            f"    {attack:9} within 1 %: {found['within_1_percent']:6.1%}   worst ratio {found['worst_ratio']:.3f}"
            f"   passes {found['passes'][0]:.1f} / {found['passes'][1]:.1f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only compare the program with brute force")
    parser.add_argument("--images", type=int, default=40)
    arguments = parser.parse_args()
    print(f"program against brute force, two inputs: largest difference {check():.1e}", flush=True)
    if not arguments.check:
        compare(arguments.images)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
