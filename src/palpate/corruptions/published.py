"""What is stated of the corruptions in tables: `facts.toml` says what they are, `published.toml` at which levels benchmarks measure them."""

from typing import Any

from palpate.core.io import facts_beside

FACTS, PARAMETERS = facts_beside(__file__, "facts.toml"), facts_beside(__file__, "published.toml")
"""Of each corruption its facts; and by benchmark the parameters of its levels, as published and in that order."""
_PHOTONS = PARAMETERS.pop("photons")
PARAMETERS["quantum-noise"] = {name: [count**-0.5 for count in counts] for name, counts in _PHOTONS.items()}


def stated(name: str) -> dict[str, Any]:
    """The fields of a corruption of palpate's own; those of another are stated where it is registered."""
    facts = FACTS.get(name, {})
    return facts | {"levels": levels(name, facts.get("identity", 0.0), facts.get("direction", 1))}


def levels(name: str, identity: float = 0.0, direction: int = 1) -> dict[str, tuple[float, ...]]:
    """The levels of a corruption as rising severities, by benchmark; none where no benchmark has it.

    >>> levels("jpeg", 100, -1)["dermamnist-c"]
    (70, 80, 85, 90, 93)
    """
    found = PARAMETERS.get(name, {}).items()
    return {by: tuple(sorted(round(direction * (value - identity), 10) for value in values)) for by, values in found}
