"""`palpate.corrupt`: how much of a corruption each image takes until its class changes, with the result type of an attack."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from palpate.attacks.api import sweep
from palpate.attacks.losses import certain_margin, unusable
from palpate.attacks.problem import Block, Problem
from palpate.attacks.result import Sweep
from palpate.attacks.spec import Attack
from palpate.core.errors import InputError
from palpate.corruptions.corruption import Corruption, apply, check_fits, find_corruption, severity_grid
from palpate.corruptions.search import LEAST_ROUNDS, PASSES, first_crossing
from palpate.models.predict import Images, Progress, as_tensor

DRAWS = 3
"""Draws of a stochastic corruption: the least of which half is neither none nor all."""

WORST_DRAWS = 32
"""Draws of a search for the worst case."""


def corrupt(
    model: nn.Module,
    images: Images,
    labels: Any,
    corruption: str | Corruption,
    severities: Sequence[float | str] | None = None,
    *,
    draws: int | None = None,
    over: Literal["half", "worst"] = "half",
    seed: int = 0,
    pixel_spacing: float | None = None,
    finding: int | None = None,
    keep: Literal["all", "radius"] = "all",
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> Sweep:
    """Corrupt images and tell, for each, the smallest severity found to change its class, and what happens at each severity given.

    The search starts from the severities given. They are also where the curve is measured, so a corruption that is not monotone shows it; the
    smallest severity is that of the first crossing, and `crossings` says how many were seen. Of a stochastic corruption it is the
    smallest severity at which half of the draws are misclassified. Up to eight severities cost at most 12 forward passes per image and draw.

    Args:
        model: as for `palpate.sweep`. No gradient is needed.
        images: as for `palpate.sweep`.
        labels: as for `palpate.sweep`.
        corruption: a registered name, or a `Corruption`.
        severities: from 0, the clean image, in the corruption's unit; for lengths in pixels also such as "2 mm". Five that halve from the end of
            the range on when absent.
        draws: of a stochastic corruption, 3 when absent; each draw is the same at all severities.
        over: which draws of a stochastic corruption count: "half", the smallest severity at which half of them are misclassified; "worst", at
            which one is: a random search for the worst case with a budget of so many draws, 32 when absent.
        seed: of all draws, which depend on seed, image and draw alone.
        pixel_spacing: millimetres per pixel of these images, for severities in mm.
        finding: as for `palpate.sweep`.
        keep: as for `palpate.sweep`.
        batch_size: as for `palpate.sweep`.
        progress: as for `palpate.sweep`.

    Returns:
        A `Sweep` with norm "severity": `radius` is the smallest severity, `epsilons` the severities, `adversarials` the images at the
        smallest, `worst` those of the first draw at each severity, `flips` the share of draws that are misclassified there.

    Raises:
        InputError: a severity outside the range, a corruption that does not fit the images, or as for `palpate.sweep`.

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval()  # right while the mean is above .2
    >>> _ = net[1].weight.data.copy_(torch.tensor([[1.0, 1, 1, 1], [0, 0, 0, 0]]))
    >>> _ = net[1].bias.data.copy_(torch.tensor([-0.8, 0]))
    >>> result = corrupt(net, torch.full((1, 1, 2, 2), 0.5), [0], "brightness-down")
    >>> round(result.radius.item(), 3), result.robust_accuracy(0.5), result.robust_accuracy(1)
    (0.6, 1.0, 0.0)
    """
    chosen = find_corruption(corruption)
    spec = Corrupted.of(chosen, draws, seed, over)
    grid = severity_grid(chosen, severities, side_of(images), pixel_spacing)
    return sweep(
        model, images, labels, grid, spec, finding=finding, keep=keep, batch_size=batch_size, progress=progress
    )


def side_of(images: Images) -> int:
    """The shorter side of images in pixels; 1 where they cannot be read, which the sweep refuses."""
    try:
        return min(as_tensor(images[0:1]).shape[-2:])
    except (TypeError, ValueError, KeyError, IndexError, InputError):
        return 1


class Corrupted(Attack):
    """A corruption as an attack without gradients, whose epsilons are severities; `palpate.corrupt` runs it."""

    kind: ClassVar[str] = "corruption"
    uses_gradients: ClassVar[bool] = False
    every_epsilon: ClassVar[bool] = True

    norm: Literal["severity"] = "severity"  # pyright: ignore[reportIncompatibleVariableOverride]
    channels: Literal["tied"] = "tied"  # pyright: ignore[reportIncompatibleVariableOverride]
    corruption: Any
    """a `Corruption`"""
    noise_draws: int = Field(1, ge=1)
    """draws of each image, of a stochastic corruption"""
    over: Literal["half", "worst"] = "half"
    """whether half of the draws count, or the worst"""
    seed: int = Field(0, ge=0)
    """of all draws"""

    @classmethod
    def of(cls, corruption: Corruption, draws: int | None, seed: int, over: str = "half") -> "Corrupted":
        """The specification with so many draws, or as many as suit the corruption.

        Raises:
            InputError: less than one draw, or several of a corruption that draws nothing.
        """
        if draws is not None and (not isinstance(draws, int) or draws < 1):
            raise InputError(f"draws must be a whole number of at least 1, given {draws!r}")
        what = f"corruption {corruption.name!r}"
        if draws is not None and draws > 1 and not corruption.stochastic:
            raise InputError(f"draws: {what} draws nothing, so all draws are equal; leave draws out")
        if over == "worst" and not corruption.stochastic:
            raise InputError(f"over: {what} draws nothing, so no draw is the worst; leave over out")
        usual = (DRAWS if over == "half" else WORST_DRAWS) if corruption.stochastic else 1
        return cls.read({"corruption": corruption, "noise_draws": draws or usual, "seed": seed, "over": over}, what)

    @property
    def name(self) -> str:
        """What tables call it: the corruption's name, "worst" with the number of draws searched, and the seed unless 0."""
        worst = f"-worst-of-{self.noise_draws}" if self.over == "worst" else ""
        return self.corruption.name + worst + (f"#{self.seed}" if self.seed else "")

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON-able values, the corruption by its name and unit."""
        drawn = {"draws": self.noise_draws, "over": self.over, "seed": self.seed} if self.corruption.stochastic else {}
        return {"attack": self.kind, "corruption": self.corruption.name, "unit": self.corruption.unit, **drawn}

    def expected_passes(self, epsilons: int) -> int:
        """At most so many forward passes per image for so many severities."""
        return 1 + self.noise_draws * max(PASSES - 1, epsilons + LEAST_ROUNDS)

    def run(self, problem: Problem) -> Iterator[Sweep]:
        """Search block after block; a block is one batch unless told otherwise."""
        check_fits(self.corruption, problem.example)
        access = problem.access()
        for block in problem.blocks(access, "linf", self.seed, channels="free"):
            yield self._block(block)

    def _block(self, block: Block) -> Sweep:
        count, levels, labels, draws = len(block), block.epsilons, block.labels, self.noise_draws
        image, draw = torch.arange(count).repeat(draws), torch.arange(draws).repeat_interleave(count)

        def judged(points: Tensor, place: Tensor) -> Tensor:
            """Margins (m,), NaN where the model gives no number."""
            there = place.to(labels.device)
            logits = block.access.judge(points.to(labels.device, memory_format=torch.channels_last), there)
            return certain_margin(logits, labels[there]).masked_fill(unusable(logits), float("nan")).cpu()

        def ask(task: Tensor, severity: Tensor) -> tuple[Tensor, Tensor]:
            place = image[task]
            start = block.place.start + place
            points = apply(self.corruption, block.images[place], severity, draw[task], self.seed, start)
            return judged(points, place), points

        def shown(made: Tensor, differs: Tensor) -> Tensor:
            """Of each image the first draw, or, where the worst counts, the first that differs."""
            first = differs.view(draws, count).int().argmax(0) if self.over == "worst" else torch.zeros(count).long()
            return made[first * count + torch.arange(count)]

        clean = judged(block.images, torch.arange(count))
        kept = shown if block.keep == "all" else None
        found = first_crossing(ask, clean[image], block.images[image], levels, self.corruption.step, kept)
        # At the smallest severity at which half of the draws differ, of three draws the second; or at which one does.
        order = found.severity.view(draws, count).nan_to_num(nan=float("inf")).argsort(dim=0, stable=True)
        needed = 1 if self.over == "worst" else (draws + 1) // 2
        chosen = order[needed - 1] * count + torch.arange(count)
        failed = found.failed.view(draws, count).any(0)
        flips = found.differs.view(len(levels), draws, count).double().mean(1)
        block.best.pending[:] = False
        block.best.tell(self.corruption.name)
        about: dict[str, Any] = {"labels": labels.cpu(), "epsilons": levels, "images": block.images, "how": self.how}
        about |= {"norm": "severity", "classes": block.classes, "passes": block.access.passes}
        about["status"] = tuple("failed" if bad else "ok" for bad in failed.tolist())
        about["adversarials"], about["worst"] = found.points[chosen] if kept else None, found.at_levels
        about |= {"fooled": flips * draws >= needed, "flips": flips, "crossings": found.crossings[chosen]}
        return Sweep(radius=found.severity[chosen].masked_fill(failed, float("nan")), **about)
