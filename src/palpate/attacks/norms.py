"""Norms, balls and steepest directions, with one radius per image.

Every attack moves inside the intersection of a ball around the image and the box [0, 1]. Here are the few operations on
that set, and `NORMS`, the one table of what differs from norm to norm. Radii are one number per image, because in a sweep every image has its own.
"""

import dataclasses
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

Norm = Literal["linf", "l2"]


def per_image(values: Tensor, like: Tensor) -> Tensor:
    """One number per image (N,), shaped to multiply images (N, …)."""
    return values.to(like).view(-1, *[1] * (like.ndim - 1))


def slack(dtype: torch.dtype) -> float:
    """How much a ball must shrink so that rounding x + δ ≤ 1 in this precision cannot leave it: twice the largest rounding.

    >>> slack(torch.float32) == 2.0**-24
    True
    """
    return torch.finfo(dtype).eps / 2


def _dims(images: Tensor) -> tuple[int, ...]:
    return tuple(range(1, images.ndim))


@dataclasses.dataclass(frozen=True)
class Geometry:
    """What one norm brings along."""

    order: float  # p of the p-norm
    dual: Callable[[Tensor], Tensor]  # gradients (N, …) to their dual norms (N,)
    clip: Callable[[Tensor, Tensor, Tensor], Tensor]  # points, images, radii to the nearest points of the balls
    steepest: Callable[[Tensor], Tensor]  # gradients to the direction of unit norm that gains most
    draw: Callable[[torch.Size, torch.Generator], Tensor]  # a random point of the unit ball, of an image's shape


def _clip_linf(points: Tensor, images: Tensor, radius: Tensor) -> Tensor:
    room = per_image((radius - slack(points.dtype)).clamp(min=0), points)
    return torch.clamp(points, images - room, images + room)


def _clip_l2(points: Tensor, images: Tensor, radius: Tensor) -> Tensor:
    pixels = points[0].numel() if len(points) else 1
    room = per_image((radius - slack(points.dtype) * pixels**0.5).clamp(min=0), points)
    delta = points - images
    length = per_image(delta.flatten(1).norm(dim=1), points)
    factor = (room / length.clamp(min=torch.finfo(points.dtype).tiny)).clamp(max=1)
    return images + delta * factor


def _draw_l2(shape: torch.Size, generator: torch.Generator) -> Tensor:
    direction = torch.randn(shape, generator=generator)
    return direction / direction.norm() * torch.rand((), generator=generator)


NORMS: dict[str, Geometry] = {
    "linf": Geometry(
        order=float("inf"),
        dual=lambda gradient: gradient.abs().sum(
            _dims(gradient)
        ),  # a fifth of the time of torch's own 1-norm on channels-last
        clip=_clip_linf,
        steepest=torch.sign,
        draw=lambda shape, generator: torch.rand(shape, generator=generator) * 2 - 1,
    ),
    "l2": Geometry(
        order=2,
        dual=lambda gradient: torch.linalg.vector_norm(gradient, dim=_dims(gradient)),
        clip=_clip_l2,
        steepest=lambda gradient: gradient / per_image(dual_norm(gradient, "l2").clamp(min=1e-30), gradient),
        draw=_draw_l2,
    ),
}


def distance(a: Tensor, b: Tensor, norm: Norm = "linf") -> Tensor:
    """‖a − b‖ per image (N,), computed in float64."""
    return torch.linalg.vector_norm(a.double() - b.double(), ord=NORMS[norm].order, dim=_dims(a))


def dual_norm(gradient: Tensor, norm: Norm = "linf") -> Tensor:
    """How much a linear function with this gradient gains per unit of radius (N,), float64: ‖g‖₁ for l∞, ‖g‖₂ for l2."""
    return NORMS[norm].dual(gradient).double()


def project(points: Tensor, images: Tensor, radius: Tensor, norm: Norm = "linf") -> Tensor:
    """The nearest points (N, …) inside each image's ball of `radius` (N,) and the box [0, 1].

    The ball is taken smaller by `slack` per pixel, so that ‖result − image‖ ≤ radius holds in float64 after rounding. For l2
    the ball is projected first and the box after, which stays inside both, since the image lies in the box.
    """
    return NORMS[norm].clip(points, images, radius).clamp_(0, 1)


def steepest(gradient: Tensor, norm: Norm = "linf") -> Tensor:
    """The direction of unit norm along which a linear function rises fastest: sign(g), or g / ‖g‖₂."""
    return NORMS[norm].steepest(gradient)


def round_bits(values: Tensor) -> Tensor:
    """Values rounded to 12 significant bits (.01 %).

    Logits differ in their last digits with the size of the batch. What is computed from them and moves an image is
    rounded, so that such a difference does not reach the result.

    >>> round_bits(torch.tensor([1 / 3, 1 / 3 + 1e-9], dtype=torch.float64)).diff().item()
    0.0
    """
    mantissa, exponent = torch.frexp(values)
    return torch.ldexp((mantissa * 4096).round() / 4096, exponent)


def power_of_two(values: Tensor) -> Tensor:
    """Positive values (N,), rounded up to a power of two, by which a tensor can be divided without any rounding; at least 1e-30."""
    _, exponent = torch.frexp(values.clamp(min=1e-30))
    return torch.ldexp(torch.ones_like(values), exponent)


def seeded(seed: int, image: int, stage: int) -> torch.Generator:
    """A generator that depends on seed, image and stage alone, so that batches and their order cannot change a start.

    The three are mixed by splitmix64's multiplications, because neighbouring seeds of one generator are related.
    """
    mask = 2**64 - 1
    value = (seed * 0x9E3779B97F4A7C15 + image * 0xBF58476D1CE4E5B9 + stage * 0x94D049BB133111EB) & mask
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & mask
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & mask
    return torch.Generator().manual_seed((value ^ (value >> 31)) % 2**63)


def random_start(
    images: Tensor, radius: Tensor, generators: torch.Generator | list[torch.Generator], norm: Norm = "linf"
) -> Tensor:
    """A random point in each image's ball: uniform for l∞; for l2 a random direction with uniform length.

    Args:
        images: (N, …) in [0, 1].
        radius: (N,).
        generators: one per image, see `seeded`; or one for all, which draws for one image after another.
        norm: of the ball.
    """
    each = [generators] * len(images) if isinstance(generators, torch.Generator) else generators
    draws = [NORMS[norm].draw(images.shape[1:], generator) for generator in each]
    noise = torch.stack(draws).to(images) if draws else torch.zeros_like(images)
    return project(images + noise * per_image(radius, images), images, radius, norm)
