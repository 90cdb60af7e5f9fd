"""Clinical performance of a two-class model: AUROC, sensitivity, specificity and calibration, each with an interval.

Accuracy does not separate false negatives from false positives, and a threshold chosen on the test images makes both
look too good. So the threshold is fixed on clean validation images and used unchanged everywhere else. All functions take arrays;
`palpate.statistics.clinical` reads rows.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

from palpate.core.errors import InputError
from palpate.statistics.intervals import LEVEL, Floats, clustered_wilson, group_codes
from palpate.statistics.resample import bootstrap_weights

BINS = 15
Interval = tuple[float, float, float]
"""A value and the limits of its interval."""


def auroc(labels: ArrayLike, scores: ArrayLike, groups: ArrayLike | None = None) -> Interval:
    """Area under the ROC curve with a 95% interval that counts patients, not images, and has width even at a perfect 1.

    A symmetric interval round .99 would reach beyond 1 and one round 1 would have no width, so the interval is inverted as Wilson's
    is: it holds every θ with |A − θ| ≤ q √(D V(θ)). V is Newcombe's variance as a function of θ; D is the design effect, Obuchowski's
    variance for clustered data over DeLong's for independent images, at least 1; q is normal, or where groups repeat Student's on the
    groups of the scarcer class less one. Where the classes are separated perfectly D cannot be seen and is taken as Σm²/N for groups of
    sizes m. Simulated coverage (benchmarks/interval_coverage.py) is nominal up to an area of .9 and rather above it beyond.

    Args:
        labels: (N,), 1 for diseased and 0 for healthy.
        scores: (N,), higher for disease.
        groups: (N,) patients or lesions; None when every image is its own.

    Returns:
        (value, low, high).

    Raises:
        InputError: labels of one class only or other than 0 and 1, or scores that are not finite.

    Source: DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44:837–845; Obuchowski 1997, Biometrics 53:567–578; Newcombe 2006,
    Statistics in Medicine 25:559–573 (method 5).

    >>> [round(float(x), 3) for x in auroc([0] * 20 + [1] * 20, range(40))]
    [1.0, 0.899, 1.0]
    """
    positive, x = _two_classes(labels, scores)
    codes, number = group_codes(groups, len(x))
    m, n = int(positive.sum()), int((~positive).sum())
    ranks = stats.rankdata(x)
    # Share of the other class that each image is ranked correctly against; (N,)
    placed = np.empty(len(x))
    placed[positive] = (ranks[positive] - stats.rankdata(x[positive])) / n
    placed[~positive] = 1 - (ranks[~positive] - stats.rankdata(x[~positive])) / m
    value = float(placed[positive].mean())
    sizes = np.bincount(codes, minlength=number)
    design, quantile = 1.0, float(stats.norm.ppf((1 + LEVEL) / 2))
    if sizes.max() > 1:
        alone = _variance(placed - value, positive, np.arange(len(x)), len(x))
        together = _variance(placed - value, positive, codes, number)
        scarcer = min(len(np.unique(codes[positive])), len(np.unique(codes[~positive])))
        seen = alone > 0 and scarcer > 1
        design = max(together / alone, 1.0) if seen else float(np.square(sizes).sum() / len(x))
        quantile = float(stats.t.ppf((1 + LEVEL) / 2, scarcer - 1)) if seen else quantile

    def excess(theta: float) -> float:
        half = (m + n) / 2 - 1
        newcombe = theta * (1 - theta) * (1 + half * (1 - theta) / (2 - theta) + half * theta / (1 + theta)) / (m * n)
        return (value - theta) ** 2 - quantile**2 * design * newcombe

    # excess is 0 at 0 and 1 where the value lies there, so the roots are sought a hair away from it.
    low = _root(excess, 0.0, value - 1e-9) if value > 1e-6 and excess(0.0) > 0 else 0.0
    high = _root(excess, value + 1e-9, 1.0) if value < 1 - 1e-6 and excess(1.0) > 0 else 1.0
    return value, low, high


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    return float(optimize.brentq(function, low, high))  # type: ignore[arg-type]


def _variance(residual: Floats, positive: NDArray[np.bool_], codes: NDArray[np.intp], number: int) -> float:
    """Obuchowski's variance of the AUROC from each image's placement less the AUROC; DeLong's where each image is a group."""
    total, parts = 0.0, []
    for side in (positive, ~positive):
        part = np.bincount(codes[side], residual[side], number) / side.sum()
        holders = len(np.unique(codes[side]))
        total += np.square(part).sum() * holders / max(holders - 1, 1)
        parts.append(part)
    return float(total + 2 * (parts[0] @ parts[1]) * number / max(number - 1, 1))


def choose_threshold(labels: ArrayLike, scores: ArrayLike) -> float:
    """The threshold of the largest sensitivity + specificity − 1, midway between two scores; the disease is predicted at or above it.

    Give it clean validation images only: chosen on the test images it overstates the model's performance.

    Raises:
        InputError: labels of one class only or other than 0 and 1, or scores that are not finite.

    Source: Youden 1950, Cancer 3:32–35.

    >>> choose_threshold([0, 0, 1, 1], [-2.0, -1.0, 1.0, 2.0])
    0.0
    """
    positive, x = _two_classes(labels, scores)
    values, place = np.unique(x, return_inverse=True)
    hits = np.bincount(place, positive) / positive.sum() - np.bincount(place, ~positive) / (~positive).sum()
    gain = np.cumsum(hits[::-1])[::-1]  # sensitivity + specificity − 1 with the threshold at each value
    best = int(np.argmax(gain))
    return float(values[0] if best == 0 else (values[best - 1] + values[best]) / 2)


def sensitivity_specificity(
    labels: ArrayLike, scores: ArrayLike, threshold: float, groups: ArrayLike | None = None
) -> tuple[Interval, Interval]:
    """Share of the diseased at or above the threshold and share of the healthy below it, each (value, low, high).

    Intervals are clustered Wilson intervals for this threshold, whose own uncertainty they leave out.

    Raises:
        InputError: labels of one class only or other than 0 and 1, or scores that are not finite.
    """
    positive, x = _two_classes(labels, scores)
    codes, _ = group_codes(groups, len(x))

    def share(side: NDArray[np.bool_], right: NDArray[np.bool_]) -> Interval:
        return float(right[side].mean()), *clustered_wilson(right[side], codes[side])

    return share(positive, x >= threshold), share(~positive, x < threshold)


def brier(labels: ArrayLike, probabilities: ArrayLike, groups: ArrayLike | None = None) -> Interval:
    """Brier score (value, low, high): the mean squared distance of the probabilities from the true class.

    Two classes: mean (p₁ − label)², in [0, 1]. More: Σk (p_k − [label = k])² averaged, in [0, 2]. The interval is Student's on the
    totals of the groups; None groups means every image is its own. One group alone leaves everything possible.

    Args:
        labels: (N,) classes.
        probabilities: (N, K), rows that sum to 1.
        groups: (N,) patients or lesions.

    Source: Brier 1950, Monthly Weather Review 78:1–3.

    >>> brier([1, 0], [[0.2, 0.8], [0.6, 0.4]])[0].__round__(3)
    0.1
    """
    true, p = _probabilities(labels, probabilities)
    most = 1.0 if p.shape[1] == 2 else 2.0
    error = np.square(p - np.eye(p.shape[1])[true]).sum(1) * most / 2
    codes, number = group_codes(groups, len(true))
    value = float(error.mean())
    if number < 2:
        return value, 0.0, most
    spread = np.square(np.bincount(codes, error - value, number)).sum() * number / (number - 1)
    half = float(stats.t.ppf((1 + LEVEL) / 2, number - 1) * np.sqrt(spread) / len(true))
    return value, max(value - half, 0.0), min(value + half, most)


def calibration_error(
    labels: ArrayLike,
    probabilities: ArrayLike,
    groups: ArrayLike | None = None,
    seed: int = 0,
    repetitions: int = 2000,
) -> Interval:
    """Expected calibration error (value, low, high): the mean gap between confidence and accuracy over 15 equal bins.

    Confidence is the probability of the predicted class. Few images give a perfectly calibrated model an error too, as each
    bin's accuracy varies by chance, so the value is too high and no percentile of it can be trusted near 0. The interval holds every c·g, with g
    the gaps found in the bins, under which an error as large as the value is not unusual when the deviations of the bootstrap (by patient
    and class) are added to it; it may lie below the value. Where nothing deviates at all, the share of errors that may have been missed is
    its upper limit. Simulated coverage is 92–97 % (benchmarks/interval_coverage.py).

    Raises:
        InputError: as for the Brier score, or fewer than two groups.

    Source: Guo, Pleiss, Sun & Weinberger 2017, ICML, eq. 3.
    """
    true, p = _probabilities(labels, probabilities)
    confidence, right = p.max(1), p.argmax(1) == true
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    member = np.eye(BINS)[bins] * (right - confidence)[:, None]  # (N, bins)
    gaps = member.mean(0)
    value = float(np.abs(gaps).sum())
    every = bootstrap_weights(true, groups, seed, repetitions)
    draws = [weights @ member / weights.sum(1, keepdims=True) for weights in every]
    deviations = np.concatenate(draws) - gaps  # (R, bins)
    largest = float(np.abs(deviations).sum(1).max())
    if value == 0 or largest == 0:
        return value, 0.0, max(value, clustered_wilson(~right, groups)[1])

    def excess(scale: float, share: float) -> float:
        return float(np.quantile(np.abs(scale * gaps + deviations).sum(1), share)) - value

    upper, lower = (1 + LEVEL) / 2, (1 - LEVEL) / 2
    low = 0.0 if excess(0.0, upper) >= 0 else _root(lambda scale: excess(scale, upper), 0.0, 2.0 + largest / value)
    high = 1.0 if excess(1.0, lower) >= 0 else _root(lambda scale: excess(scale, lower), 1.0, 2.0 + largest / value)
    return value, low * value, high * value


def scores_of(logits: ArrayLike, disease: Sequence[int] = (1,)) -> Floats:
    """The logarithm of the odds of the disease (N,), the classes named together, by logits (N, K); one logit is that of class 1.

    >>> scores_of([[0.5, 2.0]]).tolist(), scores_of([[1.5]]).tolist()
    ([1.5], [1.5])
    """
    z = np.asarray(logits, float)
    if z.shape[1] == 1:
        return z[:, 0]
    inside = np.isin(np.arange(z.shape[1]), disease)
    return special.logsumexp(z[:, inside], axis=1) - special.logsumexp(z[:, ~inside], axis=1)


def probabilities(logits: ArrayLike) -> Floats:
    """Class probabilities (N, K) from logits (N, K), or (N, 2) from one logit per image.

    >>> probabilities([[0.0]]).tolist(), probabilities([[1.0, 1.0]]).tolist()
    ([[0.5, 0.5]], [[0.5, 0.5]])
    """
    z = np.asarray(logits, float)
    if z.shape[1] == 1:
        z = np.concatenate([np.zeros_like(z), z], axis=1)
    return special.softmax(z, axis=1)


def _two_classes(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], Floats]:
    true, x = np.asarray(labels), np.asarray(scores, float)
    if true.shape != x.shape or true.ndim != 1:
        raise InputError(f"scores: one per label is needed, shapes {true.shape} and {x.shape} were given")
    found = set(np.unique(true).tolist())
    if found != {0, 1}:
        remedy = "this does not apply to one class"
        raise InputError(f"labels: 0 and 1, both present, are needed, {sorted(found)} were given; {remedy}")
    if not np.isfinite(x).all():
        raise InputError("scores: finite numbers are needed, NaN or infinity was given; leave failed images out")
    return true == 1, x


def _probabilities(labels: ArrayLike, given: ArrayLike) -> tuple[NDArray[np.int64], Floats]:
    true, p = np.asarray(labels, np.int64), np.asarray(given, float)
    if p.ndim != 2 or len(p) != len(true) or not len(true):
        why = f"{p.shape} for {len(true)} labels was given"
        raise InputError(f"probabilities: (N, K) for N ≥ 1 labels is needed, {why}")
    if not np.allclose(p.sum(1), 1, atol=1e-4) or true.min() < 0 or true.max() >= p.shape[1]:
        remedy = "pass logits through a softmax first"
        raise InputError(f"probabilities: rows that sum to 1 and labels from 0 to K − 1 are needed; {remedy}")
    return true, p
