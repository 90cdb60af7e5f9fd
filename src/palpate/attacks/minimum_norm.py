"""The descent: rows of (image, wrong class) walk along the decision boundary and race for the smallest radius.

Each row holds a point and a radius. One pass gives the margin and its gradient there, and the gradient says how much radius is
missing or to spare (margin / dual norm), so the radius follows the boundary while the direction improves: a step of up to twice the
radius along the momentum's sign, which first jumps between corners of the ball and then, with a cosine decay, settles. No epsilon
is tried; the radius that comes out answers for all of them. For more than two classes the nearest class is seldom the runner-up, so the
clean image's gradients towards several classes are taken, the nearest few by margin / dual norm start as rows, and at fixed
steps the rows that lag behind their own image's best are dropped. Last come forward passes only, which find the boundary on the ray.
"""

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from palpate.attacks.access import Oracle
from palpate.attacks.best import Found
from palpate.attacks.losses import doubt, margin_towards
from palpate.attacks.norms import Norm, dual_norm, per_image, power_of_two, project, random_start, snap, steepest


@dataclasses.dataclass(frozen=True)
class Effort:
    """How hard to try; the defaults are strength "standard"."""

    steps: int = 12  # gradients per row, the clean image's included
    classes: int = 5  # classes whose gradient is taken at the clean image, by descending logit
    rows: int = 3  # classes that start as rows, by ascending distance
    reach: float = 1.5  # of the nearest distance; farther classes do not start
    cuts: tuple[tuple[int, int], ...] = ((1, 2), (3, 1))  # after that step, keep that many rows per image
    searches: int = 4  # forward passes on the ray at the end
    first: float = 2.0  # first step as a share of the radius
    last: float = 0.02  # last step likewise
    momentum: float = 0.25
    hopeless: tuple[
        tuple[int, float], ...
    ] = ()  # after that step, drop rows beyond that multiple of their image's best
    shy: float = 0.005  # how far below the best radius of its image a row aims, at least


@dataclasses.dataclass
class Rows:
    """State of the rows at work, one entry each; all tensors on the model's device, radii in float64."""

    image: Tensor  # (R,) place in the set
    label: Tensor  # (R,)
    target: Tensor  # (R,) the class to be mistaken for, −1 for whichever is nearest
    clean: Tensor  # (R, C, H, W)
    point: Tensor  # (R, C, H, W)
    momentum: Tensor  # (R, C, H, W)
    radius: Tensor  # (R,) of the ball that holds `point`
    slope: Tensor  # (R,) dual norm of the last gradient: margin gained per radius
    step: Tensor  # (R,) gradients spent; 0 only where `point` is the clean image itself

    def __len__(self) -> int:
        return len(self.image)

    def take(self, where: Tensor) -> "Rows":
        """The rows at `where` (a mask or indices)."""
        return Rows(*(getattr(self, field.name)[where] for field in dataclasses.fields(Rows)))

    def join(self, other: "Rows") -> "Rows":
        """These rows and then the other ones."""
        if not len(self) or not len(other):
            return self if len(self) else other
        return Rows(*(torch.cat([getattr(self, f.name), getattr(other, f.name)]) for f in dataclasses.fields(Rows)))


def no_rows(clean: Tensor) -> Rows:
    """An empty set of rows for images like these."""
    whole = torch.zeros(0, dtype=torch.long, device=clean.device)
    real = torch.zeros(0, dtype=torch.float64, device=clean.device)
    return Rows(whole, whole, whole, clean[:0], clean[:0], clean[:0], real, real, whole)


def run(
    oracle: Oracle,
    start: Callable[[slice], Rows],
    image: Tensor,
    found: Found,
    top: float,
    effort: Effort,
    norm: Norm,
    words: str,
) -> None:
    """Let rows walk to their end, `oracle.batch` of them at a time; places that fall free are filled with new ones.

    Args:
        oracle: the model.
        start: makes the rows of a slice of `image`.
        image: places (n,) of the images to work on.
        found: where successes go, and which images are pending.
        top, effort, norm: see `enter`.
        words: for the progress report.
    """
    rows = waiting = no_rows(found.clean)
    begun, count = 0, len(image)
    while begun < count or len(rows):
        if begun < count and len(rows) <= oracle.batch // 2:
            stop = min(begun + max(oracle.batch - len(rows), 1), count)
            rows = rows.join(start(slice(begun, stop)))
            begun = stop
        if len(rows):
            rows, ended = advance(oracle, rows, found, top, effort, norm)
            waiting = waiting.join(ended)
        if len(waiting) >= oracle.batch or (begun == count and not len(rows) and len(waiting)):
            search(oracle, waiting, found, top, effort, norm)
            waiting = no_rows(found.clean)
            found.settle(image[:begun], rows.image, words)
    found.settle(image, rows.image, words)


def enter(
    oracle: Oracle, label: Tensor, image: Tensor, found: Found, top: float, effort: Effort, norm: Norm, seed: int
) -> Rows:
    """Look at clean images and start a row for each of their nearest classes; images already wrong are noted as found.

    Args:
        oracle: the model.
        label, image: (n,) and their places (n,) in the chunk.
        found: holds the images; clean errors and failures are noted there.
        top: the largest radius allowed.
        effort, norm: how.
        seed: of the directions taken where there is no gradient.
    """
    clean = found.clean[image]
    logits, targets, gradients = oracle.class_gradients(clean, label, image, effort.classes)  # (n, k), (k, n, C, H, W)
    slopes = torch.stack([dual_norm(gradient, norm) for gradient in gradients], 1)  # (n, k)
    sound = logits.isfinite().all(1) & slopes.isfinite().all(1)
    found.fail(image[~sound])
    wrong = sound & (logits.argmax(1) != label)
    found.offer(image, clean, torch.zeros(len(image), dtype=torch.float64, device=image.device), wrong)
    missing = logits.gather(1, label[:, None]) - logits.gather(1, targets) + doubt(logits, oracle.scale)[:, None]
    distances = snap((missing.double() / slopes.clamp(min=1e-300)).clamp(max=1e6))
    order = distances.argsort(dim=1, stable=True)
    nearest = distances.gather(1, order[:, :1])[:, 0]
    rows: list[Rows] = []
    for rank in range(min(effort.rows, targets.shape[1])):
        pick = order[:, rank]
        near = distances.gather(1, pick[:, None])[:, 0] <= effort.reach * nearest
        chosen = (sound & ~wrong & near).nonzero()[:, 0]
        rows.append(
            _start(
                image[chosen],
                label[chosen],
                gradients[pick[chosen], chosen],
                1.05 * nearest[chosen],
                found,
                top,
                norm,
                seed,
            )
        )
    return _joined(rows)


def _start(
    image: Tensor, label: Tensor, gradient: Tensor, radius: Tensor, found: Found, top: float, norm: Norm, seed: int
) -> Rows:
    """Rows one step away from their clean images, along a gradient taken there, or at random where that is zero."""
    clean, radius, slope = found.clean[image], snap(radius).clamp(max=top), dual_norm(gradient, norm)
    momentum = gradient * per_image(1 / power_of_two(slope), gradient)
    flat = (slope == 0).nonzero()[:, 0]
    if len(flat):
        places = [found.offset + place for place in image[flat].tolist()]
        momentum[flat] = random_start(clean[flat], radius[flat], places, seed, 0, norm) - clean[flat]
    point = project(clean + per_image(radius, clean) * steepest(momentum, norm), clean, radius, norm)
    ones = torch.ones_like(image)
    return Rows(image, label, -ones, clean, point, momentum, radius, slope, ones)


def _joined(rows: list[Rows]) -> Rows:
    result = rows[0]
    for more in rows[1:]:
        result = result.join(more)
    return result


def advance(oracle: Oracle, rows: Rows, found: Found, top: float, effort: Effort, norm: Norm) -> tuple[Rows, Rows]:
    """One pass for every row: note what fools, move, drop what lags behind.

    Returns:
        The rows that go on, and those that have had their steps and await the search on the ray.
    """
    logits, toward, gradient = oracle.gradient(rows.point, rows.image, margin_towards, rows.label, rows.target)
    value = oracle.sure(logits, rows.label)
    fooled = oracle.confirmed(
        rows.point, value > 0, rows.image, lambda exact, at: oracle.sure(exact, rows.label[at]) > 0
    )
    aim = torch.where(fooled, value, toward - doubt(logits, oracle.scale)).double()
    slope = dual_norm(gradient, norm)
    sound = logits.isfinite().all(1) & slope.isfinite()
    found.fail(rows.image[~sound])
    found.offer(rows.image, rows.point, rows.radius, fooled)
    limit = found.limit[rows.image] * (1 - effort.shy)
    # Radius at which the linear model of the margin is zero, kept near the present one and below what is known.
    estimate = torch.where(
        rows.step > 0, snap((rows.radius - aim / slope.clamp(min=1e-300)) * (1 + 2.0**-12)), rows.radius
    )
    radius = torch.minimum(torch.maximum(estimate, 0.7 * rows.radius), 1.4 * rows.radius)
    radius = snap(torch.minimum(radius, limit)).clamp(max=top)
    scaled = gradient * per_image(1 / power_of_two(slope), gradient)
    momentum = scaled.add_(rows.momentum, alpha=effort.momentum)
    progress = (rows.step - 1).clamp(min=0).double() / max(effort.steps - 2, 1)
    share = effort.last + (effort.first - effort.last) * (1 + torch.cos(torch.pi * progress)) / 2
    moved = torch.addcmul(rows.clean, rows.point - rows.clean, per_image(radius / rows.radius, gradient))
    moved.addcmul_(steepest(momentum, norm), per_image(snap(share) * radius, gradient))
    point = project(moved, rows.clean, radius, norm)
    after = Rows(
        rows.image, rows.label, rows.target, rows.clean, point, momentum, radius, slope, rows.step + 1
    )  # fmt: skip
    keep = sound & _in_front(rows, estimate, effort)
    for step, factor in effort.hopeless:
        keep &= (rows.step != step) | (estimate <= factor * found.limit[rows.image])
    over = after.step >= effort.steps
    if bool((keep & ~over).all()):
        return after, no_rows(found.clean)
    return after.take(keep & ~over), after.take(keep & over)


def _in_front(rows: Rows, estimate: Tensor, effort: Effort) -> Tensor:
    """Which rows are among the best of their image, at the steps where rows are dropped (R,)."""
    keep = torch.ones_like(rows.image, dtype=torch.bool)
    for step, count in effort.cuts:
        here = (rows.step == step).nonzero()[:, 0]
        if not len(here):
            continue
        order = here[estimate[here].argsort(stable=True)]
        order = order[rows.image[order].argsort(stable=True)]
        image = rows.image[order]
        rank = torch.arange(len(order), device=order.device) - torch.searchsorted(image, image)
        keep[order[rank >= count]] = False
    return keep


def search(oracle: Oracle, rows: Rows, found: Found, top: float, effort: Effort, norm: Norm) -> None:
    """Find the boundary on the ray from each clean image through the row's point, with forward passes only.

    The first pass looks at the point itself; the next follow the slope of the last gradient, then the secant of the two
    scales that bracket the boundary. Rows stop when the bracket is within .1 % or the ray leads beyond what is known.
    """
    direction = rows.point - rows.clean
    low = torch.zeros_like(rows.radius)  # largest scale known not to fool
    high = torch.full_like(rows.radius, float("inf"))  # smallest scale known to fool
    below, above = torch.full_like(low, float("nan")), torch.full_like(low, float("nan"))  # margins there
    scale = torch.ones_like(low)
    for _ in range(effort.searches):
        most = torch.minimum(found.limit[rows.image] * (1 - effort.shy / 5), torch.full_like(low, top)) / rows.radius
        scale = snap(torch.minimum(scale, most))
        going = (scale > low * 1.001) & (scale < high) & (high > low * 1.001)
        if not bool(going.all()):
            rows, direction = rows.take(going), direction[going]
            low, high, below, above, scale = (each[going] for each in (low, high, below, above, scale))
        if not len(rows):
            return
        radius = (scale * rows.radius).clamp(max=top)
        point = project(rows.clean + direction * per_image(scale, direction), rows.clean, radius, norm)
        value = oracle.sure(oracle.logits(point, rows.image), rows.label).double()
        fooled = value > 0
        found.offer(rows.image, point, radius, fooled)
        high, above = torch.where(fooled, scale, high), torch.where(fooled, value, above)
        low, below = torch.where(fooled, low, scale), torch.where(fooled, below, value)
        newton = scale - 1.05 * value / (rows.slope * rows.radius).clamp(min=1e-300)
        inwards, outwards = torch.minimum(newton, 0.998 * scale), torch.maximum(newton, 1.002 * scale)
        newton = torch.where(fooled, torch.maximum(inwards, 0.9 * scale), torch.minimum(outwards, 1.1 * scale))
        secant = low + (high - low) * (0.05 - below / (above - below))
        secant = torch.minimum(torch.maximum(secant, low + 0.02 * (high - low)), high - 0.02 * (high - low))
        scale = torch.where(secant.isnan(), newton, secant)
