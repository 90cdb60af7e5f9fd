"""Synthetic images of three kinds whose label, group and sign are known, as palpate's embedded data.

They need no download and no licence, so a first run, the tests and the demonstration work anywhere; and because the sign that makes the label is
drawn, a map of what a network looked at can be checked against it, which no real image allows.

Every picture carries, in one place, either the sign (label 1) or its look-alike (label 0) of the same colour and mean brightness:

| kind | label 1 | label 0 |
|---|---|---|
| skin | streaks at a segment of the lesion's border | globules there |
| fundus | hard exudates: small, sharp | drusen: wide, soft |
| chest | pleural line, no vessels beyond it | skin fold: an edge, vessels beyond it |

The mask is the neighbourhood of whichever is drawn. So in both classes the evidence lies inside the mask and nowhere else, and the share of a
class activation map inside it means the same for both. With `hide=True` neither is drawn and all other pixels stay as they were: the classes
are then the same distribution, and accuracy above chance would show that something else gives the label away.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from palpate.core.errors import InputError
from palpate.data.synthetic.canvas import Camera, canvas_side, photograph
from palpate.data.synthetic.chest import draw_chest
from palpate.data.synthetic.fundus import draw_fundus
from palpate.data.synthetic.skin import draw_skin

Kind = Literal["skin", "fundus", "chest"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SMALLEST, LARGEST = 28, 1024

_DRAW = {"skin": draw_skin, "fundus": draw_fundus, "chest": draw_chest}
_CAMERA = {
    "skin": Camera(turn=0.35, shift=0.03, zoom=0.05, noise=0.04, border=cv2.BORDER_REFLECT_101),
    "fundus": Camera(turn=0.15, shift=0.03, zoom=0.05, noise=0.04, border=cv2.BORDER_CONSTANT),
    "chest": Camera(turn=0.10, shift=0.05, zoom=0.10, noise=0.03, border=cv2.BORDER_REPLICATE),
}
# Six images are drawn from four patients, two of whom are seen twice; the six hold three positives.
_PATIENT_OF = np.array([0, 0, 1, 1, 2, 3])
_BLOCK, _PATIENTS = len(_PATIENT_OF), 4


@dataclass(frozen=True)
class SyntheticImages:
    """Synthetic images and everything known about them."""

    images: NDArray[np.uint8]  # (N, S, S, 3), RGB
    labels: NDArray[np.int64]  # (N,), 1: the sign, 0: its look-alike
    groups: NDArray[np.str_]  # (N,), the patient
    masks: NDArray[np.bool_]  # (N, S, S), where the sign or its look-alike is (or, hidden, would be)
    ids: NDArray[np.str_]  # (N,)


def generate(kind: Kind, count: int, size: int, seed: int, hide: bool = False) -> SyntheticImages:
    """Draw `count` square images of one kind.

    Image `i` depends on `kind`, `seed` and `i` alone: a larger `count` only adds images, and another `size` photographs the same scene with
    other sensor noise. In every six images three are positive and two patients are seen twice; the two images of a patient show the same
    anatomy and sign, hence the same label, so they must not be split apart.

    Args:
        kind: "skin", "fundus" or "chest".
        count: how many images, at least 1.
        size: side in pixels, 28 to 1024.
        seed: at least 0.
        hide: leave out sign and look-alike; labels, groups, masks and ids stay the same.

    Raises:
        InputError: an argument outside these.

    >>> made = generate("skin", count=6, size=32, seed=0)
    >>> made.images.shape, int(made.labels.sum()), made.ids[5]
    ((6, 32, 32, 3), 3, np.str_('phantom-skin-0-000005'))
    """
    _check(kind, count, size, seed)
    images = np.empty((count, size, size, 3), np.uint8)
    masks = np.empty((count, size, size), np.bool_)
    labels = np.empty(count, np.int64)
    groups, scene, last_patient = [], None, -1
    for index in range(count):
        block, place = divmod(index, _BLOCK)
        patient = _PATIENTS * block + int(_PATIENT_OF[place])
        labels[index] = _labels_of_block(kind, seed, block)[_PATIENT_OF[place]]
        groups.append(f"phantom-{kind}-{seed}-patient-{patient:06d}")
        if scene is None or patient != last_patient:  # the second photograph of a patient needs no second drawing
            scene = _DRAW[kind](_stream(kind, seed, 1, patient), bool(labels[index]), hide, canvas_side(size))
            last_patient = patient
        images[index], masks[index] = photograph(scene, _stream(kind, seed, 2, index), size, _CAMERA[kind])
    ids = np.array([f"phantom-{kind}-{seed}-{index:06d}" for index in range(count)])
    return SyntheticImages(images, labels, np.array(groups), masks, ids)


def _labels_of_block(kind: str, seed: int, block: int) -> NDArray[np.int64]:
    """Return the labels (4,) of a block's patients: one of the two seen twice is positive, and one of the two seen once."""
    first, second = _stream(kind, seed, 0, block).integers(0, 2, 2)
    return np.array([first, 1 - first, second, 1 - second])


def _stream(kind: str, seed: int, purpose: int, number: int) -> np.random.Generator:
    """Return the random numbers of one block (purpose 0), patient (1) or photograph (2), independent of all others."""
    return np.random.default_rng([seed, KINDS.index(kind), purpose, number])


def _check(kind: str, count: int, size: int, seed: int) -> None:
    if kind not in KINDS:
        raise InputError(f"kind must be one of {', '.join(KINDS)}; got {kind!r}. Choose one of these.")
    if count < 1:
        raise InputError(f"count must be at least 1; got {count}. Ask for one image or more.")
    if not SMALLEST <= size <= LARGEST:
        raise InputError(f"size must be from {SMALLEST} to {LARGEST} pixels; got {size}. Draw within it and resize.")
    if seed < 0:
        raise InputError(f"seed must be at least 0; got {seed}. Give any whole number from 0 up.")
