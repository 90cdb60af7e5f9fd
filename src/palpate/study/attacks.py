"""`[[attacks]]` and `[[corruptions]]` of a study: which one, at which epsilons or severities, towards what, on how many images."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_serializer, model_validator

from palpate.attacks.spec import Attack, make_attack
from palpate.core.epsilon import epsilon_grid, in_unit
from palpate.core.errors import InputError
from palpate.core.spec import SpecError
from palpate.corruptions.api import Corrupted
from palpate.corruptions.corruption import find_corruption, severity_grid
from palpate.study.part import Part


def _radii(values: Any) -> Any:
    """Epsilons of any norm, rising; where one is in a unit, such as "8 HU", as they are written, until the images are known."""
    in_units = isinstance(values, list | tuple) and any(map(in_unit, values))
    return tuple(values) if in_units else epsilon_grid(values, "any")


Epsilons = Annotated[tuple[float | str, ...], BeforeValidator(_radii)]

DIRECTIONS = {"missed disease": 0, "false alarm": 1}
"""The class of two that a perturbation must lead to."""


class AttackSpec(Part):
    """An attack of the study: `attack`, a registered name, with that attack's settings beside it, and what is said here.

    >>> AttackSpec(attack="standard", norm="l2", images=64).name
    'standard-l2'
    >>> AttackSpec(attack="standard", target="melanoma").name, AttackSpec(attack="fast", direction="false alarm").name
    ('to-melanoma-by-standard', 'false-alarm-by-fast')
    """

    attack: Attack
    images: int | None = Field(None, ge=1)
    """at most so many test images; all when absent"""
    epsilons: Epsilons | None = None
    """instead of the task's and the study's epsilons"""
    target: str | int | None = None
    """the class, by name or number, that perturbations must lead to; its own images are left out"""
    direction: Literal["missed disease", "false alarm"] | None = None
    """of two classes: attack only images of class 1, the disease, or only those of class 0"""

    @model_validator(mode="before")
    @classmethod
    def _with_its_settings(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return {"attack": make_attack(value)}
        if "method" in value:
            raise SpecError(cls.__name__, [(("method",), cls.unknown_key("method"))])
        own = cls.model_fields.keys() - {"attack"}
        settings = {key: setting for key, setting in value.items() if key not in own}
        attack = settings["attack"] if isinstance(settings.get("attack"), Attack) else make_attack(settings)
        return {"attack": attack, **{key: value[key] for key in value if key in own}}

    @model_validator(mode="after")
    def _fits(self) -> "AttackSpec":
        if self.attack.learns and self.epsilons is not None:
            self.attack.grid(self.epsilons)
        fit(self.epsilons, self.attack.norm)
        if self.target is not None and self.direction is not None:
            raise ValueError("target and direction are both given; leave one of them out")
        if self.aimed and not self.attack.takes_targets:
            raise ValueError(f"target and direction are not for attack {self.attack.kind!r}; leave them out")
        return self

    @model_serializer
    def _flat(self) -> dict[str, Any]:
        own = {key: getattr(self, key) for key in type(self).model_fields if key != "attack"}
        return self.attack.to_dict() | {key: value for key, value in own.items() if value is not None}

    @property
    def aimed(self) -> bool:
        """Whether perturbations must lead to a class that is said."""
        return self.target is not None or self.direction is not None

    @property
    def name(self) -> str:
        """What tables call it."""
        goal = self.direction or f"to {self.target}"
        return f"{re.sub('[^A-Za-z0-9]+', '-', goal)}-by-{self.attack.name}" if self.aimed else self.attack.name

    def goal(self, classes: Sequence[str]) -> int | None:
        """The class of a task that perturbations must lead to; None where any will do.

        Raises:
            InputError: the task has no such class, or not two classes and so no direction.
        """
        if self.direction is not None:
            if len(classes) != 2:
                why = f"and the task has {len(classes)}; give the target, one of {', '.join(classes)}"
                raise InputError(f"attack {self.name}: direction is for two classes, {why}")
            return DIRECTIONS[self.direction]
        if self.target is None:
            return None
        place = classes.index(self.target) if self.target in classes else self.target
        if not isinstance(place, int) or not 0 <= place < len(classes):
            known = f"one of {', '.join(map(repr, classes))}, or its number from 0"
            raise InputError(f"attack {self.name}: target must be {known}, given {self.target!r}")
        return place


def fit(epsilons: tuple[float | str, ...] | None, norm: str) -> None:
    """Refuse epsilons that are none of the norm; those in a unit are looked at when the images are known."""
    known = [each for each in epsilons or () if not in_unit(each)]
    if known:
        epsilon_grid(known, norm)


class CorruptionSpec(Part):
    """A corruption of the study: its registered name alone, or with settings.

    >>> CorruptionSpec(corruption="jpeg", severities=[50, 70]).grid(64)
    (50.0, 70.0)
    """

    corruption: str
    """a registered corruption"""
    severities: tuple[float | str, ...] | None = None
    """in its unit; "2 mm" for lengths in pixels; five that halve from the largest on when absent"""
    draws: int | None = Field(None, ge=1)
    """of each image, of a stochastic corruption; 3 when absent, 32 of the worst"""
    over: Literal["half", "worst"] = "half"
    """whether half of the draws count, or the worst"""
    seed: int = Field(0, ge=0)
    """of all draws"""
    pixel_spacing: float | None = Field(None, gt=0)
    """millimetres per pixel, for severities in mm"""
    images: int | None = Field(None, ge=1)
    """at most so many test images; all when absent"""

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

    @property
    def name(self) -> str:
        """What tables call it."""
        return self.attack.name

    def grid(self, side: int) -> tuple[float, ...]:
        """The severities for images of so many pixels a side, rising.

        Raises:
            InputError: a severity outside the range.
        """
        return severity_grid(find_corruption(self.corruption), self.severities, side, self.pixel_spacing)
