"""Wilson's interval of independent images, as scipy has it."""

from scipy.stats import binomtest


def wilson(hits: int, n: int, level: float = 0.95) -> tuple[float, float]:
    found = binomtest(int(hits), int(n)).proportion_ci(level, method="wilson")
    return found.low, found.high
