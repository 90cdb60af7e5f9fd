"""What is stated of the corruptions in tables: `facts.toml` says what they are, `published.toml` at which levels benchmarks measure them."""

import tomllib
from pathlib import Path
from typing import Any

FACTS, PARAMETERS = (
    tomllib.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))
    for name in ("facts.toml", "published.toml")
)
"""Of each corruption its facts; and by benchmark the parameters of its levels, as published and in that order."""
PARAMETERS["quantum-noise"] = {
    name: [count**-0.5 for count in counts] for name, counts in PARAMETERS.pop("photons").items()
}


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
    return {
        benchmark: tuple(sorted(round(direction * (value - identity), 10) for value in values))
        for benchmark, values in found
    }
