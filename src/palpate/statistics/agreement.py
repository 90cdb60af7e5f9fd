"""Similarity of two Grad-CAM maps, and the share of a map's mass inside a mask."""

import numpy as np
from scipy.stats import rankdata


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
