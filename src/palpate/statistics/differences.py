"""Tests and intervals for the difference between two models on the same images, at the level that the claim is about.

Two weight files differ or do not on a population of patients; two *architectures* differ on a population of trainings as well, and
no number of images replaces a second seed. `paired_difference` therefore asks how many runs each side has, and answers the question
that they can answer. It is closed form: a two-level bootstrap of three seeds on each side finds a difference in 16 % of the cases without one,
because three values resampled show a third less variance than they have.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from palpate.core.errors import InputError
from palpate.statistics.intervals import Floats, check_level, clustered_wilson, group_codes

SMALLEST_P = 1e-12
"""Rounding of the Fourier transform makes smaller p-values meaningless; they are returned as this."""


@dataclass(frozen=True)
class Difference:
    """Mean of b minus mean of a, with its interval and p-value.

    Attributes:
        value: in the units of what was compared; for shares in [−1, 1].
        low: lower limit.
        high: upper limit.
        p: two-sided, for the null hypothesis of no difference.
        architectures: the runs of both sides were counted as a sample of trainings; else only these weight files are compared.
    """

    value: float
    low: float
    high: float
    p: float
    architectures: bool


def sign_flip(differences: ArrayLike) -> float:
    """Exact two-sided p-value of a sum when the sign of each group's total could as well be the other.

    This is McNemar's test with patients in place of images: where each group holds one image it *is* exact McNemar, and where
    groups repeat it stays exact, while McNemar would count the images of one patient as independent. All 2^G signs are counted, by
    the product of their characteristic functions, cos(t·d).

    Args:
        differences: (G,) integers, e.g. images of a group that only b gets right minus those that only a does.

    Source: Fisher's randomisation test, e.g. Good 2005, Permutation, Parametric and Bootstrap Tests of Hypotheses, §3.2.

    >>> [round(sign_flip(totals), 6) for totals in ([1, 1, 1, 1, 1, -1], [5])]
    [0.21875, 1.0]
    """
    totals = np.abs(np.asarray(differences, np.int64))
    seen = int(abs(np.asarray(differences, np.int64).sum()))
    sizes, counts = np.unique(totals[totals > 0], return_counts=True)
    if seen == 0:
        return 1.0
    width = 2 * int(totals.sum()) + 1
    phase = 2 * np.pi * (np.outer(np.arange(width), sizes) % width) / width
    share = np.fft.fft(np.prod(np.cos(phase) ** counts, axis=1)).real / width  # of the sum s, at index s mod width
    sums = np.minimum(np.arange(width), width - np.arange(width))
    return float(np.clip(share[sums >= seen].sum(), SMALLEST_P, 1.0))


def holm(p_values: ArrayLike) -> Floats:
    """Holm's step-down adjustment: with these, the chance of any false call among all is at most the level.

    Source: Holm 1979, Scandinavian Journal of Statistics 6:65–70.

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, float)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return adjusted


def paired_difference(a: ArrayLike, b: ArrayLike, groups: ArrayLike | None = None, level: float = 0.95) -> Difference:
    """Mean of b minus mean of a over the same images, for weight files or, with two runs or more on both sides, architectures.

    *Images.* With d the differences per image, averaged over runs, the interval is Bonett and Price's: one image of +1 and one of
    −1 are added, so that models which agree on every image still leave a width. Where groups repeat, the number of images is first
    divided by the design effect of the groups' totals (at least 1; the worst, Σm²/n, where there is no variation to see it by),
    and the quantile is Student's on (groups − 1).

    *Runs.* With S_a, S_b ≥ 2 the variance of the seed means is added as in Welch's t test, less the part that images and runs
    share (the interaction, which both contain): V = V_runs + V_images − V_interaction, never below V_runs or V_images, with Welch and
    Satterthwaite's degrees of freedom over all parts. p comes from the same t. With one run on a side p is `sign_flip` over groups,
    exact McNemar where none repeats, and holds for these weight files alone; where the values are shares, it is read off the interval.
    An exact permutation of the seed means is not offered: with three on each side its smallest p is .1.

    Args:
        a: (S_a, N) or (N,), values in [0, 1] of each run on each image: correct or not, or a share.
        b: (S_b, N) or (N,), the same of the other model, images in the same order.
        groups: (N,) patients or lesions; None when every image is its own.
        level: the share of intervals that should cover the truth.

    Raises:
        InputError: no image, or numbers of images that differ.

    Source: Bonett & Price 2012, Journal of Educational and Behavioral Statistics 37:479–488; Welch 1947, Biometrika 34:28–35;
    the two-way decomposition: Owen 2007, Annals of Applied Statistics 1:386–411.
    """
    check_level(level)
    first, second = np.atleast_2d(np.asarray(a, float)), np.atleast_2d(np.asarray(b, float))
    n = first.shape[1]
    if n == 0 or second.shape[1] != n:
        remedy = "align them by image_id"
        raise InputError(f"a, b: the same images are needed, {n} and {second.shape[1]} were given; {remedy}")
    codes, number = group_codes(groups, n)
    difference = second.mean(0) - first.mean(0)  # (N,)
    value = float(difference.mean())
    centre, images, free_images = _images_part(difference, codes, number)
    architectures, total, free = min(len(first), len(second)) > 1, images, free_images
    if architectures:
        runs = [float(np.var(side.mean(1), ddof=1)) / len(side) for side in (first, second)]
        shared = sum(_interaction_part(side, codes, number) for side in (first, second))
        total = max(sum(runs) + images - shared, images, sum(runs))
        parts = [*runs, total - sum(runs)]
        squares = sum(v * v / f for v, f in zip(parts, [len(first) - 1, len(second) - 1, free_images], strict=True))
        free = total * total / squares if squares > 0 else np.inf
    p = 2 * float(stats.t.sf(abs(centre) / np.sqrt(total), free))
    if not architectures:
        whole = np.rint(difference * len(first) * len(second))
        if np.allclose(whole, difference * len(first) * len(second)):
            p = sign_flip(np.bincount(codes, whole, number))
    half = float(stats.t.ppf((1 + level) / 2, free) * np.sqrt(total))
    low, high = max(min(centre - half, value), -1.0), min(max(centre + half, value), 1.0)
    return Difference(value, low, high, p, architectures)


def mean_interval(correct: ArrayLike, groups: ArrayLike | None = None, level: float = 0.95) -> tuple[float, float]:
    """Interval of the mean accuracy of several runs on the same images: (S, N) booleans; clustered Wilson where S = 1."""
    outcomes = np.atleast_2d(np.asarray(correct, float))
    if len(outcomes) == 1:
        return clustered_wilson(outcomes[0], groups, level)
    found = paired_difference(np.zeros_like(outcomes), outcomes, groups, level)
    return max(found.low, 0.0), min(found.high, 1.0)


def _images_part(difference: Floats, codes: NDArray[np.intp], number: int) -> tuple[float, float, float]:
    """Centre, variance over images and its degrees of freedom, after Bonett and Price's two images."""
    n = len(difference)
    sizes = np.bincount(codes, minlength=number)
    mean, square = float(difference.mean()), float(np.square(difference).mean())
    design, free = 1.0, np.inf
    if sizes.max() > 1:
        independent = np.square(difference - mean).sum() / n**2
        design = float(np.square(sizes).sum() / n)
        if number > 1 and independent > 0:
            totals = np.bincount(codes, difference - mean, number)
            clustered = np.square(totals).sum() / n**2 * number / (number - 1)
            design, free = max(float(clustered / independent), 1.0), number - 1.0
    effective = n / design
    centre = effective * mean / (effective + 2)
    return centre, ((effective * square + 2) / (effective + 2) - centre**2) / (effective + 2), free


def _interaction_part(side: Floats, codes: NDArray[np.intp], number: int) -> float:
    """Variance of the mean of (S, N) that runs and images share: what is left after the run's and the image's own level."""
    runs, n = side.shape
    rest = side - side.mean(1, keepdims=True) - side.mean(0) + side.mean()
    totals = np.stack([np.bincount(codes, row, number) for row in rest])  # (S, G)
    return float(np.square(totals).sum() / ((runs - 1) * runs * n**2) * number / max(number - 1, 1))
