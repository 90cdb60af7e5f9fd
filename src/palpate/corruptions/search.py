"""The smallest severity that changes a class, by bracketing: from several levels to the first crossing, and from there to the boundary.

Corruptions are not monotone: a class may change, come back and change again. So the first level at which it differs is taken together with the one
below, the boundary between the two is found, and the number of crossings seen at all severities tried is reported with it.
"""

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

PASSES = 12
"""Forward passes per image and draw, at most, as long as there are no more than eight levels: one clean, one per level, the rest between two."""

LEAST_ROUNDS = 3
"""Rounds between two levels where there are more levels than that."""

TOLERANCE = 5e-4
"""Relative width of the bracket at which the search ends: half of what the severity is promised to."""

BESIDE = 0.2
"""Share of the distance from the guessed boundary to the farther end at which the next severity lies: of .1, .2 and .3 the one whose worst error
after six rounds was smallest, .7 %, on ten functions (linear, cubic, exponential, a step and others)."""

Ask = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""From places of tasks (m,) and severities (m,) to margins (m,), above 0 where the class differs, and the corrupted images (m, C, H, W)."""

Keep = Callable[[Tensor, Tensor], Tensor]
"""From the images (T, C, H, W) at a level, and whether the class of each differs (T,), to those to keep."""


@dataclasses.dataclass
class Crossing:
    """The first crossing of each of T tasks, a task being an image and a draw.

    Attributes:
        severity: (T,) the smallest severity found at which the class differs; 0 where it does when clean, inf where it never does.
        points: (T, C, H, W) the image there, the clean image where there is none.
        crossings: (T,) changes between same and different class, over all severities tried in rising order.
        differs: (E, T) whether the class differs at each level.
        at_levels: (E, …) the images kept of each level; None if none were.
        failed: (T,) the model gave no number.
    """

    severity: Tensor
    points: Tensor
    crossings: Tensor
    differs: Tensor
    at_levels: Tensor | None
    failed: Tensor


def first_crossing(
    ask: Ask, clean: Tensor, images: Tensor, levels: tuple[float, ...], step: float = 0.0, keep: Keep | None = None
) -> Crossing:
    """Find the first crossing of each task.

    Args:
        ask: see `Ask`.
        clean: margins of the clean images (T,).
        images: the clean images (T, C, H, W).
        levels: severities, rising, above 0.
        step: severities are whole multiples of it; 0 where any number is allowed.
        keep: which images to keep of each level; none when absent.
    """
    count, every = len(clean), torch.arange(len(clean))
    tried, margins, kept = [torch.zeros(count, dtype=torch.float64)], [clean.double()], []
    points, found = images.clone(), torch.full((count,), len(levels))
    for index, level in enumerate(levels):
        tried.append(torch.full((count,), level, dtype=torch.float64))
        margin, made = ask(every, tried[-1])
        margins.append(margin.double())
        first = (margin > 0) & (found == len(levels)) & (clean <= 0)
        points[first], found[first] = made[first], index
        if keep:
            kept.append(keep(made, margin > 0))
    at_levels = torch.stack(margins)
    failed = at_levels.isnan().any(0)
    hit = ((found < len(levels)) & ~failed).nonzero()[:, 0]
    grid = torch.tensor([0.0, *levels], dtype=torch.float64)
    low, high = torch.zeros(count, dtype=torch.float64), torch.full((count,), float("inf"), dtype=torch.float64)
    low[hit], high[hit] = grid[found[hit]], grid[found[hit] + 1]
    ends = [at_levels[found[hit], hit], at_levels[found[hit] + 1, hit]]
    rounds = max(PASSES - 1 - len(levels), LEAST_ROUNDS)
    _narrow(_Bracket(hit, low[hit], high[hit], *ends), ask, rounds, step, (high, points, tried, margins))
    severity = torch.where(clean > 0, 0.0, high).masked_fill(failed, float("nan"))
    changes = _crossings(torch.stack(tried), torch.stack(margins))
    differs = at_levels[1:] > 0
    return Crossing(severity, points, changes, differs, torch.stack(kept) if keep else None, failed)


class _Bracket:
    """Tasks (m,) whose class is the same at `low` and differs at `high` (m,), with the margins there and at the end replaced last, `third`."""

    def __init__(self, task: Tensor, low: Tensor, high: Tensor, at_low: Tensor, at_high: Tensor) -> None:
        self.task, self.low, self.high, self.at_low, self.at_high = task, low, high, at_low, at_high
        self.third, self.at_third = torch.full_like(low, float("nan")), torch.full_like(low, float("nan"))
        self.before = torch.full_like(low, float("nan"))  # the last guess of the boundary
        self.slow = torch.zeros_like(task, dtype=torch.bool)  # the last step did not halve the bracket

    def guess(self) -> Tensor:
        """Where to look next (m,): beside the boundary guessed, on the side of the end that is farther from it, so that this end comes near.

        The boundary is guessed by inverse quadratic interpolation of three margins, or by a straight line. How far beside is a share of the
        distance to that end, less where two guesses agree. After a step that did not halve the bracket the middle is taken.
        """
        low, high, width = self.low, self.high, self.high - self.low
        line = low + self.at_low / (self.at_low - self.at_high) * width
        a, b, c = self.at_high, self.at_low, self.at_third
        curve = high * b * c / ((a - b) * (a - c)) + low * a * c / ((b - a) * (b - c))
        curve = curve + self.third * a * b / ((c - a) * (c - b))
        place = torch.where((curve > low) & (curve < high), curve, line)
        above = high - place > place - low
        far = torch.where(above, high - place, place - low)
        beside = torch.minimum(BESIDE * far, (2 * (place - self.before).abs()).nan_to_num(nan=float("inf")))
        beside = torch.maximum(beside, TOLERANCE / 3 * high)
        self.before = place
        found = torch.where(above, place + beside, place - beside)
        found = found.clamp(low + TOLERANCE / 3 * width, high - TOLERANCE / 3 * width)
        return torch.where(self.slow | ~found.isfinite(), (low + high) / 2, found)

    def update(self, rows: Tensor, place: Tensor, margin: Tensor) -> None:
        """Replace one end of the tasks in these rows by a severity (n,) and its margin (n,)."""
        width, differs = (self.high - self.low)[rows], margin > 0
        for hit, end, at_end in ((differs, self.high, self.at_high), (~differs, self.low, self.at_low)):
            chosen = rows[hit]
            self.third[chosen], self.at_third[chosen] = end[chosen], at_end[chosen]
            end[chosen], at_end[chosen] = place[hit], margin[hit]
        self.slow[rows] = ~self.slow[rows] & ((self.high - self.low)[rows] > width / 2)


def _narrow(at: _Bracket, ask: Ask, rounds: int, step: float, found: tuple[Tensor, Tensor, list, list]) -> None:
    """Narrow brackets for so many rounds.

    Args:
        found: the severities (T,) and images of the ends that differ, which are replaced; the lists of what was tried, which grow.
    """
    severity, points, tried, margins = found
    for _ in range(rounds):
        width = at.high - at.low
        rows = ((width > TOLERANCE * at.high) & (width > step * (1 + 1e-9))).nonzero()[:, 0]
        if not len(rows):
            return
        place, task = at.guess()[rows], at.task[rows]
        if step:
            place = torch.minimum((place / step).round() * step, at.high[rows] - step)
            place = torch.maximum(place, at.low[rows] + step)
        margin, made = ask(task, place)
        margin, differs = margin.double(), margin > 0
        at.update(rows, place, margin)
        severity[task[differs]], points[task[differs]] = place[differs], made[differs]
        for values, new in ((tried, place), (margins, margin)):
            entry = torch.full_like(severity, float("nan"))
            entry[task] = new
            values.append(entry)


def _crossings(tried: Tensor, margins: Tensor) -> Tensor:
    """Changes of sign (T,) of the margins (k, T) in the order of the severities tried (k, T), NaN where one was not tried."""
    place = tried.nan_to_num(nan=float("inf")).argsort(dim=0, stable=True)
    known, differs = ~tried.isnan().gather(0, place), (margins > 0).gather(0, place)
    return ((differs[1:] != differs[:-1]) & known[1:]).sum(0)
