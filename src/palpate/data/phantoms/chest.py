"""A frontal chest radiograph: lungs with vessels, ribs, clavicles, heart and diaphragm.

The sign is a pneumothorax: a fine bright pleural line inside the lung's outer border and no lung vessels beyond it, which makes the
image positive. Its look-alike is a skin fold along the same path: an edge between a brighter and a darker side (no line), with the
vessels going on beyond it.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from palpate.data.phantoms.canvas import Plane, Scene, around, curve, ellipse, fill, smooth_noise, soft, stroke


def draw_chest(rng: np.random.Generator, positive: bool, hide: bool, side: int) -> Scene:
    """Draw one radiograph (side, side, 3), grey; `hide` leaves line, fold and missing vessels out and everything else as it is."""
    outlines = {-1: _lung(rng, -1.0), 1: _lung(rng, 1.0)}
    lungs = fill(list(outlines.values()), side, soften=0.01)
    film = 0.62 + 0.05 * smooth_noise(rng, 4, side)
    film -= np.float32(rng.uniform(0.34, 0.42)) * lungs
    film *= _body(rng, side)
    vessels = 0.10 * _vessels(rng, side) * lungs + 0.035 * smooth_noise(rng, 40, side) * lungs

    sick = 1 if rng.random() < 0.5 else -1
    line = _pleura(rng, outlines[sick])
    outside = fill([np.concatenate([line, outlines[sick][: len(line)][::-1]])], side)
    strength = np.float32(rng.uniform(0.06, 0.24))
    mark = _mark(positive, line, outside, side)
    gone = outside if positive else np.zeros_like(outside)
    if hide:
        film += vessels
    else:
        film += vessels * (1 - gone) + strength * mark - 0.02 * gone
    film += _bones(rng, side)
    film += _heart(rng, side)
    return Scene(np.repeat(np.clip(film, 0, 1)[..., None], 3, axis=2), around(np.abs(mark) + gone, 0.02))


def _lung(rng: np.random.Generator, way: float) -> NDArray[np.float64]:
    """Return a lung's outline (64, 2), its first half running from the apex down the outer border; `way` is -1 for the image's left."""
    top, bottom, width = rng.uniform(0.10, 0.15), rng.uniform(0.74, 0.82), rng.uniform(0.28, 0.32)
    inner = 0.5 + way * rng.uniform(0.07, 0.09)
    t = np.linspace(0, 1, 32)
    outer = inner + way * width * np.sin(np.pi / 2 * np.minimum(1, 0.28 + 1.1 * t)) ** 1.5
    down = np.stack([outer, top + (bottom - top) * t**1.15], axis=1)
    back = curve(tuple(down[-1]), (inner + way * 0.14, bottom - 0.10), (inner + way * 0.01, bottom - 0.06), 16)
    up = curve(tuple(back[-1]), (inner + way * 0.02, 0.4), tuple(down[0]), 16)
    return np.concatenate([down, back, up])


def _pleura(rng: np.random.Generator, outline: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the pleural line (n, 2): the outer border drawn inwards, most in its middle."""
    length = int(rng.integers(18, 28))
    border = outline[:length]
    inward = np.array([0.5, 0.5]) - border
    inward /= np.linalg.norm(inward, axis=1, keepdims=True)
    depth = rng.uniform(0.06, 0.11) * np.sin(np.pi * np.linspace(0.12, 1, length)) ** 0.7
    return border + inward * depth[:, None]


def _mark(positive: bool, line: NDArray[np.float64], outside: Plane, side: int) -> Plane:
    """Return what the sign adds (side, side), in [-1, 1] and to be scaled: a fine line, or an edge with a bright and a dark side."""
    if positive:
        return stroke([line], 0.012, side, soften=0.003)
    near = stroke([line], 0.07, side, soften=0.012)
    return 0.5 * near * (2 * soft(outside, 0.003) - 1)


def _vessels(rng: np.random.Generator, side: int) -> Plane:
    """Return the lung's vessels (side, side) in [0, 1]: branches fanning out of both hila."""
    thick, thin = [], []
    for way in (-1.0, 1.0):
        for angle in np.linspace(-1.25, 1.25, 12) + rng.uniform(-0.1, 0.1, 12):
            start = np.array([0.5 + way * 0.10, 0.45])
            turns = angle + np.cumsum(rng.uniform(-0.16, 0.16, 14))
            path = start + 0.03 * np.cumsum(np.stack([way * np.cos(turns), np.sin(turns)], axis=1), axis=0)
            thick.append(path[:7])
            thin.append(path[6:])
            side_turns = turns[5] + rng.choice([-0.6, 0.6]) + np.cumsum(rng.uniform(-0.16, 0.16, 9))
            thin.append(
                path[5] + 0.026 * np.cumsum(np.stack([way * np.cos(side_turns), np.sin(side_turns)], axis=1), axis=0)
            )
    return np.maximum(stroke(thick, 0.016, side, soften=0.004), 0.8 * stroke(thin, 0.009, side, soften=0.002))


def _bones(rng: np.random.Generator, side: int) -> Plane:
    """Return the brightness (side, side) that ribs, clavicles and spine add."""
    ribs, edges = np.zeros((side, side), np.float32), []
    spacing, slope = rng.uniform(0.075, 0.09), rng.uniform(0.06, 0.12)
    for index in range(8):
        y = 0.12 + spacing * index
        for way in (-1.0, 1.0):
            reach = 0.5 + way * (0.30 + 0.012 * index)
            edges.append(curve((0.5 + way * 0.06, y), (reach, y - 0.07), (reach, y + slope), 20))
    ribs = 0.055 * stroke(edges, 0.028, side, soften=0.004)
    collar = [
        curve((0.5 + way * 0.04, 0.17), (0.5 + way * 0.2, 0.16), (0.5 + way * 0.42, 0.06), 16) for way in (-1.0, 1.0)
    ]
    spine = fill([ellipse((0.5, 0.5), (0.055, 0.6))], side, soften=0.02)
    return ribs + 0.10 * stroke(collar, 0.032, side, soften=0.005) + np.float32(rng.uniform(0.06, 0.14)) * spine


def _heart(rng: np.random.Generator, side: int) -> Plane:
    """Return the brightness (side, side) that heart and diaphragm add."""
    heart = fill([ellipse((0.56, rng.uniform(0.58, 0.62)), (rng.uniform(0.12, 0.16), 0.17), 0.5)], side, soften=0.012)
    domes = [ellipse((0.5 + way * 0.22, 0.98), (0.24, rng.uniform(0.17, 0.22))) for way in (-1.0, 1.0)]
    return 0.24 * heart + 0.22 * fill(domes, side, soften=0.012) * (1 - 0.6 * heart)


def _body(rng: np.random.Generator, side: int) -> Plane:
    """Return the body's outline (side, side) in [0, 1], with shoulders and a neck; 0 is air."""
    waist, shoulder = rng.uniform(0.40, 0.47), rng.uniform(0.10, 0.16)
    right = np.array(
        [[0.09, 0.0], [0.12, shoulder - 0.06], [0.40, shoulder], [0.52, shoulder + 0.15], [waist, 0.5], [waist, 1.02]]
    )
    left = right[::-1] * np.array([-1, 1])
    outline = np.concatenate([right, left]) + np.array([0.5, 0.0])
    body = cv2.GaussianBlur(fill([outline], side), (0, 0), 0.015 * side)
    return 0.04 + 0.96 * body
