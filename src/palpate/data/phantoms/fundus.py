"""An eye's fundus: optic disc, macula, vessel arcades, haemorrhages.

The sign is a cluster of hard exudates (small, sharp, yellow), which makes the image positive; its look-alike is a cluster of drusen
(fewer, wider, soft, of the same yellow and the same total light). Haemorrhages and reflexes along vessels are drawn in both classes
and say nothing.
"""

import numpy as np
from numpy.typing import NDArray

from palpate.data.phantoms.canvas import Plane, Scene, around, blend, ellipse, fill, smooth_noise, soft, stroke

_YELLOW = (1.0, 0.90, 0.45)
_BLOOD = (0.42, 0.08, 0.05)


def draw_fundus(rng: np.random.Generator, positive: bool, hide: bool, side: int) -> Scene:
    """Draw one eye (side, side, 3); `hide` leaves the exudates and drusen out and everything else as it is."""
    nasal = 1.0 if rng.random() < 0.5 else -1.0  # which way the disc lies: right or left eye
    disc = np.array([0.5 + nasal * rng.uniform(0.20, 0.26), rng.uniform(0.46, 0.54)])
    macula = disc + np.array([-nasal * rng.uniform(0.27, 0.31), rng.uniform(0.0, 0.04)])

    base = np.array([0.74, 0.36, 0.15]) * rng.uniform(0.75, 1.1) + rng.uniform(-0.05, 0.05, 3)
    picture = np.tile(base.astype(np.float32), (side, side, 1))
    picture *= 1 + (0.06 * smooth_noise(rng, 5, side) + 0.025 * smooth_noise(rng, 32, side))[..., None]
    glow = fill([ellipse(tuple(disc), (0.16, 0.16))], side, soften=0.07)
    picture *= 1 + 0.25 * glow[..., None]
    shade = fill([ellipse(tuple(macula), (0.06, 0.06))], side, soften=0.035)
    picture *= 1 - np.float32(rng.uniform(0.2, 0.4)) * shade[..., None]
    _vessels(rng, picture, disc, nasal, side)
    pale = fill([ellipse(tuple(disc), (rng.uniform(0.055, 0.07), rng.uniform(0.065, 0.085)))], side, soften=0.008)
    blend(picture, (1.0, 0.86, 0.58), pale * np.float32(rng.uniform(0.7, 0.95)))

    sign = _sign(rng, positive, macula, side)
    strength = rng.uniform(0.25, 0.95)
    if not hide:
        blend(picture, _YELLOW, np.float32(strength) * sign)
    _haemorrhages(rng, picture, side)
    picture *= fill([ellipse((0.5, 0.5), (0.485, 0.485), points=96)], side, soften=0.006)[..., None]
    return Scene(picture, around(sign, 0.03))


def _vessels(rng: np.random.Generator, picture: Plane, disc: NDArray[np.float64], nasal: float, side: int) -> None:
    """Draw four arcades with branches out of the disc, each getting thinner, in place."""
    thick, thin, reflex = [], [], []
    for up in (-1.0, 1.0):
        for away, sweep in ((-nasal, rng.uniform(0.50, 0.65)), (nasal, rng.uniform(0.15, 0.25))):
            t = np.linspace(0, 1, 28)
            rise = rng.uniform(0.27, 0.36) * np.sin(t * rng.uniform(1.6, 2.3)) + 0.01 * np.sin(
                t * 17 + rng.uniform(0, 6)
            )
            arcade = disc + np.stack([away * sweep * t**1.4, up * rise], axis=1)
            thick.append(arcade[:16])
            thin.append(arcade[14:])
            reflex.append(arcade[4:9])
            for start in rng.choice(np.arange(5, 24), 4, replace=False):
                heading = np.arctan2(*(arcade[start + 1] - arcade[start])[::-1]) + rng.choice([-1, 1]) * rng.uniform(
                    0.5, 1.0
                )
                steps = heading + np.cumsum(rng.uniform(-0.25, 0.25, 10))
                path = arcade[start] + rng.uniform(0.010, 0.022) * np.cumsum(
                    np.stack([np.cos(steps), np.sin(steps)], 1), axis=0
                )
                thin.append(np.concatenate([arcade[start][None], path]))
    blend(picture, _BLOOD, stroke(thin, 0.008, side) * np.float32(rng.uniform(0.35, 0.6)))
    blend(picture, _BLOOD, stroke(thick, 0.018, side, soften=0.002) * np.float32(rng.uniform(0.5, 0.8)))
    blend(picture, (0.85, 0.45, 0.25), stroke(reflex, 0.005, side) * np.float32(rng.uniform(0.0, 0.6)))


def _sign(rng: np.random.Generator, positive: bool, macula: NDArray[np.float64], side: int) -> Plane:
    """Return the yellow (side, side) of a cluster of exudates or of drusen beside the macula."""
    bearing, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0.07, 0.17)
    middle = macula + distance * np.array([np.cos(bearing), np.sin(bearing)])
    places = middle + rng.uniform(-1, 1, (14, 2)) * rng.uniform(0.06, 0.10)
    sizes = rng.uniform(0.8, 1.2, 14)
    if positive:
        grains = [
            ellipse((x, y), (0.011 * s, 0.009 * s), s * 9, points=10) for (x, y), s in zip(places, sizes, strict=True)
        ]
        return fill(grains, side)
    # A third as many, blurred by more than their radius: the same light in all.
    drusen = [
        ellipse((x, y), (0.018 * s, 0.018 * s), points=14) for (x, y), s in zip(places[:5], sizes[:5], strict=True)
    ]
    return soft(fill(drusen, side), 0.012)


def _haemorrhages(rng: np.random.Generator, picture: Plane, side: int) -> None:
    """Draw up to five dark red blots, in place."""
    blots = [
        ellipse(tuple(rng.uniform(0.2, 0.8, 2)), tuple(rng.uniform(0.008, 0.022, 2)), rng.uniform(0, 3))
        for _ in range(5)
    ]
    kept = blots[: int(rng.integers(0, 6))]
    blend(picture, _BLOOD, fill(kept, side, soften=0.004) * np.float32(rng.uniform(0.3, 0.7)))
