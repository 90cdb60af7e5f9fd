"""The base of every specification: frozen, validated, closed to unknown keys, and hashed into fingerprints.

Everything that changes a result is a field of a specification, and nothing else is: devices, folders and progress bars are arguments of the run.
"""

import hashlib
import json
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from palpate.core.epsilon import parse_epsilon

Epsilon = Annotated[float, BeforeValidator(parse_epsilon)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class Spec(BaseModel):
    """The base of all specifications: immutable, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

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
