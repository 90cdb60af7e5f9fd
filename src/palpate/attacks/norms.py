"""Norms and balls, with one radius per image, and the nearest point of a ball within the box [0, 1].

Every attack moves inside the intersection of a ball around the image and the box. Radii are one number per image, because in a sweep every image
has its own. What a linear function gains there is in `reach`.
"""

import functools
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

Norm = Literal["linf", "l2", "l1"]

ORDERS: dict[str, float] = {"linf": float("inf"), "l2": 2, "l1": 1}
"""The norms and their p."""

Generators = torch.Generator | list[torch.Generator]

HALVINGS = 40
"""Bisections of the threshold that projects onto an l1 ball: enough for the last digit of float32."""


def per_image(values: Tensor, like: Tensor) -> Tensor:
    """One number per image (N,), shaped to multiply images (N, …)."""
    return values.to(like).view(-1, *[1] * (like.ndim - 1))


def total(values: Tensor) -> Tensor:
    """The sum over all pixels of each image (N,), float64."""
    return values.sum(tuple(range(1, values.ndim))).double()


def room_along(direction: Tensor, images: Tensor) -> Tensor:
    """How far each pixel (N, …) can move along the sign of a direction until it reaches the end of [0, 1]; to 0 where the direction is 0.

    Like `kept_above` without torch.where, which takes ten times as long on the CPU where signs are mixed.
    """
    return direction.sign().clamp_(min=0).sub_(images).abs_()


def kept_above(values: Tensor, size: Tensor) -> Tensor:
    """The values (N, …) where the size (N, …) is above 0, else 0."""
    return torch.ops.aten.threshold_backward(values, size, 0)


def channel_mean(values: Tensor) -> Tensor:
    """The mean over the channels (N, C, H, W), in each of them."""
    mean = functools.reduce(torch.add, values.unbind(1)) / values.shape[1]
    return mean[:, None].expand_as(values).contiguous(memory_format=torch.channels_last)


def slack(points: Tensor, norm: Norm = "linf") -> float:
    """How much a ball must shrink so that rounding points (N, …) ≤ 1 cannot leave it: twice the largest rounding, of all pixels together.

    >>> slack(torch.zeros(1, 3, 8, 8)) == 2.0**-24
    True
    """
    pixels = points[0].numel() if len(points) else 1
    return torch.finfo(points.dtype).eps / 2 * {"linf": 1.0, "l2": pixels**0.5, "l1": float(pixels)}[norm]


def distance(a: Tensor, b: Tensor, norm: Norm | Literal["px"] = "linf") -> Tensor:
    """‖a − b‖ per image (N,), computed in float64; in "px" the side of the smallest square that holds every pixel that differs."""
    if norm == "px":
        differs = (a != b).any(1)
        return torch.maximum(*(_length(differs.any(axis)) for axis in (1, 2)))
    difference, dims = a.to(torch.float64, copy=True).sub_(b), tuple(range(1, a.ndim))
    if norm == "linf":  # half the time of torch's own norm
        return difference.abs_().amax(dims)
    return torch.linalg.vector_norm(difference, ord=ORDERS[norm], dim=dims)


def _length(marked: Tensor) -> Tensor:
    """From the first to the last place marked (N,), both counted; 0 where there is none."""
    places = torch.arange(1, marked.shape[1] + 1, device=marked.device).double()
    last = (marked * places).amax(1)
    first = torch.where(marked, places, float("inf")).amin(1)
    return torch.where(last > 0, last - first + 1, 0.0)


def dual_norm(gradient: Tensor, norm: Norm = "linf") -> Tensor:
    """How much a linear function with this gradient gains per unit of radius away from the box (N,), float64: ‖g‖₁, ‖g‖₂ or ‖g‖∞ for l∞, l2, l1."""
    dims = tuple(range(1, gradient.ndim))
    if norm == "linf":  # a fifth of the time of torch's own 1-norm on channels-last
        return gradient.abs().sum(dims).double()
    if norm == "l1":
        return gradient.abs().amax(dims).double()
    return torch.linalg.vector_norm(gradient, dim=dims).double()


def steepest(gradient: Tensor, norm: Norm = "linf") -> Tensor:
    """The direction of unit norm along which a linear function rises fastest: sign(g), g / ‖g‖₂, or for l1 the largest pixel.

    For l1 the mass is spread over the largest hundredth of the pixels (Tramèr & Boneh 2019, arXiv 1904.13000, section 3.3), since one pixel alone
    is soon at the end of the box.
    """
    if norm == "linf":
        return gradient.sign()
    if norm == "l2":
        return gradient / per_image(dual_norm(gradient, "l2").clamp(min=1e-30), gradient)
    flat = gradient.abs().flatten(1)
    least = flat.topk(max(flat.shape[1] // 100, 1), dim=1).values[:, -1]
    chosen = gradient.sign() * (gradient.abs() >= per_image(least, gradient))
    return chosen / per_image(total(chosen.abs()).clamp(min=1), gradient)


def stretch(length: Tensor, room: Tensor, radius: Tensor) -> Tensor:
    """The λ (N,), float64, with ‖min(λ · length, room)‖₂ = radius; 1e30 where even the whole room is shorter.

    Pixels that reach the end of their room stop, and the others go on: λ rises from the left until no further pixel stops.
    """
    square, ends = length.double() ** 2, room.double() ** 2
    scale = (radius / total(square).sqrt().clamp(min=1e-300)).clamp(max=1e30)  # 1e30 · 0 is 0 in float32, too
    for _ in range(HALVINGS):
        full = per_image(scale, square) ** 2 * square >= ends
        rest = (radius**2 - total(ends * full)).clamp(min=0)
        new = torch.maximum((rest / total(square * ~full).clamp(min=1e-300)).sqrt().clamp(max=1e30), scale)
        settled = bool((new <= scale * (1 + 1e-7)).all())
        scale = new
        if settled:
            break
    return scale


def project(points: Tensor, images: Tensor, radius: Tensor, norm: Norm = "linf") -> Tensor:
    """The nearest points (N, …) inside each image's ball of `radius` (N,) and the box [0, 1]; nearest in l2, for l1 too.

    The ball is taken smaller by `slack`, so that ‖result − image‖ ≤ radius holds in float64 after rounding.
    """
    limit = (radius - slack(points, norm)).clamp(min=0)
    if norm == "linf":
        room = per_image(limit, points)
        return torch.clamp(points, images - room, images + room).clamp_(0, 1)
    delta = points - images
    length, room = delta.abs(), room_along(delta, images)
    if norm == "l2":
        inside = torch.minimum(length, room)
        over = torch.linalg.vector_norm(inside.double(), dim=tuple(range(1, inside.ndim))) > limit
        factor = torch.where(over, stretch(length, room, limit).clamp(max=1), torch.ones_like(limit))
        moved = torch.minimum(length * per_image(factor, length), room)
    else:
        moved = torch.minimum((length - per_image(_threshold(length, room, limit), length)).clamp(min=0), room)
    return (images + delta.sign() * moved).clamp(0, 1)


def _threshold(length: Tensor, room: Tensor, limit: Tensor) -> Tensor:
    """The τ (N,) with Σ min(max(length − τ, 0), room) = limit, or 0 where the sum is smaller at τ = 0."""
    low = torch.zeros_like(limit)
    high = length.flatten(1).amax(1).double() if length.numel() else low
    over = total(torch.minimum(length, room)) > limit
    for _ in range(HALVINGS if bool(over.any()) else 0):
        middle = (low + high) / 2
        small = total(torch.minimum((length - per_image(middle, length)).clamp(min=0), room)) <= limit
        low, high = torch.where(small, low, middle), torch.where(small, middle, high)
    return torch.where(over, high, torch.zeros_like(high))


def round_bits(values: Tensor) -> Tensor:
    """Values rounded to 12 significant bits (.01 %).

    Logits differ in their last digits with the size of the batch. What is computed from them and moves an image is
    rounded, so that such a difference does not reach the result.

    >>> round_bits(torch.tensor([1 / 3, 1 / 3 + 1e-9], dtype=torch.float64)).diff().item()
    0.0
    """
    mantissa, exponent = torch.frexp(values)
    return torch.ldexp((mantissa * 4096).round() / 4096, exponent)


def seeded(seed: int, image: int, stage: int) -> torch.Generator:
    """A generator that depends on seed, image and stage alone, so that batches and their order cannot change a start.

    The three are mixed by splitmix64's multiplications, because neighbouring seeds of one generator are related.
    """
    mask = 2**64 - 1
    value = (seed * 0x9E3779B97F4A7C15 + image * 0xBF58476D1CE4E5B9 + stage * 0x94D049BB133111EB) & mask
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & mask
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & mask
    return torch.Generator().manual_seed((value ^ (value >> 31)) % 2**63)


def draw_in_ball(shape: Sequence[int], generator: torch.Generator, norm: Norm, channels: int | None = None) -> Tensor:
    """A random point of the unit ball: uniform for l∞; for l2 and l1 a random direction with uniform length.

    Args:
        shape: (C, …) of what is drawn.
        generator: that draws it.
        norm: of the ball.
        channels: to which one drawn channel is repeated, within the same ball; C when absent.
    """
    count = channels or shape[0]
    if norm == "linf":
        return (torch.rand(shape, generator=generator) * 2 - 1).expand(count, *shape[1:])
    draw = torch.randn(shape, generator=generator).expand(count, *shape[1:])
    return draw / torch.linalg.vector_norm(draw, ord=ORDERS[norm]) * torch.rand((), generator=generator)


def draw_each(images: Tensor, generators: Generators, norm: Norm, tied: Tensor | None) -> Tensor:
    """`draw_in_ball` for each image (N, C, …); the arguments are those of `random_start`."""
    each = [generators] * len(images) if isinstance(generators, torch.Generator) else generators
    draws = []
    for place, generator in enumerate(each):
        channels = 1 if tied is not None and bool(tied[place]) else images.shape[1]
        draws.append(draw_in_ball((channels, *images.shape[2:]), generator, norm, images.shape[1]))
    return torch.stack(draws).to(images) if draws else torch.zeros_like(images)


def random_start(
    images: Tensor, radius: Tensor, generators: Generators, norm: Norm = "linf", tied: Tensor | None = None
) -> Tensor:
    """A random point in each image's ball: uniform for l∞; for l2 and l1 a random direction with uniform length.

    Args:
        images: (N, C, …) in [0, 1].
        radius: (N,).
        generators: one per image, see `seeded`; or one for all, which draws for one image after another.
        norm: of the ball.
        tied: (N,) images whose channels move together; none when absent.
    """
    noise = draw_each(images, generators, norm, tied)
    return project(images + noise * per_image(radius, images), images, radius, norm)
