"""Values brought together by a key, in the order in which they come."""

from collections.abc import Iterable
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


def grouped(pairs: Iterable[tuple[Key, Value]]) -> dict[Key, list[Value]]:
    """Of each key the values that come with it.

    >>> grouped((len(word), word) for word in ("a", "the", "an", "is"))
    {1: ['a'], 3: ['the'], 2: ['an', 'is']}
    """
    found: dict[Key, list[Value]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found
