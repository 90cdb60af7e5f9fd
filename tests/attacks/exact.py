"""The exact smallest radius of linear functions within a box, found by bisection pixel by pixel in numpy: independent of `palpate.attacks.reach`."""

import numpy as np

LARGEST = {"linf": 1.0, "l2": 1e3, "l1": 1e6}


def gain(weight: np.ndarray, room: np.ndarray, radius: float, norm: str) -> float:
    """The most that Σ weight · moved gains with 0 ≤ moved ≤ room and ‖moved‖ ≤ radius; weight and room are not negative."""
    if norm == "linf":
        return float(weight @ np.minimum(radius, room))
    if norm == "l2":
        low, high = 0.0, 1.0
        while np.linalg.norm(np.minimum(high * weight, room)) < radius and high < 1e12:
            high *= 2
        for _ in range(80):
            middle = (low + high) / 2
            short = np.linalg.norm(np.minimum(middle * weight, room)) < radius
            low, high = (middle, high) if short else (low, middle)
        return float(weight @ np.minimum(high * weight, room))
    found = 0.0
    for place in np.argsort(-weight):
        moved = min(radius, room[place])
        found, radius = found + weight[place] * moved, radius - moved
    return found


def radius(gradient: np.ndarray, image: np.ndarray, wanted: float, norm: str) -> float:
    """The smallest radius within which a linear function rises by `wanted`, images in [0, 1]; infinite where none does."""
    weight, room = np.abs(gradient), np.where(gradient > 0, 1 - image, image)
    if wanted <= 0 or weight @ room < wanted:
        return 0.0 if wanted <= 0 else np.inf
    low, high = 0.0, LARGEST[norm]
    for _ in range(70):
        middle = (low + high) / 2
        low, high = (middle, high) if gain(weight, room, middle, norm) < wanted else (low, middle)
    return high


def nearest(weight: np.ndarray, bias: np.ndarray, image: np.ndarray, norm: str) -> float:
    """The exact radius of an image (D,) for logits weight (K, D) · image + bias."""
    logits = weight @ image + bias
    true = int(logits.argmax())
    wrong = [j for j in range(len(weight)) if j != true]
    return min(radius(weight[j] - weight[true], image, logits[true] - logits[j], norm) for j in wrong)
