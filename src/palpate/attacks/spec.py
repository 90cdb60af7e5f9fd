"""Specifications of attacks: each attack is one frozen class with its own settings and its own `run`, registered by name in `ATTACKS`."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from palpate.attacks.norms import Norm
from palpate.attacks.problem import Problem
from palpate.attacks.result import Sweep
from palpate.core.epsilon import Scale, epsilon_grid
from palpate.core.errors import InputError
from palpate.core.registry import ATTACKS
from palpate.core.spec import Spec, SpecError


class Attack(Spec):
    """The base of every attack's specification: settings that change the result, and nothing else.

    A subclass sets `kind`, the name it is registered under, adds its settings as fields, and defines `run`. It may narrow `norm` to those it knows.

    Raises:
        SpecError: (an InputError) a setting that is unknown, of another attack, ignored by the options chosen, or has a value that is not allowed.
    """

    kind: ClassVar[str] = "attack"

    spelled: ClassVar[frozenset[str]] = frozenset({"norm", "seed"})
    """Settings that `name` writes in a way of their own."""

    uses_gradients: ClassVar[bool] = True
    """Whether it needs a network through which a gradient reaches the images."""

    takes_targets: ClassVar[bool] = True
    """Whether it can look for a perturbation to a given class."""

    every_epsilon: ClassVar[bool] = False
    """Whether it makes an image at each epsilon (`Sweep.worst`), and not one image that is valid at all larger ones."""

    splits: ClassVar[bool] = False
    """Whether blocks after the first may be attacked in any order, by several processes: they need only what the first one carries."""

    learns: ClassVar[bool] = False
    """Whether it makes one perturbation for all images, learned from `training` images of its own."""

    norm: Norm = Field("linf", description="of the perturbation: linf, l2 or l1")
    channels: Literal["tied", "free"] = Field(
        "tied", description="tied: an image whose channels are equal stays grey, as files of scanners are"
    )

    @property
    def name(self) -> str:
        """What tables call the attack: kind, steps, what is not as by default, norm unless l∞, and seed unless 0.

        >>> make_attack({"attack": "standard", "norm": "l2", "seed": 3}).name, make_attack("foolbox-pgd").name
        ('standard-l2#3', 'foolbox-pgd-40')
        """
        words, seed = [self._stem()], getattr(self, "seed", 0)
        for key, field in type(self).model_fields.items():
            value = getattr(self, key)
            if key == "steps" or (key not in self.spelled and value != field.default):
                words.append(
                    f"{value}" if key == "steps" or isinstance(value, str) else f"{key.replace('_', '-')}{value}"
                )
        if self.norm != "linf":
            words.append(self.norm)
        return "-".join(words) + (f"#{seed}" if seed else "")

    def _stem(self) -> str:
        return self.kind

    def grid(self, epsilons: Any, scale: Scale | None = None) -> tuple[float, ...]:
        """Epsilons as numbers, rising, as `palpate.core.epsilon.epsilon_grid` reads them."""
        return epsilon_grid(epsilons, self.norm, scale)

    def expected_passes(self, epsilons: int) -> int:
        """Passes per image, forward and backward as one, that a dry run plans with for so many epsilons."""
        return epsilons * (getattr(self, "steps", 40) + 1)

    def run(self, problem: Problem) -> Iterator[Sweep]:
        """Attack block after block of consecutive images, and give the sweep of each."""
        raise NotImplementedError(f"attack {self.kind!r} has no run")

    def to_dict(self) -> dict[str, Any]:
        """The specification as JSON-able values, `make_attack` of which is the same again: {"attack": kind, …}."""
        return {"attack": self.kind, **self.model_dump(mode="json", exclude_none=True)}

    @property
    def how(self) -> dict[str, Any]:
        """What a sweep remembers of its attack."""
        return {"name": self.name, **self.to_dict()}

    @classmethod
    def unknown_key(cls, key: str) -> str:
        """What to say of a setting that this attack does not have: whose it is, or the nearest of its own."""
        classes = {name: entry for name, entry in ATTACKS.items() if isinstance(entry, type)}
        owners = [name for name, entry in classes.items() if key in entry.model_fields]
        if not owners:
            return super().unknown_key(key)
        return f"{cls.kind} does not use it, it is a setting of {', '.join(owners)}; known keys: {', '.join(cls.model_fields)}"


def make_attack(value: "str | Mapping[str, Any] | Attack") -> Attack:
    """The specification that a name, a mapping of settings, or a specification means.

    Args:
        value: "standard"; or {"attack": "standard", "norm": "l2"}, as a study's file has it; or a specification, which is given back.

    Raises:
        InputError: an attack that is not registered, or a setting that it does not use; with the nearest known name.

    >>> make_attack("fast") == make_attack({"attack": "minimum-norm", "strength": "fast"})
    True
    """
    if isinstance(value, Attack):
        return value
    if not isinstance(value, str | Mapping):
        raise InputError(f"attack must be a name, a mapping or a specification, given {value!r}")
    settings: dict[str, Any] = {"attack": value} if isinstance(value, str) else dict(value)
    if "attack" not in settings:
        raise InputError(f"attack: is required, the name of an attack: one of {', '.join(map(repr, ATTACKS))}")
    name = settings.pop("attack")
    entry = ATTACKS[name]
    if isinstance(entry, Attack):  # a specification with some settings fixed
        fixed = {key: getattr(entry, key) for key in entry.model_fields_set}
        for key in fixed.keys() & settings.keys():
            words = f"is {fixed[key]!r} by the name {name!r}; write attack = {entry.kind!r} to choose it"
            raise SpecError(f"attack {name!r}", [((key,), f"{words}, given {settings[key]!r}")])
        settings, entry = fixed | settings, type(entry)
    return entry.read(settings, f"attack {name!r}")
