"""The check context: the images, the model and the sweep under examination, and the attacks whose results several checks look at.

Baseline PGD is run once per epsilon and shared, because its passes are most of the budget; whichever check needs it first pays for it.
"""

import dataclasses
import math
from collections.abc import Callable
from functools import cache, cached_property
from typing import Any

import torch
from torch import Tensor, nn

from palpate.attacks.access import ModelAccess
from palpate.attacks.losses import Loss, cross_entropy, margin, unusable
from palpate.attacks.norms import Norm, seeded
from palpate.attacks.precision import with_gradients
from palpate.attacks.quantize import to_levels
from palpate.attacks.surrogate import unsaturated
from palpate.core.formatting import epsilon as write_epsilon
from palpate.models.predict import Images
from palpate.models.resume import to_device
from palpate.verdicts.baselines import STEPS, Run, fools, pgd, price
from palpate.verdicts.check import LEAST, Finding, NotRun, SweepUnderTest, judge, out_of
from palpate.verdicts.difference import ROUNDED, differ

LOSSES = (cross_entropy, margin)
"""Of the attacks that several checks share."""

WIDER = 2.0
"""How many times larger a ball must not let baseline PGD catch up with a stronger attack before the model is said to mislead it.

Of two classes cross-entropy and margin share a direction. Of many, cross-entropy pulls towards all wrong classes at once, the more evenly the smaller
the logits are: on independent linear logits that costs a factor of up to √2 in radius, whatever number of images that is."""

CALLS = 8
"""How often the clean images are predicted to see whether the answers vary."""


@dataclasses.dataclass(eq=False)
class CheckContext:
    """What is examined.

    Attributes:
        model: as it was handed over, for what is no attack: its modules and buffers.
        outputs: access to what it returns itself.
        access: access to its logits (n, K), K ≥ 2.
        sibling: access to the logits of a model that was trained independently, or None. All three spend one budget.
        every_image, every_label: all that were given; of them the checks look at those at `places` (m,).
        images: (m, C, H, W) on the model's device, supposedly in [0, 1].
        labels: (m,).
        epsilons: radii above 0, rising.
        swept: the sweep under examination, or None.
        norm: of the radii.
        levels: grey levels that the examined attack is held to, or 0.
        finding: the attacked column of a multi-label head, or None.
        expect: the clean accuracy in [0, 1] that was measured elsewhere, or None.
        training: the model's modules that were in training mode when it was handed over.
        seed: of every random draw.
    """

    model: nn.Module
    outputs: ModelAccess
    access: ModelAccess
    sibling: ModelAccess | None
    every_image: Images
    every_label: Tensor
    places: Tensor
    images: Tensor
    labels: Tensor
    epsilons: tuple[float, ...]
    swept: SweepUnderTest | None = None
    norm: Norm = "linf"
    levels: int = 0
    finding: int | None = None
    expect: float | None = None
    training: frozenset[nn.Module] = frozenset()
    seed: int = 0

    def __post_init__(self) -> None:
        self._runs: dict[tuple[Loss, float], Run] = {}
        self._noted: list[tuple[str, float, Tensor, Tensor]] = []

    def state(self) -> dict[str, Any]:
        """What the checks so far have computed and later ones use, so that it is not computed, and paid for, again."""
        cached = {name for name, value in vars(type(self)).items() if isinstance(value, cached_property)}
        known = {name: vars(self)[name] for name in cached & vars(self).keys()}
        runs = [(LOSSES.index(loss), epsilon, dataclasses.astuple(run)) for (loss, epsilon), run in self._runs.items()]
        return {"cached": known, "runs": runs, "noted": self._noted}

    def restore(self, state: dict[str, Any]) -> None:
        """Take what `state` gave."""
        vars(self).update(to_device(state["cached"], self.images.device))
        for loss, epsilon, run in state["runs"]:
            self._runs[LOSSES[loss], epsilon] = Run(*to_device(run, self.images.device))
        self._noted = list(to_device(state["noted"], self.images.device))

    def need(self, passes: int) -> None:
        """Stop a check before it starts what it could not finish: `BudgetExceeded` where fewer passes are left."""
        self.access.budget.need(passes)

    def some(self, images: int) -> int:
        """So many of 64 images, in proportion to the context's, for what costs much; at least 6."""
        return max(2 * LEAST, math.ceil(images * len(self.labels) / 64))

    def generator(self, stage: int) -> torch.Generator:
        """Random numbers that depend on the seed and the stage alone, not on which checks ran before."""
        return seeded(self.seed, 0, stage)

    def written(self, epsilon: float) -> str:
        """An epsilon for a reader."""
        return write_epsilon(epsilon, self.norm)

    def of(self, count: int) -> str:
        """So many of the context's images, for a reader."""
        return out_of(count, len(self.labels))

    def points(self, count: float) -> float:
        """So many images as points of accuracy on the context's images."""
        return 100 * count / len(self.labels)

    def judge(self, images: int, threshold: float, good: str, bad: str, *, whole: float = 1.0) -> Finding:
        """The finding about so many of the context's images, in points; of `whole` times as many where only a share was tried."""
        return judge(whole * self.points(images), images, threshold, good, bad)

    @cached_property
    def tested(self) -> tuple[float, ...]:
        """At most three of the epsilons, the largest among them: where independent attacks are run."""
        last = len(self.epsilons) - 1
        return tuple(self.epsilons[index] for index in sorted({last // 3, 2 * last // 3, last}))

    @cached_property
    def outside(self) -> int:
        """How many images hold values outside [0, 1], or values that are no numbers."""
        flat = self.images.flatten(1)
        return int((~((flat >= -1e-6) & (flat <= 1 + 1e-6)).all(1)).sum())

    @cached_property
    def predicted(self) -> Tensor:
        """Logits (m, K) of the clean images.

        Raises:
            NotRun: the images are not in [0, 1], where an attack would replace them by others.
        """
        if self.outside:
            raise NotRun("the images are not in [0, 1], so a ball inside [0, 1] means nothing for them")
        return self.access.logits(self.images)

    @property
    def clean(self) -> Tensor:
        """The same, of classes to which the labels belong.

        Raises:
            NotRun: as `predicted`, or a label is none of the model's classes.
        """
        if int(self.labels.max()) >= self.predicted.shape[1]:
            raise NotRun(f"a label lies outside the model's {self.predicted.shape[1]} classes")
        return self.predicted

    @cached_property
    def repeated(self) -> Tensor:
        """Logits (8, m, K) of the clean images, predicted eight times."""
        self.need((CALLS - 1) * len(self.images))
        return torch.stack([self.clean, *(self.access.logits(self.images) for _ in range(CALLS - 1))])

    @property
    def varies(self) -> bool:
        """Whether the model gives other logits when asked again."""
        first = self.repeated[:1].expand_as(self.repeated)
        return bool(differ(self.repeated.flatten(0, 1), first.flatten(0, 1), ROUNDED).any())

    @cached_property
    def right(self) -> Tensor:
        """Places (r,) of the images that are classified correctly when clean: the only ones about which an attack can change anything.

        Raises:
            NotRun: there are fewer than can show a failure.
        """
        places = ((margin(self.clean, self.labels) < 0) & ~unusable(self.clean)).nonzero()[:, 0]
        if len(places) < LEAST:
            right = f"{self.of(len(places))} are classified correctly when clean"
            raise NotRun(f"{right}, and at least {LEAST} are needed")
        return places

    @property
    def x(self) -> Tensor:
        """The correctly classified images (r, C, H, W)."""
        return self.images[self.right]

    @property
    def y(self) -> Tensor:
        """Their labels (r,)."""
        return self.labels[self.right]

    @cached_property
    def median_margin(self) -> float:
        """Median clean margin of the right images: true logit minus the best other."""
        return float(-margin(self.clean, self.labels)[self.right].float().quantile(0.5))

    def gradient(self, points: Tensor, loss: Callable[..., Tensor], *given: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients (n, C, H, W), zero where they are not numbers, and for which points (n,) they are not."""
        self.access.begin(len(points))
        try:
            _, _, slope = self.access.gradient(points, loss, *given)
            return slope, self.access.blind.to(slope.device)
        finally:
            self.access.begin(0)

    def sighted(self) -> ModelAccess:
        """The same access with gradients where the model hides them, as the sweep has them: for an attack that the sweep is measured against."""
        access = self.access
        fast, edge = with_gradients(access.model, access.model, self.images[:2])
        same = {"batch": access.batch, "draws": access.draws, "budget": access.budget}
        made = ModelAccess(access.model, fast=fast, confirm=edge > 0, **same)
        made.surrogate = cache(lambda: unsaturated(access.model, self.images[:2]))
        return made

    def pgd(self, places: Tensor, epsilon: float, stage: int, steps: int = STEPS, loss: Loss = cross_entropy) -> Run:
        """PGD on some of the right images (n,), from a start that the stage decides."""
        generator = self.generator(stage)
        return pgd(self.access, self.x[places], self.y[places], epsilon, generator, steps, loss, self.norm)

    def baseline(self, epsilon: float, loss: Loss = cross_entropy) -> Run:
        """Baseline PGD on the right images, once per epsilon and loss: 20 steps from a uniform start, equal for all losses."""
        key = (loss, epsilon)
        if key not in self._runs:
            self.need(price(len(self.right), STEPS))
            self._runs[key] = self.pgd(torch.arange(len(self.right)), epsilon, 1, STEPS, loss)
        return self._runs[key]

    def out_of_reach(self, places: Tensor, epsilon: float) -> int:
        """How many of the right images at these places (n,), if three or more, baseline PGD does not fool in a ball `WIDER` times as large either."""
        if len(places) < LEAST:
            return 0
        self.need(price(len(places), STEPS))
        count = int((~self.pgd(places, WIDER * epsilon, 12).ever).sum())
        return count if count >= LEAST else 0

    def note(self, attack: str, epsilon: float, places: Tensor, points: Tensor) -> None:
        """Remember the images (n, C, H, W), made from the right images at `places` (n,), with which an attack of the checks fooled the model."""
        self._noted.append((attack, epsilon, places, points))

    def attacks(self) -> list[tuple[str, float, Tensor, Tensor]]:
        """Name, epsilon, places among the right images and fooling images of every attack that was run so far."""
        names: dict[Loss, str] = {cross_entropy: "baseline PGD", margin: "PGD on the margin"}
        runs = [(names[loss], epsilon, run) for (loss, epsilon), run in self._runs.items()]
        shared = [(name, epsilon, run.fooled.nonzero()[:, 0], run.last[run.fooled]) for name, epsilon, run in runs]
        return [*self._noted, *shared]

    def not_fooled(self, epsilon: float) -> Tensor:
        """Which of the right images (r,) the attack under examination does not fool: the sweep where there is one, else baseline PGD."""
        if self.swept is None:
            return ~self.baseline(epsilon).fooled
        largest = max(self.swept.whole.epsilons)
        if epsilon > largest * (1 + 1e-9):
            raise NotRun(f"the sweep ends at epsilon {self.written(largest)}")
        radius = self.swept.whole.radius[self.places].to(self.labels.device)
        return (radius > epsilon)[self.right]

    def informative_epsilon(self, examined: bool = False) -> float:
        """The largest tested epsilon at which an attack leaves at least a tenth of the images, and three: where another could do better.

        The smallest tested one where hardly any are left anywhere.

        Args:
            examined: left by the attack under examination, not by baseline PGD.
        """
        least = max(LEAST, len(self.labels) / 10)
        for epsilon in reversed(self.tested):
            left = self.not_fooled(epsilon) if examined else ~self.baseline(epsilon).fooled
            if int(left.sum()) >= least:
                return epsilon
        return self.tested[0]

    @property
    def examined(self) -> str:
        """What the attack under examination is called in a sentence."""
        return "baseline PGD" if self.swept is None else "the sweep"

    def fooled(self, points: Tensor, places: Tensor) -> Tensor:
        """Which points (n, C, H, W), made from the right images at `places` (n,), fool the model, for a forward pass each."""
        return fools(self.access.logits(points), self.y[places])

    def confirmed(self, points: Tensor, places: Tensor, epsilon: float) -> Tensor:
        """The same of an attack that is compared with the examined one, so held to the grey levels to which that is held."""
        if self.levels and len(points):
            points = to_levels(points, self.x[places], epsilon, self.levels).to(points)
        return self.fooled(points, places)
