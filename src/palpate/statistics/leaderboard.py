"""Models ranked by one measure, the median radius of the images that each classifies correctly, with seeds folded into architectures.

The median radius alone could place a model that classifies few images correctly, but those robustly, above one that is better at every
epsilon. So the order is by median radius, except that a model whose accuracy is at least as high at every epsilon always comes first.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palpate.core.errors import InputError
from palpate.statistics.curves import check_rows, group_names, norm_of, survived, with_result
from palpate.statistics.differences import mean_interval
from palpate.statistics.intervals import Floats, balanced_accuracy_interval, majority_rate
from palpate.statistics.radius import MedianRadius, RadiusSpread, median_radius, radius_spread
from palpate.statistics.ranking import Member, rank_intervals

ARCHITECTURE = ["backbone", "attention", "training"]


def architecture_name() -> pl.Expr:
    """The model_id without its seed: "resnet18+full" for "resnet18+full#0"."""
    return pl.col("model_id").str.replace(r"#\d+$", "")


@dataclasses.dataclass(frozen=True)
class Share:
    """A share of images in [0, 1], mean over runs, with its interval."""

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """The share of images classified correctly at one epsilon; epsilon_index 0 is the clean prediction."""

    epsilon_index: int
    epsilon: float
    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Entry:
    """An architecture and its training, all seeds together.

    Attributes:
        rank: 1 is the best; None where no rank is given.   rank_low, rank_high: its limits; None where there are fewer than two ranks.
        name: that of its runs, without the seed.
        backbone, attention, training: as in the rows.
        runs: model_id of each run counted.   left_out: of those without signal, where others have one.
        signal: False where no run predicts better than chance, None where that cannot be judged.
        images, groups: attacked by every run.   failed: the most images on which the attack failed in one run; they count as incorrect.
        no_gradient: the most images of one run that could not be attacked by gradients; they are left out.
        majority_rate: accuracy of always predicting the most frequent class.
        balanced_accuracy: of the clean images; None where they have one class.   accuracy: clean first, then by rising epsilon.
        median_radius, radii: of the images classified correctly; None where there is none.
    """

    rank: int | None
    rank_low: int | None
    rank_high: int | None
    name: str
    backbone: str
    attention: str
    training: str
    runs: tuple[str, ...]
    left_out: tuple[str, ...]
    signal: bool | None
    images: int
    groups: int
    failed: int
    no_gradient: int
    majority_rate: float
    balanced_accuracy: Share | None
    accuracy: tuple[Accuracy, ...]
    median_radius: MedianRadius | None
    radii: RadiusSpread | None


@dataclasses.dataclass(frozen=True)
class Leaderboard:
    """The models of one task under one attack, best first, those without signal last.

    Attributes:
        norm: of its epsilons and radii.
        continuous: radii are found between the epsilons; else each is the first epsilon tried that changed the prediction.
    """

    finding: str | None
    attack_id: str
    norm: str
    continuous: bool
    entries: tuple[Entry, ...]


@dataclasses.dataclass(frozen=True)
class Unranked:
    """A leaderboard before its models are compared with others, and what the rank of each is made of."""

    board: Leaderboard
    members: tuple[Member, ...]


def leaderboard(rows: pl.DataFrame, signal: Mapping[str, bool | None] | None = None) -> Leaderboard:
    """Rank the models in rows of one task, finding, split and attack.

    Args:
        rows: attacked images with their clean rows (epsilon_index 0), of any models and seeds.
        signal: of each model_id, whether its clean balanced accuracy lies above chance; judged on the attacked images where absent.

    Raises:
        InputError: several tasks, findings, splits or attacks; the runs of an architecture share no image; or nothing could be attacked by gradients.
    """
    return ranked([unranked(rows, signal or {})])


def unranked(rows: pl.DataFrame, signal: Mapping[str, bool | None]) -> Unranked:
    """As `leaderboard` before anything is ranked, for rows that are too many to be in memory at once: those of some models, all their seeds."""
    table = check_rows(rows, needed=("radius", "backbone", "attention", "training"))
    attacks = sorted(set(table.filter(pl.col("epsilon_index") > 0)["attack_id"]))
    if len(attacks) != 1 or any(table[name].n_unique() != 1 for name in ("task", "finding", "split")):
        raise InputError(f"rows: those of one task, finding, split and attack are needed, attacks {attacks} were given")
    table = table.unique(["model_id", "epsilon_index", "image_id"], keep="first")
    table = table.with_columns(survived=survived(), group=group_names(), name=architecture_name())
    table = table.with_columns(failed=pl.col("status") != "ok")
    unseen = dict(table.filter(status="no gradient").group_by("model_id").agg(pl.n_unique("image_id")).iter_rows())
    table = with_result(table)
    seen = table.filter(pl.col("epsilon_index") > 0).select("model_id").unique()
    table = table.join(seen, on="model_id", how="semi", maintain_order="left")
    parts = table.partition_by("name", maintain_order=True)
    if not parts:
        remedy = "attack them by one that needs none, such as 'square'"
        raise InputError(f"rows: no image could be attacked by gradients; {remedy}")
    entries, members = zip(*(_entry(part, signal, unseen) for part in parts), strict=True)
    radii, grid = table.filter(pl.col("radius") > 0, pl.col("radius").is_finite())["radius"], table["epsilon"].unique()
    continuous = not radii.is_in(grid.implode()).all()
    return Unranked(Leaderboard(table["finding"][0], attacks[0], norm_of(table), continuous, entries), members)


def ranked(parts: Sequence[Unranked]) -> Leaderboard:
    """The leaderboard of models that were counted one after the other, all of one finding and attack."""
    found = [pair for part in parts for pair in zip(part.board.entries, part.members, strict=True)]
    limits = rank_intervals({entry.name: member for entry, member in found if entry.signal is not False})
    best_first = rank([entry for entry, _ in found if entry.signal is not False])
    entries = [_with_limits(entry, limits.get(entry.name)) for entry in best_first]
    entries += sorted((entry for entry, _ in found if entry.signal is False), key=lambda entry: entry.name)
    continuous = any(part.board.continuous for part in parts)
    return dataclasses.replace(parts[0].board, continuous=continuous, entries=tuple(entries))


def rank(entries: Sequence[Entry]) -> list[Entry]:
    """Order by median radius, a model that is nowhere worse before the other; among equals by mean accuracy, then by name."""

    def measure(entry: Entry) -> tuple[float, float, str]:
        return -radius_key(entry), -float(np.mean([point.value for point in entry.accuracy])), entry.name

    left, ordered = sorted(entries, key=measure), []
    while left:
        best = next(one for one in left if not any(dominates(other, one) for other in left))
        left.remove(best)
        ordered.append(dataclasses.replace(best, rank=len(ordered) + 1))
    return ordered


def radius_key(entry: Entry) -> float:
    """The median radius as a number to compare: 0 where there is none, infinite above the largest epsilon."""
    found = entry.median_radius
    return 0.0 if found is None else np.inf if found.value is None else found.value


def dominates(one: Entry, other: Entry) -> bool:
    """Whether the first is at least as accurate at every epsilon that both have, and more accurate at one."""
    theirs = {point.epsilon_index: point.value for point in other.accuracy}
    gains = [point.value - theirs[point.epsilon_index] for point in one.accuracy if point.epsilon_index in theirs]
    return bool(gains) and min(gains) >= 0 and max(gains) > 0


def _with_limits(entry: Entry, limits: tuple[int, int] | None) -> Entry:
    """An entry with the limits of its rank, widened to the rank where a model that is nowhere worse moved it."""
    if limits is None or entry.rank is None:
        return entry
    return dataclasses.replace(entry, rank_low=min(limits[0], entry.rank), rank_high=max(limits[1], entry.rank))


def _entry(part: pl.DataFrame, signal: Mapping[str, bool | None], unseen: Mapping[str, int]) -> tuple[Entry, Member]:
    every = tuple(part["model_id"].unique().sort())
    judged = {name: signal[name] if name in signal else _signal(part.filter(model_id=name)) for name in every}
    runs = tuple(name for name in every if judged[name] is not False)
    left_out, runs = (tuple(name for name in every if name not in runs), runs) if runs else ((), every)
    table = part.filter(pl.col("model_id").is_in(list(runs)))
    indices = sorted(table["epsilon_index"].unique())
    counts = table.group_by("image_id").len().filter(pl.col("len") == len(runs) * len(indices))
    if counts.is_empty():
        remedy = "attack one test set"
        raise InputError(f"rows: no image was attacked by every run of {runs[0].rsplit('#', 1)[0]}; {remedy}")
    table = table.join(counts.select("image_id"), on="image_id", how="semi")
    table = table.sort("epsilon_index", "model_id", "image_id")
    shape = (len(indices), len(runs), len(counts))
    correct = table["survived"].to_numpy().reshape(shape)
    first = table.head(len(counts))
    groups = first["group"].rank("dense").to_numpy()
    labels = first["label"].to_numpy()
    epsilons = table["epsilon"].to_numpy().reshape(shape)[:, 0, 0].tolist()
    shares = [(float(right.mean()), *mean_interval(right, groups)) for right in correct]
    points = zip(indices, epsilons, shares, strict=True)
    accuracy = tuple(Accuracy(index, epsilon, *share) for index, epsilon, share in points)
    radii = _radii(table, shape, correct, epsilons)
    about: dict[str, Any] = dict.fromkeys(("rank", "rank_low", "rank_high"))
    about |= first.select("name", *ARCHITECTURE).row(0, named=True)
    about |= {"runs": runs, "left_out": left_out, "signal": judged[runs[0]], "accuracy": accuracy}
    about |= {"images": len(labels), "groups": len(np.unique(groups)), "majority_rate": majority_rate(labels)}
    about["failed"] = int(table["failed"].to_numpy().reshape(shape).any(0).sum(1).max())
    about["no_gradient"] = max(unseen.get(name, 0) for name in runs)
    about["balanced_accuracy"] = _balanced(correct[0], labels, groups)
    about["median_radius"] = median_radius(radii, correct[0], groups)
    entry = Entry(**about, radii=radius_spread(radii, correct[0]))
    names = [first[name].cast(pl.String).to_numpy() for name in ("image_id", "group")]
    return entry, Member(names[0], labels, names[1], radii, correct[0])


def _signal(run: pl.DataFrame) -> bool | None:
    clean = run.filter(epsilon_index=0)
    labels, right = clean["label"].to_numpy(), clean["survived"].to_numpy()
    found = _balanced(right[None], labels, clean["group"].rank("dense").to_numpy())
    return None if found is None else found.low > 1 / len(np.unique(labels))


def _radii(table: pl.DataFrame, shape: tuple[int, ...], correct: NDArray[np.bool_], epsilons: list[float]) -> Floats:
    """The attack's radii (S, N), 0 where it failed; where it has none, the smallest epsilon at which the image is incorrect."""
    steps = table["radius"].cast(pl.Float64).fill_null(np.nan).to_numpy().reshape(shape)[1:]
    known = np.fmin.reduce(steps, axis=0)
    fell = np.where(correct.all(0), np.inf, np.array(epsilons)[np.argmin(correct, axis=0)])
    failed = table["failed"].to_numpy().reshape(shape)[1:].any(0)
    return np.where(failed, 0.0, np.where(np.isnan(known), fell, known))


def _balanced(correct: NDArray[np.bool_], labels: NDArray, groups: NDArray) -> Share | None:
    """Balanced accuracy (S, N) over runs; with several runs from its linearised values."""
    classes = np.unique(labels, return_inverse=True)[1]
    count = int(classes.max()) + 1
    if count == 1:
        return None
    if len(correct) == 1:
        predicted = np.where(correct[0], labels, -1)
        return Share(*balanced_accuracy_interval(labels, predicted, groups))
    sizes = np.bincount(classes, minlength=count)
    recall = np.stack([np.bincount(classes, right, count) for right in correct]) / sizes  # (S, K)
    values = recall.mean(1)  # (S,)
    weight = len(labels) / (count * sizes[classes])
    linearised = values[:, None] + weight * (correct - recall[:, classes])
    return Share(float(values.mean()), *mean_interval(linearised, groups))
