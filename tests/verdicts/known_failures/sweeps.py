"""Sweeps by broken attacks.

Each is run from scratch at every epsilon on an honest model and recorded as a `Sweep`, as a user's own tool might do.
"""

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor, nn

from palpate.attacks.access import ModelAccess
from palpate.attacks.losses import cross_entropy
from palpate.attacks.norms import project
from palpate.attacks.pgd import pgd
from palpate.attacks.result import Sweep
from palpate.models.predict import predict_logits

Attack = Callable[[float], Tensor]


def record(model: nn.Module, x: Tensor, y: Tensor, epsilons: tuple[float, ...], attack: Attack) -> Sweep:
    """A sweep by an attack epsilon → images (N, …): the first epsilon at which each image is fooled is its radius."""
    wrong = predict_logits(model, x).argmax(1) != y
    radius = torch.where(wrong, 0.0, torch.inf).double()
    kept = x.clone()
    for epsilon in epsilons:
        points = attack(epsilon)
        fooled = (predict_logits(model, points).argmax(1) != y) & (radius == torch.inf)
        radius[fooled], kept[fooled] = epsilon, points[fooled]
    return as_sweep(radius, x, y, epsilons, kept)


def as_sweep(radius: Tensor, x: Tensor, y: Tensor, epsilons: tuple[float, ...], kept: Tensor) -> Sweep:
    """The record of a sweep that took 20 steps at each epsilon."""
    passes = torch.tensor([21, 20]).repeat(len(x), 1) * len(epsilons)
    how = {"attack": "broken"}
    return Sweep(radius, y, epsilons, passes, ("ok",) * len(x), x, kept, None, "linf", how)


def wrong_unit(model: nn.Module, x: Tensor, y: Tensor, epsilons: tuple[float, ...]) -> Sweep:
    """Epsilon divided by 255 twice: what is called 8/255 is 8/65,025."""
    return record(model, x, y, epsilons, lambda epsilon: pgd(model, x, y, epsilon / 255, steps=20))


def tiny_steps(model: nn.Module, x: Tensor, y: Tensor, epsilons: tuple[float, ...]) -> Sweep:
    """Twenty steps that together cover a fiftieth of the ball."""
    return record(model, x, y, epsilons, lambda epsilon: pgd(model, x, y, epsilon / 50, steps=20))


def zero_steps(model: nn.Module, x: Tensor, y: Tensor, epsilons: tuple[float, ...]) -> Sweep:
    """Only the clean image is ever tried."""
    return record(model, x, y, epsilons, lambda epsilon: x)


def wrong_sign(model: nn.Module, x: Tensor, y: Tensor, epsilons: tuple[float, ...]) -> Sweep:
    """The loss is lowered where it should be raised, as when a targeted attack is given the true class."""
    return record(
        model,
        x,
        y,
        epsilons,
        lambda epsilon: pgd(model, x, y, epsilon, steps=20, loss=lambda z, t: -cross_entropy(z, t)),
    )


def no_projection(model: nn.Module, x: Tensor, y: Tensor, epsilons: tuple[float, ...]) -> Sweep:
    """Each step is held to the ball around the last point, not around the clean image, so the attack walks away."""

    def attack(epsilon: float) -> Tensor:
        points = x
        radius = torch.full((len(x),), epsilon, dtype=torch.float64)
        for _ in range(10):
            _, _, slope = ModelAccess(model).gradient(points, cross_entropy, y)
            points = project(points + epsilon * slope.sign(), points, radius)
        return points

    return record(model, x, y, epsilons, attack)


def crashes_counted(model: nn.Module, x: Tensor, y: Tensor, epsilons: tuple[float, ...]) -> Sweep:
    """A third of the images could not be attacked, and are counted as not fooled."""
    whole = record(model, x, y, epsilons, lambda epsilon: pgd(model, x, y, epsilon, steps=20))
    radius, status = whole.radius.clone(), list(whole.status)
    for place in range(0, len(x), 3):
        radius[place], status[place] = torch.inf, "failed"
    return Sweep(radius, y, epsilons, whole.passes, tuple(status), x, whole.adversarials, None, "linf", whole.how)


def errors_counted(model: nn.Module, x: Tensor, y: Tensor, epsilons: tuple[float, ...]) -> Sweep:
    """Images that are wrong when clean are left out of the attack, and counted as not fooled."""
    whole = record(model, x, y, epsilons, lambda epsilon: pgd(model, x, y, epsilon, steps=20))
    radius = torch.where(whole.radius == 0, torch.inf, whole.radius)
    return as_sweep(radius, x, y, epsilons, x.clone() if whole.adversarials is None else whole.adversarials)


def predictions_for_labels(model: nn.Module, x: Tensor, y: Tensor, epsilons: tuple[float, ...]) -> Sweep:
    """The model's own predictions are attacked instead of the true classes, so that no image is wrong when clean."""
    predicted = predict_logits(model, x).argmax(1)
    whole = record(model, x, predicted, epsilons, lambda epsilon: pgd(model, x, predicted, epsilon, steps=20))
    assert whole.adversarials is not None
    return as_sweep(whole.radius, x, y, epsilons, whole.adversarials)


def single_step(model: nn.Module, x: Tensor, y: Tensor, epsilons: tuple[float, ...]) -> Sweep:
    """One gradient step at each epsilon, as if it were PGD."""
    return record(model, x, y, epsilons, lambda epsilon: pgd(model, x, y, epsilon, steps=1))


def stopped_early(model: nn.Module, x: Tensor, y: Tensor, epsilons: tuple[float, ...]) -> Sweep:
    """On a third of the images the attack is given up after a step."""
    third = torch.arange(len(x)) % 3 == 0

    def attack(epsilon: float) -> Tensor:
        many, one = (pgd(model, x, y, epsilon, steps=steps) for steps in (20, 1))
        return torch.where(third[:, None, None, None], x + 0.3 * (one - x), many)

    return record(model, x, y, epsilons, attack)


def scaled(found: Sweep, factor: float) -> Sweep:
    """Radii in another unit than the images."""
    return dataclasses.replace(found, radius=found.radius * factor)


def exchanged(found: Sweep) -> Sweep:
    """Each image is stored in the place of another."""
    assert found.adversarials is not None
    return dataclasses.replace(found, adversarials=found.adversarials.roll(1, 0))


def outside_the_box(found: Sweep) -> Sweep:
    """Images that were never clamped to [0, 1]: two hundredths darker and brighter at the bounds."""
    assert found.adversarials is not None
    x = found.adversarials
    return dataclasses.replace(found, adversarials=torch.where(x <= 0.1, x - 0.12, x))


def shuffled(found: Sweep) -> Sweep:
    """The labels of the sweep in another order."""
    return dataclasses.replace(found, labels=found.labels.roll(7))


def without_images(found: Sweep) -> Sweep:
    """Only the radii were kept."""
    return dataclasses.replace(found, adversarials=None)


def dropped(found: Sweep) -> Sweep:
    """On every fourth image what was found is lost."""
    lost = torch.arange(len(found)) % 4 == 0
    return dataclasses.replace(found, radius=torch.where(lost & (found.radius > 0), torch.inf, found.radius))
