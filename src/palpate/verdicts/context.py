"""The case: the images, the model and the sweep that the checks examine, and the runs that several of them look at.

A usual attack is run once per epsilon and shared, because its passes are most of the budget; whichever check asks first pays for it.
"""

import dataclasses
from functools import cached_property

import torch
from torch import Tensor, nn

from palpate.attacks.losses import Loss, cross_entropy, margin
from palpate.attacks.norms import seeded
from palpate.attacks.result import Sweep
from palpate.models.predict import Images
from palpate.verdicts.baselines import STEPS, Run, climb, fools, price
from palpate.verdicts.door import Door, Ledger, NotRun
from palpate.verdicts.verdict import LEAST


@dataclasses.dataclass(frozen=True)
class Found:
    """What a sweep says about the case's m images and, for the audit, about all N.

    Attributes:
        sweep: the sweep, or None where it cannot belong to these images.
        images: all N clean images.
        places: (m,), which of them are the case's.
        radius: (m,), the sweep's radii for these, NaN where it failed.
        largest: the sweep's largest epsilon; beyond it, it says nothing.
        reason: why its radii cannot be compared with the checks' l∞ attacks, or "".
        levels: grey levels that the sweep was held to, or 0.
    """

    sweep: Sweep | None
    images: Images
    places: Tensor
    radius: Tensor
    largest: float
    reason: str = ""
    levels: int = 0


class Case:
    """What is examined.

    Args:
        door, sibling: the model, and one trained independently of it or None.
        ledger: shared by both.
        images: (m, C, H, W) on the model's device, supposedly in [0, 1].
        labels: (m,).
        epsilons: rising.
        found: the sweep's word on these images, or None.
        training: the model's modules that were in training mode when it was handed over.
        seed: of every draw.

    Attributes:
        tested: at most three of the epsilons, the largest among them: where independent attacks are run.
    """

    def __init__(
        self,
        door: Door,
        sibling: Door | None,
        ledger: Ledger,
        images: Tensor,
        labels: Tensor,
        epsilons: tuple[float, ...],
        found: Found | None,
        training: frozenset[nn.Module],
        seed: int,
    ) -> None:
        self.door, self.sibling, self.ledger = door, sibling, ledger
        self.images, self.labels, self.epsilons, self.found, self.seed = images, labels, epsilons, found, seed
        last = len(epsilons) - 1
        self.tested = tuple(epsilons[index] for index in sorted({last // 3, 2 * last // 3, last}))
        self.training = training
        self._usual: dict[float, Run] = {}
        self._margin: dict[float, Run] = {}
        self._noted: list[tuple[str, float, Tensor]] = []

    def generator(self, stage: int) -> torch.Generator:
        """Random numbers that depend on the seed and the stage alone, not on which checks ran before."""
        return seeded(self.seed, 0, stage)

    @cached_property
    def outside(self) -> int:
        """How many images hold values outside [0, 1], or values that are no numbers."""
        flat = self.images.flatten(1)
        return int((~((flat >= -1e-6) & (flat <= 1 + 1e-6)).all(1)).sum())

    @cached_property
    def clean(self) -> Tensor:
        """Logits (m, K) of the clean images.

        Raises:
            NotRun: the images are not in [0, 1], where an attack would replace them by others.
        """
        if self.outside:
            raise NotRun("the images are not in [0, 1], so a ball inside [0, 1] means nothing for them")
        logits = self.door.logits(self.images)
        if int(self.labels.max()) >= logits.shape[1] or int(self.labels.min()) < 0:
            raise NotRun(f"a label lies outside the model's {logits.shape[1]} classes")
        return logits

    @cached_property
    def right(self) -> Tensor:
        """Which of the images are classified correctly when clean (r,), as places.

        Raises:
            NotRun: there are fewer than can show a failure.
        """
        margins = margin(self.clean, self.labels)
        places = ((margins < 0) & self.clean.isfinite().all(1)).nonzero()[:, 0]
        if len(places) < LEAST:
            raise NotRun(
                f"{len(places)} of {len(self.labels)} images are classified correctly when clean, "
                f"and at least {LEAST} are needed"
            )
        return places

    @property
    def x(self) -> Tensor:
        """The images (r, C, H, W) that are right when clean: the only ones an attack can change anything about."""
        return self.images[self.right]

    @property
    def y(self) -> Tensor:
        """Their labels (r,)."""
        return self.labels[self.right]

    @cached_property
    def median_margin(self) -> float:
        """Median of the clean margin, true logit minus the best other, over the right images."""
        return float(-margin(self.clean, self.labels)[self.right].quantile(0.5))

    def points(self, count: int) -> float:
        """So many images as points of accuracy on the case's images."""
        return 100 * count / len(self.labels)

    def usual(self, epsilon: float) -> Run:
        """The usual attack at an epsilon: cross-entropy PGD with 20 steps from a uniform start, once."""
        return self._run(self._usual, epsilon, cross_entropy)

    def by_margin(self, epsilon: float) -> Run:
        """The same attack, from the same start, on the margin."""
        return self._run(self._margin, epsilon, margin)

    def note(self, attacker: str, epsilon: float, fooled: Tensor) -> None:
        """Remember which of the right images (r,) an attack of the checks fooled."""
        self._noted.append((attacker, epsilon, fooled))

    def noted(self) -> list[tuple[str, float, Tensor]]:
        """What every attack made so far fooled (r,), the shared ones included."""
        runs = [("the usual attack", run) for run in self._usual.values()]
        runs += [("PGD on the margin", run) for run in self._margin.values()]
        return self._noted + [(attacker, run.epsilon, run.fooled) for attacker, run in runs]

    def _run(self, kept: dict[float, Run], epsilon: float, loss: Loss) -> Run:
        if epsilon not in kept:
            self.ledger.need(price(len(self.right), STEPS))
            kept[epsilon] = climb(self.door, self.x, self.y, epsilon, self.generator(1), STEPS, loss)
        return kept[epsilon]

    def standing(self, epsilon: float) -> Tensor:
        """Which of the right images (r,) the attack under examination leaves standing: the sweep where there is one, else the usual attack."""
        if self.found is None:
            return ~self.usual(epsilon).fooled
        if self.found.reason:
            raise NotRun(self.found.reason)
        if epsilon > self.found.largest * (1 + 1e-9):
            raise NotRun(f"the sweep ends at epsilon {self.found.largest:g}")
        return (self.found.radius > epsilon)[self.right]

    def arena(self, examined: bool = False) -> float:
        """The largest tested epsilon at which at least a tenth of the images, and three, still stand: where another attack could do better.

        The smallest tested one where hardly any stand anywhere.

        Args:
            examined: standing by the attack under examination, not by the usual one.
        """
        least = max(LEAST, len(self.labels) / 10)
        for epsilon in reversed(self.tested):
            standing = self.standing(epsilon) if examined else ~self.usual(epsilon).fooled
            if int(standing.sum()) >= least:
                return epsilon
        return self.tested[0]

    @property
    def subject(self) -> str:
        """What the attack under examination is called in a sentence."""
        return "cross-entropy PGD" if self.found is None else "the sweep"

    def fooled(self, points: Tensor, places: Tensor) -> Tensor:
        """Which of these stored images (n,), belonging to `places` of the right ones, fool the model, for a forward pass each."""
        return fools(self.door.logits(points), self.y[places])
