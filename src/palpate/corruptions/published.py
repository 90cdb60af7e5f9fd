"""The levels at which published benchmarks measure; `published.toml` holds them with their sources."""

import tomllib
from pathlib import Path

PARAMETERS: dict[str, dict[str, list[float]]] = tomllib.loads(
    Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
)
"""Of each corruption and benchmark the parameters of its levels, as published and in that order."""
PARAMETERS["quantum-noise"] = {
    name: [count**-0.5 for count in counts] for name, counts in PARAMETERS.pop("photons").items()
}


def levels(name: str, identity: float = 0.0, direction: int = 1) -> dict[str, tuple[float, ...]]:
    """The levels of a corruption as rising severities, by benchmark.

    >>> levels("jpeg", 100, -1)["dermamnist-c"]
    (70, 80, 85, 90, 93)
    """
    found = PARAMETERS[name].items()
    return {
        benchmark: tuple(sorted(round(direction * (value - identity), 10) for value in values))
        for benchmark, values in found
    }
