"""Intervals for proportions and balanced accuracy that hold for few images and for several images of one patient.

The textbook interval p ± 1.96 √(pq/n) has no width where no image fails. Everything here is closed form: the same rows always give
the same interval, without a seed. Images of one patient or lesion are not independent, so every function that
sees images takes `groups`.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from palpate.core.errors import InputError

Floats = NDArray[np.float64]

LEVEL = 0.95
"""The share of intervals that should cover the truth, where nobody asks for another."""


def check_level(level: float) -> None:
    if not 0 < level < 1:
        raise InputError(f"level: a share strictly between 0 and 1 is needed, {level!r} was given; say 0.95 for 95 %")


def _score_interval(p: Floats, n: Floats, critical: Floats | float) -> tuple[Floats, Floats]:
    """Invert the score test |p − π| = critical·√(π(1−π)/n); nothing is known where n = 0.

    Source: Wilson 1927, JASA 22:209–212; recommended by Brown, Cai, DasGupta 2001, Statistical Science 16:101–133.
    """
    squared = np.square(critical) / np.where(n > 0, n, 1.0)
    centre = (p + squared / 2) / (1 + squared)
    half = np.sqrt(p * (1 - p) * squared + np.square(squared) / 4) / (1 + squared)
    # At p = 0 the lower limit is 0 exactly and at p = 1 the upper is 1: say so rather than leave 1e-17 of rounding.
    low = np.where((n > 0) & (p > 0), np.maximum(centre - half, 0.0), 0.0)
    high = np.where((n > 0) & (p < 1), np.minimum(centre + half, 1.0), 1.0)
    return low, high


def clustered_wilson(correct: ArrayLike, groups: ArrayLike | None = None, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval on the effective number of images, where images of one patient or lesion resemble each other.

    The variance of the share is estimated from the totals of the groups (linearised) and divided by the variance that as many
    independent images would have. This design effect, never taken below 1, divides n, and the normal quantile gives way to Student's
    with (groups − 1) degrees of freedom. Where no group repeats this is Wilson's interval. The design effect is seen only in the e groups that
    hold the rarer outcome, and comes out low where they happen to be few: its excess over 1 is raised by the share 2/e, without which
    coverage at p = .05 falls to 92 % (with it 93.5–97 %, benchmarks/interval_coverage.py). Where all or no images are correct it cannot be
    seen at all, and the worst is taken: all images of a group have the same outcome, which leaves n²/Σm² images of groups of sizes m. One
    group alone therefore counts as one image.

    Args:
        correct: (N,) booleans, or 0 and 1.
        groups: (N,) names of patients or lesions; None when every image is its own.
        level: the share of intervals that should cover the truth.

    Raises:
        InputError: no image, values other than 0 and 1, or lengths that differ.

    Source: effective sample size of Korn & Graubard 1998, Survey Methodology 24:193–201, in Wilson's interval as compared by
    Franco, Little, Louis & Slud 2019, Journal of Survey Statistics and Methodology 7:334–364.
    """
    check_level(level)
    hits = _zero_one(correct)
    codes, number = group_codes(groups, len(hits))
    sizes = np.bincount(codes, minlength=number).astype(float)
    low, high = clustered_limits(np.bincount(codes, hits, number).astype(float), sizes, level)
    return float(low), float(high)


def clustered_limits(totals: Floats, sizes: Floats, level: float) -> tuple[Floats, Floats]:
    """Limits from the correct images per group and the group sizes; (..., G) each, so that simulations can be stacked."""
    n, number = sizes.sum(-1), np.count_nonzero(sizes, axis=-1)
    p = totals.sum(-1) / n
    normal = stats.norm.ppf((1 + level) / 2)
    repeated = sizes.max(-1) > 1
    free = np.maximum(number - 1, 1)
    variance = np.square(totals - p[..., None] * sizes).sum(-1) * (free + 1) / free / np.square(n)
    independent = p * (1 - p) / n
    seen = (independent > 0) & (number > 1)
    excess = np.maximum(variance / np.where(seen, independent, 1.0) - 1.0, 0.0)
    rarer = np.minimum(np.count_nonzero(totals, axis=-1), np.count_nonzero(totals < sizes, axis=-1))
    design = 1.0 + excess * (1.0 + 2.0 / np.maximum(rarer, 1))
    worst = np.square(sizes).sum(-1) / n
    effective = np.where(repeated, n / np.where(seen, design, worst), n)
    critical = np.where(repeated & seen, stats.t.ppf((1 + level) / 2, free), normal)
    return _score_interval(p, effective, critical)


def balanced_accuracy_interval(
    labels: ArrayLike, predictions: ArrayLike, groups: ArrayLike | None = None, level: float = 0.95
) -> tuple[float, float, float]:
    """Balanced accuracy, the mean recall over the classes that the labels hold, with an interval that has width even where a class shows no error.

    A bootstrap stratified by class gives 10 right of 10 no width at all. Here each recall gets its clustered Wilson interval and
    the distances from the recalls to their limits are added in squares (the method of variance estimates recovery), with the
    correlation that two recalls have where a patient owns images of both classes:
    low = b − √(Σjk ρjk dj dk) / K with dk = recall_k − low_k, and the same upwards. There is no signal where `low`
    does not lie above chance, 1 / number of classes.

    Returns:
        (value, low, high), each in [0, 1].

    Raises:
        InputError: no image, or lengths that differ.

    Source: Newcombe 1998, Statistics in Medicine 17:873–890 (method 10); Zou & Donner 2008, Statistics in Medicine
    27:1693–1702, for sums of several terms and correlated ones.

    >>> value, low, high = balanced_accuracy_interval([0] * 10 + [1] * 10, [0] * 10 + [1] * 10)
    >>> value, round(low, 3), high
    (1.0, 0.804, 1.0)
    """
    check_level(level)
    correct, classes = _correct_by_class(labels, predictions)
    codes, number = group_codes(groups, len(correct))
    count = int(classes.max()) + 1
    place = classes * number + codes
    sizes = np.bincount(place, minlength=count * number).reshape(count, number).astype(float)  # (K, G)
    totals = np.bincount(place, correct, count * number).astype(float).reshape(count, number)  # (K, G)
    low, high = clustered_limits(totals, sizes, level)  # (K,) each
    n = sizes.sum(1)
    recall = totals.sum(1) / n
    # (K, G): each group's contribution to the error of each recall
    residual = (totals - recall[:, None] * sizes) / n[:, None]
    covariance = residual @ residual.T
    spread = np.sqrt(np.diag(covariance))
    scale = np.where(spread > 0, spread, 1.0)
    correlation = covariance / np.outer(scale, scale)
    np.fill_diagonal(correlation, 1.0)
    value = float(recall.mean())
    down, up = recall - low, high - recall
    below = value - np.sqrt(max(down @ correlation @ down, 0.0)) / count
    above = value + np.sqrt(max(up @ correlation @ up, 0.0)) / count
    return value, float(max(below, 0.0)), float(min(above, 1.0))


def majority_rate(labels: ArrayLike) -> float:
    """Share of the commonest class: the accuracy of the same prediction for every image.

    Raises:
        InputError: no image.

    >>> majority_rate([0, 0, 0, 1])
    0.75
    """
    classes = np.unique(_vector("labels", labels), return_inverse=True)[1]
    return float(np.bincount(classes).max() / len(classes))


def _vector(name: str, values: ArrayLike) -> NDArray:
    array = np.asarray(values)
    if array.ndim != 1 or len(array) == 0:
        fault = f"one value per image and at least one image are needed, shape {array.shape} was given"
        raise InputError(f"{name}: {fault}")
    return array


def _zero_one(correct: ArrayLike) -> Floats:
    array = _vector("correct", correct)
    if not np.isin(array, (0, 1)).all():
        raise InputError("correct: booleans, or 0 and 1, are needed; other values were given")
    return array.astype(float)


def _correct_by_class(labels: ArrayLike, predictions: ArrayLike) -> tuple[Floats, NDArray[np.intp]]:
    """Whether each image is right, and its class as 0 … K − 1 among the classes present; (N,) each."""
    true, predicted = _vector("labels", labels), _vector("predictions", predictions)
    if len(true) != len(predicted):
        raise InputError(f"predictions: one per label, {len(true)}, is needed, {len(predicted)} were given")
    return (true == predicted).astype(float), np.unique(true, return_inverse=True)[1]


def group_codes(groups: ArrayLike | None, n: int) -> tuple[NDArray[np.intp], int]:
    """Groups as 0 … G − 1, and G."""
    if groups is None:
        return np.arange(n), n
    names = _vector("groups", groups)
    if len(names) != n:
        raise InputError(f"groups: one per image, {n}, is needed, {len(names)} were given")
    unique, codes = np.unique(names, return_inverse=True)
    return codes, len(unique)
