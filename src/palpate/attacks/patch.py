"""A square patch, the same on all images, at a place drawn or at the worst of several (Brown et al. 2017, arXiv 1712.09665).

Epsilon is the side of the patch in pixels, so the curve says how large a sticker must be; lengths in millimetres are read where `pixel_spacing` is
given. The patch is learned on training images at places drawn anew in each step.
"""

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from palpate.attacks.norms import seeded
from palpate.attacks.problem import Block
from palpate.attacks.result import Sweep
from palpate.attacks.shared import PLACE_STAGE, Shared, margins_of
from palpate.core.epsilon import Scale, epsilon_grid
from palpate.core.errors import InputError
from palpate.core.registry import ATTACKS


@ATTACKS.register("patch")
class Patch(Shared):
    """A patch of each of the given sides, in whole pixels."""

    kind: ClassVar[str] = "patch"

    norm: Literal["px"] = "px"  # pyright: ignore[reportIncompatibleVariableOverride]
    places: int = Field(1, ge=1, description="1: a place drawn for each image; more: the worst of so many")
    pixel_spacing: float | None = Field(None, gt=0, description="millimetres per pixel, for sides in mm")

    def grid(self, epsilons: Any, scale: Scale | None = None) -> tuple[float, ...]:
        """Sides in whole pixels, rising.

        Raises:
            InputError: not a whole number of pixels above 0, or millimetres without a pixel spacing.
        """
        given = [epsilons] if isinstance(epsilons, str | int | float) else list(epsilons)
        if self.pixel_spacing is None and any(isinstance(each, str) and "mm" in each for each in given):
            raise InputError(f"epsilons of a patch in mm need pixel_spacing, the millimetres per pixel, given {given}")
        length = None if self.pixel_spacing is None else Scale(0, self.pixel_spacing, "mm")
        found = epsilon_grid([side for side in given], self.norm, length)
        whole = tuple(sorted({float(round(side)) for side in found}))
        in_mm = [isinstance(each, str) and "mm" in each for each in given]
        if whole[0] < 1 or (not any(in_mm) and any(abs(side - round(side)) > 1e-9 for side in found)):
            raise InputError(f"epsilons of a patch are its sides in whole pixels, from 1 on, given {given}")
        return whole

    def begin(self, images: Tensor, epsilon: float, before: Tensor | None) -> Tensor:
        """The smaller patch enlarged; grey at first."""
        side = round(epsilon)
        if side > min(images.shape[-2:]):
            raise InputError(
                f"epsilons: a patch of {side} pixels is larger than the images, {tuple(images.shape[-2:])}"
            )
        if before is None:
            return torch.full_like(images[:1, :, :side, :side], 0.5)
        return F.interpolate(before, (side, side), mode="nearest")

    def put(self, images: Tensor, perturbation: Tensor, places: Tensor) -> Tensor:
        """The patch in the place of what was there."""
        made = images.clone()
        for row, (top, left) in enumerate(self._corners(images, perturbation, places)):
            made[row, :, top : top + perturbation.shape[-2], left : left + perturbation.shape[-1]] = perturbation[0]
        return made

    def ascent(self, gradient: Tensor, perturbation: Tensor, places: Tensor) -> Tensor:
        """The sum of what lies under the patches."""
        side, total = perturbation.shape[-1], torch.zeros_like(perturbation)
        for row, (top, left) in enumerate(self._corners(gradient, perturbation, places)):
            total += gradient[row : row + 1, :, top : top + side, left : left + side]
        return total

    def within(self, perturbation: Tensor, epsilon: float) -> Tensor:
        """Any value in [0, 1]."""
        return perturbation.clamp(0, 1)

    def sizes(self, epsilon: float) -> tuple[float, float]:
        """Half of the range at first, a fiftieth at last."""
        return 0.5, 0.02

    def judge(self, block: Block, perturbations: list[Tensor]) -> Sweep:
        """At each side the worst of the places; the radius is the smallest side that changes the class."""
        clean = margins_of(block, block.clean)
        radius, failed = torch.where(clean > 0, 0.0, float("inf")).double(), clean.isnan()
        points, worst, count = block.clean.clone(), [], len(block)
        generators = [seeded(self.seed, block.place.start + i, PLACE_STAGE) for i in range(count)]
        draws = [torch.rand(self.places, 2, generator=each) for each in generators]
        places = torch.stack(draws).to(block.clean.device)
        for epsilon, perturbation in zip(block.epsilons, perturbations, strict=True):
            shown, highest = block.clean.clone(), torch.full_like(radius, -float("inf"))
            for place in range(self.places):
                trial = self.put(block.clean, perturbation, places[:, place])
                found = margins_of(block, trial)
                failed |= found.isnan()
                better = found > highest
                shown[better], highest = trial[better], torch.maximum(highest, found)
            hit = (highest > 0) & radius.isinf() & ~failed
            radius[hit], points[hit] = epsilon, shown[hit]
            worst.append(shown)
        return self.sweep_of(block, radius, points, torch.stack(worst), failed)

    @staticmethod
    def _corners(images: Tensor, perturbation: Tensor, places: Tensor) -> list[tuple[int, int]]:
        room = torch.tensor(images.shape[-2:]) - torch.tensor(perturbation.shape[-2:]) + 1
        return [tuple(corner) for corner in (places.cpu() * room).long().tolist()]
