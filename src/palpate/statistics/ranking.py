"""How certain a ranking of models is: an interval for each rank, from draws of patients that all models share.

Two models whose median radii differ by less than chance swap places in many draws, and their intervals say so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palpate.statistics.intervals import LEVEL, Floats
from palpate.statistics.resample import bootstrap_weights

DRAWS = 400


@dataclass(frozen=True)
class Member:
    """A model to be ranked.

    Attributes:
        images: (N,) ids.   labels, groups: (N,) of the images.
        radius: (S, N), of each run.   correct: (S, N), the clean prediction.
    """

    images: NDArray[np.str_]
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]
    radius: Floats
    correct: NDArray[np.bool_]


def rank_intervals(members: Mapping[str, Member], draws: int = DRAWS, seed: int = 0) -> dict[str, tuple[int, int]]:
    """The 95% interval of each model's rank by median radius; nothing where fewer than two models share two patients.

    In each draw, patients or lesions are drawn with replacement, the same for all models, and for a model with several runs its runs too.
    A rank is 1 + the number of models with a larger median radius.

    Args:
        members: by name.
        draws: number of draws.
        seed: of the draws; the same seed gives the same intervals.

    Source: bootstrap of ranks as in Wiesenfarth et al. 2021, Scientific Reports 11:2369.
    """
    shared = sorted(set.intersection(*(set(member.images.tolist()) for member in members.values()))) if members else []
    if len(members) < 2 or not shared:
        return {}
    aligned = [_of(member, shared) for member in members.values()]
    if len(set(aligned[0].groups.tolist())) < 2:
        return {}
    rng = np.random.default_rng(seed)
    ranks = []
    for weights in bootstrap_weights(aligned[0].labels, aligned[0].groups, seed, draws):
        medians = np.stack([_medians(member, weights, rng) for member in aligned])  # (M, r)
        ranks.append(1 + (medians[None] > medians[:, None]).sum(1))
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(np.concatenate(ranks, 1), [tail, 100 - tail], axis=1, method="closest_observation")
    return {name: (int(a), int(b)) for name, a, b in zip(members, low, high, strict=True)}


def _of(member: Member, images: Sequence[str]) -> Member:
    """The member on these images, in their order."""
    places = {name: place for place, name in enumerate(member.images.tolist())}
    kept = [places[name] for name in images]
    about = member.images[kept], member.labels[kept], member.groups[kept]
    return Member(*about, member.radius[:, kept], member.correct[:, kept])


def _medians(member: Member, weights: Floats, rng: np.random.Generator) -> Floats:
    """The median radius of the images classified correctly under weights (r, N); 0 where none is."""
    runs, images = np.nonzero(member.correct)
    radii = member.radius[runs, images]
    order = np.argsort(radii, kind="stable")
    count, chosen = len(member.radius), np.ones((len(weights), 1))
    if count > 1:
        chosen = rng.multinomial(count, np.full(count, 1 / count), len(weights))
    sums = np.cumsum(weights[:, images[order]] * chosen[:, runs[order]], axis=1)  # (r, correct images)
    if not sums.shape[1]:
        return np.zeros(len(weights))
    middle = np.argmax(sums >= sums[:, -1:] / 2, axis=1)
    return np.where(sums[:, -1] > 0, radii[order][middle], 0.0)
