"""Checks of attacks that must lead to a given class: the task becomes one of two classes, that class against the best of all others."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from palpate.attacks.losses import one_against_rest
from palpate.attacks.result import Sweep
from palpate.attacks.validation import true_targets
from palpate.core.errors import InputError
from palpate.models.predict import Images, as_tensor


class Towards(nn.Module):
    """A model with K ≥ 2 logits as one with two: the best of all other classes, and the target."""

    def __init__(self, model: nn.Module, target: int) -> None:
        super().__init__()
        self.model, self.target = model, target

    def forward(self, images: Tensor) -> Tensor:
        """(n, C, H, W) to (n, 2)."""
        logits = self.model(images)
        return one_against_rest(logits, torch.full((len(logits),), self.target, device=logits.device))


@dataclasses.dataclass(frozen=True)
class Picked:
    """The images of a sequence at these places, one slice after another."""

    images: Images
    places: Tensor

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, place: slice) -> Tensor:
        return torch.cat([as_tensor(self.images[each : each + 1]) for each in self.places[place].tolist()])


def towards(
    images: Images, labels: Tensor, sweep: Sweep | None, targets: Any, names: Sequence[str]
) -> tuple[Images, Tensor, Sweep | None, int]:
    """What is left to examine of an attack towards classes: the images of the most frequent target, but those of that class itself.

    Args:
        images, labels, sweep: as `palpate.trust` has them, labels (N,).
        targets: as `palpate.sweep` takes them.
        names: of the classes, where the model knows them.

    Returns:
        The images, their labels, all 0 as those of `Towards` are, the sweep of them as one of two classes, and the target.

    Raises:
        InputError: targets that `palpate.sweep` would refuse, or that are not the sweep's.
    """
    classes = sweep.classes if sweep is not None and sweep.classes else 2**31
    aims = true_targets(targets, labels, classes, names)
    assert aims is not None
    if sweep is not None and (sweep.targets is None or not torch.equal(sweep.targets, aims)):
        raise InputError("targets must be those of the sweep; leave them out, and they are")
    target = int(aims[aims != labels].mode().values)
    places = ((aims == target) & (labels != target)).nonzero()[:, 0]
    nothing = torch.zeros_like(places)
    part = None
    if sweep is not None:
        part = dataclasses.replace(sweep.take(places), labels=nothing, targets=None, classes=2)
    return Picked(images, places), nothing, part, target
