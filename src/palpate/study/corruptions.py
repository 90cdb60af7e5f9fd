"""`[[corruptions]]` of a study: which corruption, at which severities, on how many images."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from palpate.corruptions.api import Corrupted
from palpate.corruptions.corruption import find_corruption, severity_grid
from palpate.study.part import Part


class CorruptionSpec(Part):
    """A corruption of the study: its registered name alone, or with settings.

    >>> CorruptionSpec(corruption="jpeg", severities=[50, 70]).grid(64)
    (50.0, 70.0)
    """

    corruption: str = Field(description="a registered corruption")
    severities: tuple[float | str, ...] | None = Field(
        None, description='in its unit; "2 mm" for lengths in pixels; five that halve from the largest on when absent'
    )
    draws: int | None = Field(
        None, ge=1, description="of each image, of a stochastic corruption; 3 when absent, 32 of the worst"
    )
    over: Literal["half", "worst"] = Field("half", description="whether half of the draws count, or the worst")
    seed: int = Field(0, ge=0, description="of all draws")
    pixel_spacing: float | None = Field(None, gt=0, description="millimetres per pixel, for severities in mm")
    images: int | None = Field(None, ge=1, description="at most so many test images; all when absent")

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return value if isinstance(value, Mapping) else {"corruption": value}

    @model_validator(mode="after")
    def _can_be_made(self) -> "CorruptionSpec":
        attack = self.attack
        if self.seed and not attack.corruption.stochastic:
            raise ValueError(f"seed is given, but corruption {self.corruption!r} draws nothing; leave it out")
        return self

    @property
    def attack(self) -> Corrupted:
        """What is run."""
        return Corrupted.of(find_corruption(self.corruption), self.draws, self.seed, self.over)

    def grid(self, side: int) -> tuple[float, ...]:
        """The severities for images of so many pixels a side, rising.

        Raises:
            InputError: a severity outside the range.
        """
        return severity_grid(find_corruption(self.corruption), self.severities, side, self.pixel_spacing)
