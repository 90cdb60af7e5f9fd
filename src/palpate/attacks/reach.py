"""What a linear function can gain within a ball and the box [0, 1].

Medical images have black borders and saturated regions, whose pixels can move one way or not at all. So the most that a function with gradient g
gains within a radius is not radius × dual norm, but

    gain(r) = max { g·δ : ‖δ‖ ≤ r, 0 ≤ x + δ ≤ 1 },

a concave function of r, piecewise linear for l∞ and l1. FAB projects onto the same set (Croce & Hein 2020, arXiv 1907.02044, section 3).
"""

import torch
from torch import Tensor

from palpate.attacks.norms import Norm, kept_above, per_image, room_along, steepest, stretch, total

NEWTON_STEPS = 40
"""At most; each finds another linear piece of the gain, and a handful reach the right one."""

ANY_ROOM = 1e-6
"""Room below which a pixel counts as at the end of the box, in l2 and l1."""


class Reach:
    """The gain of a linear function around images, its inverse, and the perturbation that attains it.

    Args:
        images: (N, …) in [0, 1], the centres of the balls.
        gradient: (N, …).
        norm: of the balls.

    >>> reach = Reach(torch.tensor([[0.0, 0.5, 0.9]]), torch.tensor([[-1.0, 2.0, 1.0]]), "linf")  # the first pixel cannot move
    >>> radius = torch.tensor([0.2], dtype=torch.float64)
    >>> round(reach.gain(radius).item(), 4), round(reach.radius(reach.gain(radius)).item(), 4)
    (0.5, 0.2)
    """

    def __init__(self, images: Tensor, gradient: Tensor, norm: Norm) -> None:
        self.norm, self.sign, self.weight = norm, gradient.sign(), gradient.abs()
        self.room = room_along(gradient, images)
        if norm == "l1":  # pixels are filled one after another, those of the largest weight first
            flat, room = self.weight.flatten(1), self.room.flatten(1)
            self._order = flat.argsort(dim=1, descending=True, stable=True)
            self._heights = flat.gather(1, self._order).double()
            room = room.gather(1, self._order).double()
            self._filled, self._gained = room.cumsum(1), (self._heights * room).cumsum(1)

    def gain(self, radius: Tensor) -> Tensor:
        """The most that can be gained within `radius` (N,), float64."""
        if self.norm == "l1":
            index, rest = _piece(self._filled, radius)
            return (_before(self._gained, index) + rest * self._heights.gather(1, index))[:, 0]
        return total(self.weight * self._moved(radius))

    def radius(self, gain: Tensor) -> Tensor:
        """The smallest radius that gains so much (N,), float64; infinite where none does, 0 where the gain wanted is not above 0."""
        if self.norm == "l1":
            index, rest = _piece(self._gained, gain)
            found = (_before(self._filled, index) + rest / self._heights.gather(1, index).clamp(min=1e-300))[:, 0]
            most = self._gained[:, -1]
        else:
            found, most = self._solve(gain), total(self.weight * self.room)
        return torch.where(gain <= 0, 0.0, torch.where(gain <= most, found, float("inf")))

    def delta(self, radius: Tensor) -> Tensor:
        """The perturbation (N, …) within `radius` (N,) that gains the most."""
        if self.norm != "l1":
            return self.sign * self._moved(radius)
        index, rest = _piece(self._filled, radius)
        places = torch.arange(self._filled.shape[1], device=radius.device)
        room = self.room.flatten(1).gather(1, self._order)
        share = torch.where(places < index, room, torch.where(places == index, rest.to(room), torch.zeros_like(room)))
        moved = torch.zeros_like(room).scatter(1, self._order, share).view_as(self.room)
        grey = ((self.weight == self.weight[:, :1]) & (self.room == self.room[:, :1])).flatten(1).all(1)
        # The pixel filled last would be filled in one channel only.
        moved[grey] = moved[grey].mean(1, keepdim=True).expand_as(moved[grey])
        return self.sign * moved

    def _moved(self, radius: Tensor) -> Tensor:
        """How far each pixel moves within the radius, l∞ and l2."""
        if self.norm == "linf":
            return torch.minimum(self.room, per_image(radius, self.room))
        return torch.minimum(self.room, per_image(stretch(self.weight, self.room, radius), self.room) * self.weight)

    def _solve(self, gain: Tensor) -> Tensor:
        """Newton's method on the gain as a function of the step t: every pixel with room moves by t (l∞) or t · |g| (l2).

        A tangent of a concave function lies above it, so from the left no step passes the solution. It is reached where the slope stays the same.
        """
        step, before = torch.zeros_like(gain), torch.full_like(gain, float("nan"))
        for _ in range(NEWTON_STEPS):
            wanted = per_image(step, self.room)
            wanted = wanted if self.norm == "linf" else wanted * self.weight
            rates = self.weight if self.norm == "linf" else self.weight**2
            slope = total(kept_above(rates, self.room - wanted))
            missing = gain - total(torch.minimum(self.room, wanted).mul_(self.weight))
            new = torch.where(slope > 0, (step + missing / slope.clamp(min=1e-300)).clamp(min=0), step)
            settled = bool(((slope == before) | ((new - step).abs() <= 1e-6 * new)).all())
            step, before = new, slope
            if settled:
                break
        if self.norm == "linf":
            return step
        moved = torch.minimum(self.room, per_image(step, self.room) * self.weight)
        return torch.linalg.vector_norm(moved.double(), dim=tuple(range(1, moved.ndim)))


def _piece(ends: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """The interval (N, 1) of the rising `ends` (N, D) that holds the value (N,), and how far into it the value lies (N, 1)."""
    inside = value[:, None].clamp(min=0)
    index = torch.searchsorted(ends, inside).clamp(max=ends.shape[1] - 1)
    return index, torch.minimum(inside, ends.gather(1, index)) - _before(ends, index)


def _before(ends: Tensor, index: Tensor) -> Tensor:
    return torch.where(index > 0, ends.gather(1, (index - 1).clamp(min=0)), 0.0)


def rate(images: Tensor, gradient: Tensor, radius: Tensor, norm: Norm) -> Tensor:
    """How much a linear function gains per unit of radius at `radius` (N,), float64: the dual norm over the pixels that the box leaves free there.

    For l∞ it is the derivative of `Reach.gain`; for l2 and l1 the pixels are those with any room.
    """
    least = per_image(radius if norm == "linf" else torch.full_like(radius, ANY_ROOM), images)
    value = kept_above(gradient.abs(), room_along(gradient, images).sub_(least))
    if norm == "linf":
        return total(value)
    dims = tuple(range(1, images.ndim))
    return value.amax(dims).double() if norm == "l1" else torch.linalg.vector_norm(value, dim=dims).double()


def stepped(points: Tensor, direction: Tensor, radius: Tensor, norm: Norm) -> Tensor:
    """Points (N, …) after a step of `radius` (N,) along which a linear function with this gradient rises fastest.

    In l1 within the box, since the few pixels that gain the most are soon at its end; in l∞ and l2 the step may leave it.
    """
    if norm == "l1":
        return points + Reach(points, direction, norm).delta(radius)
    return points + per_image(radius, points) * steepest(direction, norm)
