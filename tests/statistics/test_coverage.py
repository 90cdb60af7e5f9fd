"""Nominal 95 % intervals hold the truth in 93–97 % of simulated data sets, and no architecture is found better than itself.

The quick versions draw fewer data sets and allow the sampling error of that; the slow ones are those of the promise: 2,000.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def simulate() -> ModuleType:
    """The functions of benchmarks/interval_coverage.py, so that what is tested is what is reported."""
    spec = importlib.util.spec_from_file_location("interval_coverage", ROOT / "benchmarks" / "interval_coverage.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def within(share: float, repetitions: int) -> bool:
    """93–97 %, widened by three standard errors where fewer than 2,000 data sets were drawn."""
    slack = 0.0 if repetitions >= 2000 else 3 * np.sqrt(0.05 * 0.95 / repetitions)
    return 0.93 - slack <= share <= 0.97 + slack


@pytest.mark.parametrize("n", [200, 201, 250, 412, 1000, 3000])
def test_wilson_covers_exactly_summed_not_simulated(simulate, n):
    assert all(within(simulate.wilson_exact(n, p), 2000) for p in np.linspace(0.05, 0.95, 37))


@pytest.mark.parametrize("repetitions", [400, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("icc", [0.0, 0.3, 0.6])
def test_clustered_wilson_covers(simulate, icc, repetitions):
    rng, sizes = np.random.default_rng(1), simulate.group_sizes("one to seven")
    for p in simulate.SHARES:
        assert within(simulate.clustered_share(rng, repetitions, p, sizes, icc), repetitions), p


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pairs", "one to seven", "tens"])
@pytest.mark.parametrize("icc", [0.0, 0.2, 0.5, 0.8])
def test_clustered_wilson_covers_whatever_the_groups(simulate, kind, icc):
    """20,000 data sets: the sampling error is then a third of the smallest distance between a true coverage and the bounds."""
    rng = np.random.default_rng(2)
    for p in simulate.SHARES:
        assert within(simulate.clustered_share(rng, 20_000, p, simulate.group_sizes(kind), icc), 20_000), p


@pytest.mark.parametrize("repetitions", [150, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("n", "size"), [(200, 1), (400, 4)])
@pytest.mark.parametrize("effect", [0.0, 0.05])
def test_differences_of_weight_files_cover(simulate, n, size, effect, repetitions):
    found = simulate.architectures(np.random.default_rng(3), repetitions, 1, 0.0, n, effect, size)
    assert within(found["coverage"], repetitions)


@pytest.mark.parametrize("repetitions", [150, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("taste", [0.0, 0.5])
def test_no_architecture_beats_itself(simulate, taste, repetitions):
    """Three points of run-to-run spread, three seeds a side: at most 6 % of comparisons call a difference at an epsilon or at any."""
    found = simulate.architectures(np.random.default_rng(4), repetitions, 3, 0.03, 2000, taste=taste)
    slack = 0.0 if repetitions >= 2000 else 3 * np.sqrt(0.06 * 0.94 / repetitions)
    assert found["called"] <= 0.06 + slack
    assert found["called anywhere"] <= 0.06 + slack
    assert found["coverage"] >= 0.93 - slack


def test_one_run_each_would_call_it_in_most_cases(simulate):
    """Why the sentence says "two weight files": McNemar is right about the weights and wrong about the architecture."""
    assert simulate.one_run_mcnemar(np.random.default_rng(5), 200, 0.03, 2000) > 0.4


@pytest.mark.slow
def test_a_difference_beyond_the_spread_is_found(simulate):
    found = simulate.architectures(np.random.default_rng(6), 500, 3, 0.03, 2000, effect=0.12)
    assert found["called"] > 0.8


@pytest.mark.parametrize("repetitions", [150, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("size", [1, 4])
def test_balanced_accuracy_covers(simulate, size, repetitions):
    share = simulate.balanced(np.random.default_rng(7), repetitions, [0.9, 0.7], [300, 100], size)
    assert within(share, repetitions)


@pytest.mark.parametrize("repetitions", [150, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("truth", "size"), [(0.5, 1), (0.7, 4), (0.8, 1)])
def test_auroc_covers(simulate, truth, size, repetitions):
    assert within(simulate.area(np.random.default_rng(8), repetitions, truth, 200, 200, size), repetitions)
