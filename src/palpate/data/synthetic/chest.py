"""A frontal chest radiograph: lungs with vessels, ribs, clavicles, heart and diaphragm.

The sign is a pneumothorax: a fine bright pleural line inside the lung's outer border and no lung vessels beyond it, which makes the
image positive. Its look-alike is a skin fold along the same path: a broad band of the same brightness in all with an edge in it (no
line), and the vessels going on beyond it.
"""

import numpy as np

from palpate.data.synthetic import canvas
from palpate.data.synthetic.canvas import Plane, Points, Scene

_WAYS = np.array([-1.0, 1.0])  # towards the image's left and right
_FAINTEST = 0.25  # of the signs meant to be seen
_LINE_WIDTH, _BAND_WIDTH = 0.018, 0.11


def draw_chest(rng: np.random.Generator, positive: bool, hide: bool, side: int) -> Scene:
    """Draw one radiograph (1, side, side); `hide` leaves line, fold and missing vessels out and everything else as it is."""
    outlines = _lungs(rng)
    lungs = canvas.fill(outlines, side, soften=0.01)
    film = 0.58 + 0.05 * canvas.smooth_noise(rng, 4, side)
    film -= np.float32(rng.uniform(0.32, 0.40)) * lungs
    film *= _body(rng, side)
    vessels = _vessels(rng, side)
    # Without its mean around, so that where the vessels are missing the film is as bright as where they are not.
    texture = lungs * (0.09 * (vessels - canvas.soft(vessels, 0.05)) + 0.02 * canvas.smooth_noise(rng, 40, side))

    sick = int(rng.integers(0, 2))
    line = _pleura(rng, outlines[sick])
    beyond = canvas.fill(np.concatenate([line, outlines[sick][: len(line)][::-1]])[None], side)
    mark = _mark(rng, positive, line, beyond, side)
    strength = canvas.contrast(rng, _FAINTEST, 0.50)
    gone = min(np.float32(1), strength / np.float32(_FAINTEST)) * beyond if positive else np.zeros_like(beyond)
    film += texture if hide else texture * (1 - gone) + strength * mark
    picture = film[None]
    _bones(rng, picture, side)
    _heart(rng, picture, side)
    return Scene(picture, canvas.around(np.abs(mark) + gone, 0.02))


def _lungs(rng: np.random.Generator) -> Points:
    """Return both lungs' outlines (2, 64, 2); the first half of each runs from the apex down the outer border."""
    outlines = []
    t = np.linspace(0, 1, 32)
    for way in _WAYS:
        top, bottom, width = rng.uniform(0.09, 0.15), rng.uniform(0.74, 0.82), rng.uniform(0.27, 0.32)
        inner = 0.5 + way * rng.uniform(0.07, 0.09)
        outer = inner + way * width * np.sin(np.pi / 2 * np.minimum(1, 0.15 + 1.3 * t)) ** 0.9
        down = np.stack([outer, top + (bottom - top) * t**1.2], axis=1)
        hollow = np.array([inner + way * 0.01, bottom - 0.06])
        base = canvas.curves(down[-1:], [[inner + way * 0.14, bottom - 0.10]], hollow[None], 16)[0]
        middle = canvas.curves(hollow[None], [[inner + way * 0.02, 0.4]], down[:1], 16)[0]
        outlines.append(np.concatenate([down, base, middle]))
    return np.array(outlines)


def _pleura(rng: np.random.Generator, outline: Points) -> Points:
    """Return the pleural line (n, 2): a stretch of the outer border drawn inwards, least at its upper end."""
    length = int(rng.integers(20, 30))
    border = outline[:length]
    inward = np.array([0.5, 0.5]) - border
    inward /= np.linalg.norm(inward, axis=1, keepdims=True)
    depth = rng.uniform(0.09, 0.17) * np.sin(np.pi * np.linspace(0.12, 1, length)) ** 0.7
    return border + inward * depth[:, None]


def _mark(rng: np.random.Generator, positive: bool, line: Points, beyond: Plane, side: int) -> Plane:
    """Return the light (side, side) that the sign adds, to be scaled: a fine line, or a broad band with an edge; as much in all."""
    edge = rng.choice([-0.6, 0.6])  # which side of the fold is the brighter one
    if positive:
        return canvas.stroke(line[None], _LINE_WIDTH, side, soften=0.003)
    band = np.float32(1.4 * _LINE_WIDTH / _BAND_WIDTH) * canvas.stroke(line[None], _BAND_WIDTH, side, soften=0.012)
    return band * (1 + np.float32(edge) * (2 * canvas.soft(beyond, 0.003) - 1) * 2)


def _vessels(rng: np.random.Generator, side: int) -> Plane:
    """Return the lungs' vessels (side, side) in [0, 1]: branches fanning out of both hila."""
    fan = (np.linspace(-1.25, 1.25, 12) + rng.uniform(-0.1, 0.1, (2, 12))).ravel()
    way = np.repeat(_WAYS, 12)
    hila = np.stack([0.5 + way * 0.10, np.full(24, 0.45)], axis=1)
    outward = np.where(way > 0, fan, np.pi - fan)
    trunks = canvas.walks(rng, hila, outward, step=0.03, wander=0.16, steps=14)  # (24, 15, 2)
    onward = trunks[:, 6] - trunks[:, 5]
    headings = np.arctan2(onward[:, 1], onward[:, 0]) + rng.choice([-0.6, 0.6], 24)
    twigs = canvas.walks(rng, trunks[:, 5], headings, step=0.026, wander=0.16, steps=9)
    thick = canvas.stroke(trunks[:, :8], 0.016, side, soften=0.004)
    thin = np.maximum(canvas.stroke(trunks[:, 7:], 0.009, side), canvas.stroke(twigs, 0.009, side))
    return np.maximum(thick, 0.8 * canvas.soft(thin, 0.002))


def _bones(rng: np.random.Generator, picture: Plane, side: int) -> None:
    """Draw ribs, clavicles and spine, in place."""
    spacing, slope = rng.uniform(0.075, 0.09), rng.uniform(0.06, 0.12)
    way, y = np.repeat(_WAYS, 8), np.tile(0.10 + spacing * np.arange(8), 2)
    reach = 0.5 + way * np.tile(0.30 + 0.012 * np.arange(8), 2)
    start, bend, end = (0.5 + way * 0.06, y), (reach, y - 0.07), (reach, y + slope)
    ribs = canvas.curves(np.stack(start, 1), np.stack(bend, 1), np.stack(end, 1))
    canvas.blend(picture, (0.9,), 0.12 * canvas.stroke(ribs, 0.03, side, soften=0.004))
    places = (0.04, 0.17), (0.2, 0.16), (0.38, 0.08)
    start, bend, end = (np.stack([0.5 + _WAYS * out, [down, down]], 1) for out, down in places)
    collar = canvas.curves(start, bend, end)
    canvas.blend(picture, (0.9,), 0.25 * canvas.stroke(collar, 0.03, side, soften=0.005))
    spine = canvas.fill(canvas.ellipses([[0.5, 0.5]], (0.06, 0.6)), side, soften=0.02)
    canvas.blend(picture, (0.85,), np.float32(rng.uniform(0.3, 0.5)) * spine)


def _heart(rng: np.random.Generator, picture: Plane, side: int) -> None:
    """Draw heart and diaphragm, in place."""
    low, wide = rng.uniform(0.60, 0.64), rng.uniform(0.13, 0.17)
    heart = canvas.ellipses([[0.57, low], [0.50, low - 0.12]], [(wide, 0.12), (0.085, 0.2)], [0.5, 0.0])
    canvas.blend(picture, (0.82,), 0.75 * canvas.fill(heart, side, soften=0.014))
    radii = np.stack([[0.24, 0.24], rng.uniform(0.17, 0.22, 2)], 1)
    domes = canvas.ellipses(np.stack([0.5 + _WAYS * 0.22, [0.98, 1.0]], 1), radii)
    canvas.blend(picture, (0.80,), 0.75 * canvas.fill(domes, side, soften=0.012))


def _body(rng: np.random.Generator, side: int) -> Plane:
    """Return the body's outline (side, side), near 0 in the air and 1 inside, with shoulders and a neck."""
    waist, shoulder = rng.uniform(0.40, 0.47), rng.uniform(0.10, 0.16)
    across = [0.09, 0.12, 0.40, 0.52, waist, waist]
    down = [-0.1, shoulder - 0.06, shoulder, shoulder + 0.15, 0.5, 1.1]
    half = np.stack([across, down], axis=1)
    outline = np.concatenate([half, half[::-1] * (-1, 1)]) + np.array([0.5, 0.0])
    return 0.04 + 0.96 * canvas.fill(outline[None], side, soften=0.015)
