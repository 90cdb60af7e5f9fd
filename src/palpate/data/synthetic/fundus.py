"""An eye's fundus: optic disc, macula, vessel arcades, haemorrhages.

The sign is a cluster of hard exudates (small, sharp, yellow), which makes the image positive; its look-alike is a cluster of drusen
(fewer, wider, soft, of the same yellow and the same total light). Haemorrhages and reflexes along vessels are drawn in both classes
and say nothing.
"""

import numpy as np

from palpate.data.synthetic import canvas
from palpate.data.synthetic.canvas import Plane, Points, Scene

_YELLOW = (1.0, 0.90, 0.45)
_BLOOD = (0.42, 0.08, 0.05)


def draw_fundus(rng: np.random.Generator, positive: bool, hide: bool, side: int) -> Scene:
    """Draw one eye (3, side, side); `hide` leaves the exudates and drusen out and everything else as it is."""
    nasal = 1.0 if rng.random() < 0.5 else -1.0  # which way the disc lies: right or left eye
    disc = np.array([0.5 + nasal * rng.uniform(0.20, 0.26), rng.uniform(0.46, 0.54)])
    macula = disc + np.array([-nasal * rng.uniform(0.27, 0.31), rng.uniform(0.0, 0.04)])

    base = np.array([0.74, 0.36, 0.15]) * rng.uniform(0.75, 1.1) + rng.uniform(-0.05, 0.05, 3)
    picture = np.empty((3, side, side), np.float32)
    picture[:] = base[:, None, None]
    light = 1 + 0.06 * canvas.smooth_noise(rng, 5, side) + 0.035 * canvas.smooth_noise(rng, 32, side)
    light += 0.2 * canvas.glow(disc, 0.13, side)
    light *= 1 - np.float32(rng.uniform(0.2, 0.4)) * canvas.glow(macula, 0.06, side)
    picture *= light
    _vessels(rng, picture, disc, nasal, side)
    radii = rng.uniform(0.055, 0.07), rng.uniform(0.065, 0.085)
    pale = canvas.fill(canvas.ellipses(disc[None], radii), side, soften=0.008) * np.float32(rng.uniform(0.7, 0.95))
    canvas.blend(picture, (1.0, 0.86, 0.58), pale)

    sign = _sign(rng, positive, macula, side)
    strength = canvas.contrast(rng, 0.35, 1.0)
    _haemorrhages(rng, picture, side)
    if not hide:
        canvas.blend(picture, _YELLOW, strength * sign)
    picture *= canvas.fill(canvas.ellipses([[0.5, 0.5]], (0.475, 0.475), points=96), side, soften=0.006)
    return Scene(picture, canvas.around(sign, 0.03))


def _vessels(rng: np.random.Generator, picture: Plane, disc: Points, nasal: float, side: int) -> None:
    """Draw four arcades with branches out of the disc, each getting thinner, in place."""
    up = np.array([-1.0, -1.0, 1.0, 1.0])[:, None]
    sweep = nasal * np.array([-1.0, 1.0, -1.0, 1.0]) * rng.uniform([0.50, 0.15] * 2, [0.65, 0.25] * 2)
    t = np.linspace(0, 1, 28)
    rise = rng.uniform(0.27, 0.36, (4, 1)) * np.sin(t * rng.uniform(1.6, 2.3, (4, 1)))
    rise += 0.01 * np.sin(17 * t + rng.uniform(0, 6, (4, 1)))
    arcades = disc + np.stack([sweep[:, None] * t**1.4, up * rise], axis=-1)  # (4, 28, 2)

    forks = rng.integers(5, 24, (4, 4))
    starts = np.take_along_axis(arcades, forks[..., None], axis=1).reshape(-1, 2)
    onward = np.take_along_axis(arcades, forks[..., None] + 1, axis=1).reshape(-1, 2) - starts
    headings = np.arctan2(onward[:, 1], onward[:, 0]) + rng.choice([-1.0, 1.0], 16) * rng.uniform(0.5, 1.0, 16)
    branches = canvas.walks(rng, starts, headings, step=rng.uniform(0.010, 0.022, 16), wander=0.25, steps=10)

    thin = np.maximum(canvas.stroke(branches, 0.008, side), canvas.stroke(arcades[:, 14:], 0.008, side))
    canvas.blend(picture, _BLOOD, thin * np.float32(rng.uniform(0.35, 0.6)))
    thick = canvas.stroke(arcades[:, :16], 0.018, side, soften=0.002)
    canvas.blend(picture, _BLOOD, thick * np.float32(rng.uniform(0.5, 0.8)))
    reflexes = canvas.stroke(arcades[:, 4:9], 0.005, side)
    canvas.blend(picture, (0.85, 0.45, 0.25), reflexes * np.float32(rng.uniform(0.0, 0.6)))


def _sign(rng: np.random.Generator, positive: bool, macula: Points, side: int) -> Plane:
    """Return the yellow (side, side) of a cluster of exudates or of drusen beside the macula."""
    bearing, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0.07, 0.17)
    middle = macula + distance * np.array([np.cos(bearing), np.sin(bearing)])
    places = middle + rng.uniform(-1, 1, (14, 2)) * rng.uniform(0.11, 0.14)
    scale, turns = rng.uniform(0.8, 1.2, (14, 1)), rng.uniform(0, np.pi, 14)
    if positive:
        return canvas.fill(canvas.ellipses(places, scale * (0.022, 0.015), turns, points=10), side)
    # Fewer, wider and blurred: the same light in all.
    drusen = canvas.ellipses(places[:6], scale[:6] * (0.030, 0.030), turns[:6], points=14)
    return canvas.soft(canvas.fill(drusen, side), 0.02)


def _haemorrhages(rng: np.random.Generator, picture: Plane, side: int) -> None:
    """Draw up to five dark red blots, in place."""
    count = int(rng.integers(0, 6))
    blots = canvas.ellipses(rng.uniform(0.2, 0.8, (5, 2)), rng.uniform(0.008, 0.022, (5, 2)), rng.uniform(0, 3, 5))
    canvas.blend(picture, _BLOOD, canvas.fill(blots[:count], side, soften=0.004) * np.float32(rng.uniform(0.3, 0.7)))
