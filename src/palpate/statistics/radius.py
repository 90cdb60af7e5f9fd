"""The median radius: the epsilon at which half of the images that a model classifies correctly are misclassified under attack."""

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palpate.core.errors import InputError
from palpate.statistics.differences import mean_interval
from palpate.statistics.intervals import Floats, check_level, clustered_wilson, group_codes


@dataclasses.dataclass(frozen=True)
class MedianRadius:
    """Median radius of the images classified correctly.

    Attributes:
        value, low, high: images in [0, 1]; None stands for more than the largest epsilon tried.
        images: number of images classified correctly, mean over runs.
    """

    value: float | None
    low: float | None
    high: float | None
    images: float


SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclasses.dataclass(frozen=True)
class RadiusSpread:
    """How the radii of the images classified correctly are distributed, over images and runs.

    Attributes:
        quantiles: the radii at the shares SHARES; None above the largest epsilon tried.
        beyond: share of the images whose prediction no epsilon changed.   incorrect: share of all images misclassified when clean.
    """

    quantiles: tuple[float | None, ...]
    beyond: float
    incorrect: float


def radius_spread(radius: ArrayLike, correct: ArrayLike) -> RadiusSpread | None:
    """Quantiles of the radii (S, N) of the images that are correct (S, N) when clean; None where none is.

    >>> radius_spread([0.0, 1.0, 2.0, 3.0, np.inf], [False, True, True, True, True])
    RadiusSpread(quantiles=(1.0, 1.0, 2.0, 3.0, None), beyond=0.25, incorrect=0.2)
    """
    radii, right = np.atleast_2d(np.asarray(radius, float)), np.atleast_2d(np.asarray(correct, bool))
    if not right.any():
        return None
    kept = np.sort(radii[right])
    found = [_quantile(kept, share) for share in SHARES]
    beyond, incorrect = float(np.isinf(kept).mean()), float((~right).mean())
    return RadiusSpread(tuple(None if np.isinf(one) else one for one in found), beyond, incorrect)


def median_radius(
    radius: ArrayLike, correct: ArrayLike, groups: ArrayLike | None = None, level: float = 0.95
) -> MedianRadius | None:
    """Median over the images classified correctly and over runs, with its interval; None where no image is classified correctly.

    The limits are the quantiles at the limits of the share of radii up to the median (Woodruff). With one run that share is of
    the correct images and its interval a clustered Wilson interval. With several, correct images differ from run to run, so the
    share is a ratio of two means over all images; its linearised values get the interval of a mean over images and runs, which
    counts the runs as a sample of trainings.

    Args:
        radius: (S, N) or (N,), of each run and image; inf where no adversarial image was found, 0 where the attack failed.
        correct: (S, N) or (N,) booleans, the clean prediction.
        groups: (N,) patients or lesions; None when every image is its own.
        level: the share of intervals that should cover the truth.

    Raises:
        InputError: shapes that differ.

    Source: Woodruff 1952, JASA 47:635–646; linearised ratio: Särndal, Swensson & Wretman 1992, Model Assisted Survey Sampling, §5.5.

    >>> found = median_radius([0.0, 1.0, 2.0, 3.0, 4.0], [False, True, True, True, True])
    >>> found.value, found.images
    (2.0, 4.0)
    """
    check_level(level)
    radii, right = np.atleast_2d(np.asarray(radius, float)), np.atleast_2d(np.asarray(correct, bool))
    if radii.shape != right.shape:
        raise InputError(f"radius, correct: the same shape is needed, {radii.shape} and {right.shape} were given")
    if not right.any():
        return None
    codes, _ = group_codes(groups, radii.shape[1])
    kept = np.sort(radii[right])
    middle = _quantile(kept, 0.5)
    share = float(np.mean(kept <= middle))
    low, high = _share_interval(right & (radii <= middle), right, codes, share, level)
    limits = _quantile(kept, max(0.5 - (share - low), 0.0)), _quantile(kept, min(0.5 + (high - share), 1.0))
    value, below, above = (None if np.isinf(found) else found for found in (middle, *limits))
    return MedianRadius(value, below, above, float(right.sum() / len(right)))


def _share_interval(
    below: NDArray[np.bool_], right: NDArray[np.bool_], codes: NDArray[np.intp], share: float, level: float
) -> tuple[float, float]:
    """Interval of the share of the correct images (S, N) whose radius lies below."""
    if len(right) == 1:
        return clustered_wilson(below[right], codes[right[0]], level)
    linearised = share + (below - share * right) / right.mean()
    return mean_interval(linearised, codes, level)


def _quantile(ordered: Floats, share: float) -> float:
    """The smallest of the sorted values with at least this share at or below it: a value that occurs, even where others are infinite."""
    return float(ordered[max(int(np.ceil(share * len(ordered) - 1e-9)) - 1, 0)])
