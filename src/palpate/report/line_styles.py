"""How models are drawn in every figure of a report: colour, dash and marker, and where epsilons stand on the axis.

Colours have a contrast of at least 3:1 with a white and with a near-black ground, so that one figure serves light and dark. Models differ in dash
and marker too, for readers who cannot tell the colours apart.
"""

import dataclasses

import numpy as np

COLOURS = ("#2b7bba", "#d55e00", "#009e73", "#b05fa5", "#a8761d", "#6b7a8f", "#c44e7b", "#12939a")
DASHES = ("solid", "12px,3px", "12px,3px,3px,3px", "6px,2px", "16px,3px,2px,3px,2px,3px")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star", "triangle-down", "pentagon")
NEUTRAL = "#808080"


@dataclasses.dataclass(frozen=True)
class LineStyle:
    """How a model is drawn."""

    colour: str
    dash: str
    symbol: str


@dataclasses.dataclass(frozen=True)
class Axis:
    """Where epsilons stand on the horizontal axis: from 0, the clean image, to 1, the largest epsilon."""

    positions: dict[float, float]
    logarithmic: bool

    def place(self, epsilon: float) -> float | None:
        """The position of any epsilon in the range of the axis, between those of its neighbours; None outside."""
        known = sorted(self.positions)
        start = 1 if self.logarithmic else 0
        if not known[start] <= epsilon <= known[-1]:
            return None
        scale = np.log if self.logarithmic else np.asarray
        places = [self.positions[value] for value in known[start:]]
        return float(np.interp(scale(epsilon), scale(known[start:]), places))

    def within(self, epsilon: float | None) -> float:
        """The position of any epsilon, also one that lies below the smallest; None, and what lies above the largest, at the edge."""
        known = sorted(self.positions)
        if epsilon is None or epsilon >= known[-1]:
            return 1.0
        found = self.place(epsilon)
        return self.positions[known[1]] * epsilon / known[1] if found is None else found


def line_styles(names: list[str]) -> dict[str, LineStyle]:
    """One style per model: seeds of one architecture ("resnet18#0", "resnet18#1") share colour and dash, and differ in marker."""
    kinds = list(dict.fromkeys(name.rpartition("#")[0] or name for name in names))
    found: dict[str, LineStyle] = {}
    seen: dict[str, int] = {}
    for name in names:
        kind = name.rpartition("#")[0] or name
        place, again = kinds.index(kind), seen.setdefault(kind, 0)
        seen[kind] += 1
        symbol = SYMBOLS[(place + again * len(kinds)) % len(SYMBOLS)]
        found[name] = LineStyle(COLOURS[place % len(COLOURS)], DASHES[place % len(DASHES)], symbol)
    return found


def axis(epsilons: list[float]) -> Axis:
    """Lay out epsilons with 0 among them: evenly by value where none would crowd, else by logarithm with 0 set apart at the left.

    >>> axis([0.25, 0.5, 1.0])
    Axis(positions={0.0: 0.0, 0.25: 0.25, 0.5: 0.5, 1.0: 1.0}, logarithmic=False)
    >>> axis([0.01, 0.1, 1.0]).positions
    {0.0: 0.0, 0.01: 0.333..., 0.1: 0.666..., 1.0: 1.0}
    """
    values = np.array(sorted({0.0, *epsilons}))
    if len(values) < 3 or np.diff(values).min() >= 0.08 * values[-1]:
        return Axis(dict(zip(values.tolist(), (values / max(values[-1], 1e-300)).tolist(), strict=True)), False)
    logs = np.log(values[1:])
    places = np.concatenate([[0.0], logs - logs[0] + np.median(np.diff(logs))])  # 0 stands one usual step to the left
    return Axis(dict(zip(values.tolist(), (places / places[-1]).tolist(), strict=True)), True)
