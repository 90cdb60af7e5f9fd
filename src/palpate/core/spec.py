"""The base of every specification: frozen, validated, closed to unknown keys, and hashed into fingerprints.

Everything that changes a result is a field of a specification, and nothing else is: devices, folders and progress bars are arguments of a run.
Here, too, is the one place that words what is wrong with a specification, for Python and TOML alike.
"""

import difflib
import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from palpate.core.epsilon import parse_epsilon
from palpate.core.errors import InputError, readable

Epsilon = Annotated[float, BeforeValidator(parse_epsilon)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]

Place = tuple[int | str, ...]


class SpecError(InputError):
    """Faults of a specification.

    Attributes:
        source: what was read, for the message: a file or the name of a specification.
        faults: the place of each fault, as keys and positions in lists, and what is wrong there.
    """

    def __init__(self, source: str, faults: list[tuple[Place, str]]):
        lines = [f"{_written(place)}: {message}" if place else message for place, message in faults]
        text = lines[0] if len(lines) == 1 else f"{len(lines)} faults\n" + "\n".join(f"  {line}" for line in lines)
        super().__init__(f"{source}: {text}")
        self.source, self.faults = source, faults


class Spec(BaseModel):
    """The base of all specifications: immutable, and closed to unknown keys.

    Raises:
        SpecError: (an InputError) a key is unknown, missing or has a value that is not allowed; lists every fault.

    >>> class Size(Spec):
    ...     size: int = 224
    >>> Size(siez=64)
    Traceback (most recent call last):
    palpate.core.spec.SpecError: Size: siez: unknown key; did you mean `size`?
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, ser_json_inf_nan="constants", use_attribute_docstrings=True
    )

    def __init__(self, /, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise SpecError(type(self).__name__, _faults(type(self), error)) from None

    @classmethod
    def read(cls, data: Mapping[str, Any], source: str) -> Self:
        """Make the specification from a mapping, such as a TOML file gives; `source` names it in errors.

        Raises:
            SpecError: as the constructor.
        """
        try:
            return cls(**data)
        except SpecError as error:
            raise SpecError(source, error.faults) from None

    @classmethod
    def unknown_key(cls, key: str) -> str:
        """What to say of a key that this specification does not have; a specification may override it to say more."""
        near = difflib.get_close_matches(key, cls.model_fields, n=1)
        known = f"known keys: {', '.join(cls.model_fields)}"
        return f"unknown key; did you mean `{near[0]}`?" if near else f"unknown key; {known}"

    def to_dict(self) -> dict[str, Any]:
        """The specification as JSON-able values, defaults included."""
        return self.model_dump(mode="json")


def fingerprint(value: Any) -> str:
    """Hash JSON-able values to 16 hex digits, independent of the order of keys.

    >>> fingerprint({"a": 1, "b": 2.5}) == fingerprint({"b": 2.5, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _faults(cls: type[Spec], error: ValidationError) -> list[tuple[Place, str]]:
    """Each fault of a specification with its place; those of a specification inside it come with their own places below."""
    details = error.errors(include_url=False)
    found: list[tuple[Place, str]] = []
    for detail in details:
        place, inner = detail["loc"], detail.get("ctx", {}).get("error")
        if isinstance(inner, SpecError):
            found += [((*place, *below), message) for below, message in inner.faults]
        elif detail["type"] == "extra_forbidden":
            found.append((place, cls.unknown_key(str(place[-1]))))
        elif detail["type"] == "missing":
            found.append((place, "is required"))
        elif detail["type"] != "too_short" or not any(
            other["loc"][: len(place)] == place and other is not detail for other in details
        ):  # "too short" only repeats that an item of the list was faulty
            given = detail["input"]
            shown = "" if isinstance(given, Mapping | list | tuple) else f", given {readable(repr(given), 200)}"
            message = detail["msg"].removeprefix("Value error, ")
            found.append((place, message if "given" in message else message + shown))
    return found


def _written(place: Place) -> str:
    """A place as a user would write it.

    >>> _written(("attacks", 0, "steps"))
    'attacks[1].steps'
    """
    text = ""
    for part in place:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text
