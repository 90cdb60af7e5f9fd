"""Rank correlation: of two measures of the same images, with an interval by drawing patients, and of two maps; and a map's mass in a mask."""

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from palpate.core.errors import InputError
from palpate.statistics.intervals import Floats, group_codes
from palpate.statistics.resample import bootstrap

LEAST = 10
"""Images without which no correlation is given."""


@dataclasses.dataclass(frozen=True)
class RankCorrelation:
    """Spearman's ρ, mean over the models, with its interval; `images` is the mean number of images that both measures have."""

    value: float
    low: float
    high: float
    images: float


def rank_correlation(
    first: ArrayLike, second: ArrayLike, known: ArrayLike, groups: ArrayLike | None = None, repetitions: int = 2000
) -> RankCorrelation | None:
    """Spearman's rank correlation over images, of each model by itself, and its mean over the models.

    Values that are infinite, because nothing up to the largest epsilon or severity changed the class, count as equal and largest. The interval draws
    patients with replacement, the same for all models, which see the same images; it does not count the models as a sample.

    Args:
        first, second: (M, N) of M models and N images, such as l∞ radius and severity.
        known: (M, N) booleans, the images that count, such as those classified correctly.
        groups: (N,) patients or lesions; None when every image is its own.
        repetitions: of the bootstrap.

    Returns:
        None where no model has at least ten images and two different values of each measure.

    Raises:
        InputError: shapes that differ.

    >>> x = np.arange(40.0)[None]
    >>> found = rank_correlation(x, np.minimum(x, 30) ** 2, x >= 0)
    >>> round(found.value, 2), found.high
    (0.99, 1.0)
    """
    a, b = np.atleast_2d(np.asarray(first, float)), np.atleast_2d(np.asarray(second, float))
    mask = np.atleast_2d(np.asarray(known, bool))
    if not a.shape == b.shape == mask.shape:
        why = f"{mask.shape} were given"
        raise InputError(f"first, second, known: the same shape is needed, {a.shape}, {b.shape}, {why}")
    varied = [all(len(np.unique(row[seen])) > 1 for row in (x, y)) for x, y, seen in zip(a, b, mask, strict=True)]
    kept = [model for model in np.flatnonzero(varied) if mask[model].sum() >= LEAST]
    codes, number = group_codes(groups, a.shape[1])
    if not kept or number < 2:
        return None

    def statistic(weights: Floats) -> Floats:
        return np.mean([_spearman(a[m][mask[m]], b[m][mask[m]], weights[:, mask[m]]) for m in kept], axis=0)

    value, low, high = bootstrap(statistic, np.zeros(a.shape[1]), codes, repetitions)
    return RankCorrelation(value, max(low, -1.0), min(high, 1.0), float(mask[kept].sum(1).mean()))


def _spearman(a: Floats, b: Floats, weights: Floats) -> Floats:
    """Spearman's ρ (R,) of values (n,) under weights (R, n); 0 where a draw leaves one value of either."""
    ranks = [_ranks(values, weights) for values in (a, b)]
    total = weights.sum(1, keepdims=True)
    x, y = (rank - (weights * rank).sum(1, keepdims=True) / total for rank in ranks)
    scale = np.sqrt((weights * x**2).sum(1) * (weights * y**2).sum(1))
    return np.divide((weights * x * y).sum(1), scale, out=np.zeros(len(scale)), where=scale > 1e-12)


def _ranks(values: Floats, weights: Floats) -> NDArray[np.float64]:
    """Ranks (R, n) of values (n,) that occur as often as the weights (R, n) say, ties at their average."""
    codes = np.unique(values, return_inverse=True)[1]
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    counts = np.add.reduceat(weights[:, order], starts, axis=1)
    return (np.cumsum(counts, axis=1) - counts / 2)[:, codes]


def map_similarity(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation of each pair of maps, over their pixels, ties at their average rank.

    Ranks are compared because the scale of a map differs between models.

    Args:
        first, second: maps (n, H, W).

    Returns:
        Correlations (n,) in [-1, 1]; NaN where a map is constant, since its pixels have no order (an empty map is constant).

    >>> rising = np.arange(4.0).reshape(1, 2, 2)
    >>> map_similarity(rising, np.exp(rising)).round(6).tolist(), map_similarity(rising, -rising).round(6).tolist()
    ([1.0], [-1.0])
    """
    ranks = [rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (first, second)]
    a, b = (rank - rank.mean(1, keepdims=True) for rank in ranks)
    scale = np.sqrt((a**2).sum(1) * (b**2).sum(1))
    return np.divide((a * b).sum(1), scale, out=np.full(len(scale), np.nan), where=scale > 0)


def mass_in_mask(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """The share of each map's mass that lies on its mask (n,); NaN for an empty map or an empty mask.

    By chance the share is the mask's part of the image.

    >>> mass_in_mask(np.array([[[1.0, 3.0]]]), np.array([[[False, True]]])).tolist()
    [0.75]
    """
    total = maps.sum((1, 2))
    valid = (total > 0) & masks.any((1, 2))
    return np.divide((maps * masks).sum((1, 2)), total, out=np.full(len(total), np.nan), where=valid)
