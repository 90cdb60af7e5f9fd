"""How often the intervals of palpate.statistics hold the truth, and how often a comparison finds a difference where there is none.

Data are simulated with a known truth, so that the nominal 95 % is checked. Run it with

    python benchmarks/interval_coverage.py --out benchmarks/interval_coverage.json

(about ten minutes of one core; `--repetitions 200` for a look). Not named after the module it measures, as a script called
statistics.py would stand in the way of Python's own module of that name.
"""

import argparse
import json
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
from scipy import stats

from palpate.statistics.differences import holm, mean_interval, paired_difference, sign_flip
from palpate.statistics.intervals import balanced_accuracy_interval, clustered_limits
from palpate.statistics.operating import auroc, brier, calibration_error
from palpate.statistics.radius import median_radius

SHARES = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
CURVE = (0.9, 0.8, 0.65, 0.5, 0.35, 0.2, 0.1, 0.05)  # robust accuracy at eight epsilons


def wilson_exact(n: int, p: float) -> float:
    """Coverage of Wilson's interval, summed over the binomial: no simulation."""
    hits = np.arange(n + 1)
    low, high = np.transpose([stats.binomtest(each, n).proportion_ci(method="wilson") for each in hits])
    return float(stats.binom.pmf(hits, n, p)[(low <= p) & (p <= high)].sum())


def group_sizes(kind: str) -> np.ndarray:
    """Sizes of 100 groups: pairs, one to seven images, or tens."""
    uneven = np.random.default_rng(7).integers(1, 8, 100)
    return {"pairs": np.full(100, 2), "one to seven": uneven, "tens": np.full(100, 10)}[kind]


def clustered_share(rng: np.random.Generator, repetitions: int, p: float, sizes: np.ndarray, icc: float) -> float:
    """Coverage of the clustered Wilson interval for beta-binomial groups of a given intraclass correlation."""
    chance = np.full((repetitions, len(sizes)), p)
    if icc:
        chance = rng.beta(p * (1 - icc) / icc, (1 - p) * (1 - icc) / icc, chance.shape)
    totals = rng.binomial(sizes, chance).astype(float)
    low, high = clustered_limits(totals, np.broadcast_to(sizes.astype(float), totals.shape), 0.95)
    return float(np.mean((low <= p) & (p <= high)))


def latent(rng: np.random.Generator, shape: tuple[int, ...], groups: np.ndarray, icc: float) -> np.ndarray:
    """Standard normal values (..., N) that images of one group share to the extent of `icc`."""
    shared = rng.standard_normal((*shape, int(groups.max()) + 1))[..., groups]
    return np.sqrt(icc) * shared + np.sqrt(1 - icc) * rng.standard_normal((*shape, len(groups)))


def balanced(rng: np.random.Generator, repetitions: int, recalls: list[float], counts: list[int], size: int) -> float:
    """Coverage for balanced accuracy, classes of unequal number shuffled over groups of `size` that share half their luck."""
    labels = np.repeat(np.arange(len(recalls)), counts)
    groups = np.arange(len(labels)) // size
    bound = stats.norm.ppf(recalls)
    held = 0
    for _ in range(repetitions):
        true = rng.permutation(labels)
        right = latent(rng, (), groups, 0.5) < bound[true]
        _, low, high = balanced_accuracy_interval(true, np.where(right, true, -1), groups)
        held += low <= np.mean(recalls) <= high
    return held / repetitions


def runs(
    rng: np.random.Generator, accuracy: np.ndarray, number: int, spread: float, hard: np.ndarray, variance: float = 1.0
) -> np.ndarray:
    """Runs of one architecture: (E, S, N) correct or not, each run off by its own N(0, spread), images alike in difficulty.

    `hard` (N,) comes from N(0, variance); an image is as easy for a run at one epsilon as at any other.
    """
    share = np.clip(accuracy[:, None] + rng.normal(0, spread, number), 0.002, 0.998)  # (E, S)
    ease = (hard + rng.standard_normal((number, len(hard)))) / np.sqrt(1 + variance)  # (S, N)
    return ease < stats.norm.ppf(share)[..., None]


def architectures(
    rng: np.random.Generator,
    repetitions: int,
    seeds: int,
    spread: float,
    n: int,
    effect: float = 0.0,
    size: int = 1,
    taste: float = 0.0,
) -> dict[str, float]:
    """Coverage at one epsilon, false or true calls there, and calls at any of eight epsilons after Holm.

    `taste` is how much the two architectures differ in which images they find hard, as against the difficulty they share.
    """
    groups = np.arange(n) // size
    held, called, anywhere = 0, 0, 0
    accuracy = np.array(CURVE)
    for _ in range(repetitions):
        hard = latent(rng, (), groups, 0.5)
        tastes = taste * latent(rng, (2,), groups, 0.5)
        a = runs(rng, accuracy, seeds, spread, hard + tastes[0], 1 + taste**2)
        b = runs(rng, accuracy + effect, seeds, spread, hard + tastes[1], 1 + taste**2)
        names = groups if size > 1 else None
        found = [paired_difference(first, second, names) for first, second in zip(a, b, strict=True)]
        held += found[3].low <= effect <= found[3].high
        called += found[3].p < 0.05
        anywhere += bool((holm([one.p for one in found]) < 0.05).any())
    return {"coverage": held / repetitions, "called": called / repetitions, "called anywhere": anywhere / repetitions}


def one_run_mcnemar(rng: np.random.Generator, repetitions: int, spread: float, n: int) -> float:
    """How often McNemar, asked about one run each, calls a difference between two identical architectures."""
    called = 0
    for _ in range(repetitions):
        hard = rng.standard_normal(n)
        a, b = (runs(rng, np.array([0.5]), 1, spread, hard)[0, 0].astype(int) for _ in "ab")
        called += sign_flip(b - a) < 0.05
    return called / repetitions


def mean_of_runs(rng: np.random.Generator, repetitions: int, p: float, seeds: int, spread: float, n: int) -> float:
    """Coverage of the two-level interval of one architecture's mean accuracy."""
    held = 0
    for _ in range(repetitions):
        correct = runs(rng, np.array([p]), seeds, spread, rng.standard_normal(n))[0]
        low, high = mean_interval(correct)
        held += low <= p <= high
    return held / repetitions


def area(rng: np.random.Generator, repetitions: int, truth: float, diseased: int, healthy: int, size: int) -> float:
    """Coverage for AUROC of binormal scores, groups of `size` sharing half their luck."""
    shift = stats.norm.ppf(truth) * np.sqrt(2)
    n = diseased + healthy
    groups = np.arange(n) // size
    held = 0
    for _ in range(repetitions):
        labels = rng.permutation(np.arange(n) < diseased).astype(int)
        _, low, high = auroc(labels, latent(rng, (), groups, 0.5) + shift * labels, groups)
        held += low <= truth <= high
    return held / repetitions


def median(rng: np.random.Generator, repetitions: int, seeds: int, spread: float) -> float:
    """Coverage for the median radius, 1, of lognormal radii: 100 patients with 2 images, 80 % of the predictions correct."""
    groups, held = np.arange(200) // 2, 0
    for _ in range(repetitions):
        image = rng.standard_normal(100)[groups] + 0.5 * rng.standard_normal(200)
        run = 0.3 * rng.standard_normal((seeds, 200)) + spread * rng.standard_normal((seeds, 1))
        found = median_radius(np.exp(image + run), rng.random((seeds, 200)) < 0.8, groups)
        held += found is not None and (found.low or np.inf) <= 1 <= (found.high or np.inf)
    return held / repetitions


def calibration(rng: np.random.Generator, repetitions: int, n: int, size: int, distortion: float) -> dict[str, float]:
    """Coverage for the Brier score and the calibration error of a model whose probabilities p are really p + distortion·(½ − p)."""
    groups = np.arange(n) // size
    held = {"brier": 0, "calibration error": 0}
    grid = (np.arange(3000) + 0.5) / 3000
    real = grid + distortion * (0.5 - grid)
    said = np.maximum(grid, 1 - grid)
    bins = np.minimum((said * 15).astype(int), 14)
    gap = np.where(grid > 0.5, real, 1 - real) - said
    truth = {
        "brier": float(np.mean(real * (1 - grid) ** 2 + (1 - real) * grid**2)),
        "calibration error": float(np.abs(np.bincount(bins, gap)).sum() / 3000),
    }
    for _ in range(repetitions):
        p = stats.norm.cdf(latent(rng, (), groups, 0.5))
        labels = (rng.random(n) < p + distortion * (0.5 - p)).astype(int)
        found = {
            "brier": brier(labels, np.stack([1 - p, p], 1), groups),
            "calibration error": calibration_error(labels, np.stack([1 - p, p], 1), groups, repetitions=400),
        }
        for name, (_, low, high) in found.items():
            held[name] += low <= truth[name] <= high
    return {name: count / repetitions for name, count in held.items()}


def measure(repetitions: int, seed: int) -> Iterator[tuple[str, str, float]]:
    """All figures as (what, where, share)."""
    rng = np.random.default_rng(seed)
    for n in (200, 412, 2000):
        for p in SHARES:
            yield "Wilson, exact coverage", f"n {n}, p {p}", wilson_exact(n, p)
    for kind in ("pairs", "one to seven", "tens"):
        for icc in (0.0, 0.2, 0.5, 0.8):
            for p in SHARES:
                held = clustered_share(rng, 5 * repetitions, p, group_sizes(kind), icc)
                yield "clustered Wilson", f"100 groups, {kind}, correlation {icc}, p {p}", held
    for recalls, counts in (
        ([0.9, 0.7], [300, 100]),
        ([0.95, 0.05], [300, 100]),
        ([0.5] * 7, [670, 111, 110, 51, 33, 14, 12]),
    ):
        for size in (1, 4):
            where = f"recalls {recalls[0]}, {recalls[1]} of {len(recalls)} classes, groups of {size}"
            yield "balanced accuracy", where, balanced(rng, repetitions, recalls, counts, size)
    for n, size in ((200, 1), (2000, 1), (400, 4)):
        for effect in (0.0, 0.05):
            found = architectures(rng, repetitions, 1, 0.0, n, effect, size)
            yield (
                "difference of two weight files",
                f"n {n}, groups of {size}, {100 * effect:g} points",
                found["coverage"],
            )
    sets = ((412, 1, 0.0), (2000, 1, 0.0), (2000, 1, 0.5), (400, 4, 0.5))
    cases = [(3, spread, *one) for spread in (0.0, 0.01, 0.03) for one in sets]
    cases += [(seeds, 0.03, *one) for seeds in (2, 5) for one in sets[1:3]]
    for seeds, spread, n, size, taste in cases:
        where = f"{seeds} seeds, spread {100 * spread:g} points, n {n}, groups of {size}, taste {taste}"
        found = architectures(rng, repetitions, seeds, spread, n, 0.0, size, taste)
        yield "difference of architectures", where, found["coverage"]
        yield "false call at one epsilon", where, found["called"]
        yield "false call at any of 8 epsilons (Holm)", where, found["called anywhere"]
    for effect in (0.05, 0.1):
        found = architectures(rng, repetitions, 3, 0.03, 2000, effect)
        yield "true call at one epsilon", f"3 seeds, spread 3 points, n 2000, {100 * effect:g} points", found["called"]
    yield (
        "McNemar on one run each, false call",
        "spread 3 points, n 2000",
        one_run_mcnemar(rng, repetitions, 0.03, 2000),
    )
    for p in (0.1, 0.5, 0.9):
        for spread in (0.0, 0.03):
            where = f"3 seeds, p {p}, spread {100 * spread:g} points, n 412"
            yield "mean of runs", where, mean_of_runs(rng, repetitions, p, 3, spread, 412)
    for seeds, spread in [(1, 0.0), *((seeds, spread) for seeds in (2, 3, 5) for spread in (0.0, 0.1, 0.3))]:
        where = f"{seeds} runs, spread {34 * spread:.0f} points, 200 images"
        yield "median radius", where, median(rng, repetitions, seeds, spread)
    for truth in (0.5, 0.7, 0.9, 0.97):
        for diseased, healthy, size in ((100, 100, 1), (40, 360, 1), (40, 360, 4), (200, 200, 4)):
            where = f"area {truth}, {diseased} of {diseased + healthy} diseased, groups of {size}"
            yield "AUROC", where, area(rng, repetitions, truth, diseased, healthy, size)
    for size in (1, 4):
        for distortion in (0.0, 0.3):
            found = calibration(rng, max(repetitions // 4, 1), 400, size, distortion)
            for name, held in found.items():
                yield name, f"n 400, groups of {size}, distortion {distortion}", held


def main() -> None:
    parser = argparse.ArgumentParser(description="Coverage of the intervals and false calls of the comparison.")
    parser.add_argument("--repetitions", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    lines = []
    for what, where, share in measure(options.repetitions, options.seed):
        print(f"{what:40}  {where:75}  {100 * share:6.2f} %", flush=True)
        lines.append({"what": what, "where": where, "share": round(share, 4)})
    print("\nfrom … to")
    for what in dict.fromkeys(line["what"] for line in lines):
        shares = [line["share"] for line in lines if line["what"] == what]
        print(f"{what:40}  {100 * min(shares):6.2f} … {100 * max(shares):6.2f} %")
    if options.out:
        record = {
            "command": " ".join(["python", *sys.argv]),
            "versions": {
                "python": platform.python_version(),
                **{name: version(name) for name in ("palpate", "numpy", "scipy")},
            },
            "repetitions": options.repetitions,
            "seed": options.seed,
            "figures": lines,
        }
        options.out.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
