"""The minimum-norm attack: one descent per image finds the smallest radius that fools it, for the price of a single attack.

Other tools attack every image from scratch at every epsilon. Here every image has its own radius (`descent`), so the whole curve costs what they pay
for a point; what is found is predicted again by the model itself before it counts.
"""

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator

from palpate.attacks.candidates import Config
from palpate.attacks.descent import descend, further_classes, init
from palpate.attacks.ensemble import Parts, ensemble
from palpate.attacks.grey_levels import onto_levels
from palpate.attacks.problem import Block, Problem
from palpate.attacks.quantize import on_grid
from palpate.attacks.rescue import MOST_CLASSES, last_attempt, misled, see_what_kind
from palpate.attacks.result import Sweep
from palpate.attacks.spec import Attack
from palpate.core.registry import ATTACKS

CONFIGS = {
    "fast": Config(
        steps=6, longer=0, classes=3, further=0, candidates=2, prune=((1, 1),), searches=2, limit=6, attempt=1, near=0.0
    ),
    "standard": Config(),
    # Its second descent is longer and starts from more classes, since the parts that follow only look below what it finds.
    "ensemble": Config(
        steps=25, classes=9, candidates=9, reach=3.0, prune=((3, 4), (7, 2)), shrink=0.005, falling=0.015, attempt=10, near=0.0
    ),
}  # fmt: skip
BATCHES = 4
"""Batches per block: candidates that end early are replaced from the rest of the block, and only its last batches run half empty. Eight take as
long, and a tenth more memory."""


@ATTACKS.register("minimum-norm")
class MinimumNorm(Attack):
    """The smallest perturbation that fools each image, hence robust accuracy at every epsilon at once; the cost does not depend on how many."""

    kind: ClassVar[str] = "minimum-norm"
    splits: ClassVar[bool] = True
    spelled: ClassVar[frozenset[str]] = Attack.spelled | {"strength", "levels"}

    strength: Literal["fast", "standard", "ensemble"] = Field(
        "standard",
        description="fast (6 steps), standard (12 to 22 steps, more classes) or ensemble (restarts, targets, APGD and Square on top)",
    )
    seed: int = Field(0, ge=0, description="of all random starts, which depend on seed and image alone")
    draws: int = Field(1, ge=1, description="answers averaged per pass, for models that are not deterministic")
    precision: Literal["float32", "bfloat16"] = Field("float32", description="of gradients; successes are float32's")
    levels: int | None = Field(
        None,
        ge=2,
        le=65536,
        description="256 keeps the attack to images that an 8-bit file can hold, 4096 to 12 bits, so that radii are whole levels; they are judged as "
        "read back from a PNG. In l∞, on images that come from such files",
    )

    @model_validator(mode="after")
    def _levels_are_linf(self) -> "MinimumNorm":
        if self.levels and self.norm != "linf":
            raise ValueError(f"levels go with norm 'linf' only, given {self.norm!r}; leave levels out")
        return self

    def _stem(self) -> str:
        return self.strength + (
            "" if self.levels is None else "-8bit" if self.levels == 256 else f"-{self.levels}levels"
        )

    def expected_passes(self, epsilons: int) -> int:
        """As measured (benchmarks/README.md): they do not depend on the number of epsilons."""
        return {"fast": 10, "standard": 28, "ensemble": 550}[self.strength]

    def run(self, problem: Problem) -> Iterator[Sweep]:
        """Descend in blocks of a few batches. Interrupted by Ctrl-C, what a block has finished is given before the interrupt goes on."""
        access = problem.access(self.draws, self.precision, decisions=True)
        for block in problem.blocks(access, self.norm, self.seed, BATCHES, self.channels):
            if self.levels:
                on_grid(block.images, self.levels)
            stopped = False
            try:
                self._attack(block)
            except KeyboardInterrupt:
                if self.levels:  # images on the grid are made last, so that none is finished
                    raise
                stopped = True
            found = block.result(self.how, levels=self.levels)
            del block  # else two blocks are in memory while the next is made
            yield found
            del found
            if stopped:
                raise KeyboardInterrupt

    def _attack(self, block: Block) -> None:
        if self.strength == "ensemble":  # all of "standard" first, so that no radius is larger than there
            _descents(block, "standard")
            block.best.keep()
        _descents(block, self.strength)
        if self.strength == "ensemble":
            ensemble(block, Parts())
        if self.levels:
            onto_levels(block, self.levels)


def _descents(block: Block, strength: str) -> None:
    """The descents from the clean images, what is done where a head misled them, and the last attempt at the largest epsilon."""
    config, every = CONFIGS[strength], torch.arange(len(block), device=block.clean.device)
    descend(block, config, every, lambda image: init(block, config, image), "descent")
    if strength == "standard":
        see_what_kind(block)
    further_classes(block, config)
    if strength == "standard":
        misled(block, config, 1)
    elif strength == "ensemble" and not block.head.jumps:  # else its restarts do the same again
        misled(block, Parts().descent, MOST_CLASSES)
    last_attempt(block, config)


ATTACKS.add("fast", MinimumNorm(strength="fast"))
ATTACKS.add("standard", MinimumNorm(strength="standard"))
ATTACKS.add("ensemble", MinimumNorm(strength="ensemble"))
