"""Bootstrap that draws whole patients within each class, for figures without a closed form.

Drawing single images would treat a patient's twenty images as twenty patients, and drawing without regard to class would leave
a rare class out of some replicates. Where a closed form exists (shares, differences, AUROC) it is used instead: it needs no
seed and keeps a width where the sample shows no variation, which no bootstrap can.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike

from palpate.core.errors import InputError
from palpate.statistics.intervals import LEVEL, Floats, group_codes

CHUNK = 500_000  # weights held at once, 4 MB, so that a report needs the same for any number of images


def bootstrap(
    statistic: Callable[[Floats], Floats], labels: ArrayLike, groups: ArrayLike | None = None, repetitions: int = 2000
) -> tuple[float, float, float]:
    """Basic 95% bootstrap interval 2θ − q of a statistic, groups drawn with replacement within strata of class.

    The basic interval turns the percentiles round the value found, which undoes the upward bias that figures such as the calibration
    error have in every replicate. A stratum is the set of classes that a group holds; strata of a single group are drawn from together.

    Args:
        statistic: from weights (R, N), how often each image was drawn, to values (R,). Whole weights of 1 give the value itself.
        labels: (N,) classes.
        groups: (N,) patients or lesions; None when every image is its own.
        repetitions: number of draws.

    Returns:
        (value, low, high).

    Raises:
        InputError: fewer than two groups, so that there is nothing to draw from.

    Source: Davison & Hinkley 1997, Bootstrap Methods and their Application, §5.2 (basic interval), §3.8 (groups).

    >>> x = np.arange(100) / 100
    >>> value, low, high = bootstrap(lambda w: w @ x / w.sum(1), np.zeros(100))
    >>> round(value, 3), round(high - low, 1)  # 2 · 1.96 · σ / √n
    (0.495, 0.1)
    """
    value = float(statistic(np.ones((1, len(np.asarray(labels)))))[0])
    every = bootstrap_weights(labels, groups, repetitions=repetitions)
    draws = np.concatenate([statistic(weights) for weights in every])
    outer = np.quantile(draws, [(1 + LEVEL) / 2, (1 - LEVEL) / 2])
    low, high = 2 * value - outer
    return value, float(low), float(high)


def bootstrap_weights(
    labels: ArrayLike, groups: ArrayLike | None = None, seed: int = 0, repetitions: int = 2000
) -> Iterator[Floats]:
    """How often each image is drawn, in chunks (r, N) of `repetitions` rows in all; groups whole, within strata of class.

    Raises:
        InputError: fewer than two groups, so that there is nothing to draw from.
    """
    classes = np.unique(np.asarray(labels), return_inverse=True)[1]
    codes, number = group_codes(groups, len(classes))
    if number < 2:
        remedy = "report the value without interval"
        raise InputError(f"groups: a bootstrap needs two patients or lesions or more, one was given; {remedy}")
    present = np.zeros((number, int(classes.max()) + 1), bool)
    present[codes, classes] = True
    strata = np.unique(present, axis=0, return_inverse=True)[1].reshape(-1)  # (G,)
    strata = np.where(np.bincount(strata)[strata] == 1, -1, strata)
    rng = np.random.default_rng(seed)
    step = max(CHUNK // len(codes), 1)
    for start in range(0, repetitions, step):
        drawn = np.empty((min(step, repetitions - start), number))
        for stratum in np.unique(strata):
            members = np.flatnonzero(strata == stratum)
            drawn[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), len(drawn))
        yield drawn[:, codes]
