"""The sample images of a run: perturbation examples, and Grad-CAM panels that the reader turns through by epsilon.

The panels travel as one JSON object, because each picture is then stored once however many views show it. Samples of all models of
a task are the same images in the same order; a model whose samples are others is named and not shown beside them.
"""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palpate.report import pictures
from palpate.report import wording as words
from palpate.report.load import Cell, Material, arrays

TARGETS = ("true", "predicted")
HEAT_SIDES = (24, 16, 12)


@dataclasses.dataclass(frozen=True)
class Samples:
    """One model's samples, as its cells stored them."""

    model_id: str
    clean: NDArray[np.float32]  # (n, 3, H, W) in [0, 1]
    adversarial: NDArray[np.float32]  # (E, n, 3, H, W)
    epsilons: tuple[float, ...]  # (E,) in units of [0, 1]
    image_ids: tuple[str, ...]
    labels: NDArray[np.int64]  # (n,)
    maps: NDArray[np.float32]  # (E + 1, T, n, h, w), raw
    predictions: NDArray[np.int64]  # (E + 1, n), clean first


@dataclasses.dataclass(frozen=True)
class Example:
    """One perturbation to look at."""

    title: str
    text: str  # what was said before and after
    clean: str  # data URIs
    perturbation: str
    perturbed: str
    magnified: str  # "×50", and which pixels were kept where not all


def load(material: Material, task: str) -> tuple[list[Samples], list[str]]:
    """The samples of a task's models that were explained, and what could not be read."""
    found, problems = [], []
    for cell in material.complete("explain", task):
        try:
            found.append(_samples(material, cell))
        except (OSError, ValueError, KeyError, StopIteration) as error:
            problems.append(f"samples of {cell.title} cannot be read: {type(error).__name__}: {error}")
    return found, problems


def _samples(material: Material, cell: Cell) -> Samples:
    folders = [cell.folder, *(other.folder for other in material.cells if other.id in cell.parents)]
    stored = arrays(next(folder for folder in folders if (folder / "samples.npz").is_file()) / "samples.npz")
    explained = arrays(cell.folder / "maps.npz")
    return Samples(
        model_id=cell.model_id,
        clean=stored["clean"],
        adversarial=stored["adversarial"],
        epsilons=tuple(stored["epsilons"].tolist()),
        image_ids=tuple(stored["image_ids"].astype(str).tolist()),
        labels=stored["labels"],
        maps=explained["maps"],
        predictions=explained["predictions"],
    )


def examples(samples: Samples, classes: list[str]) -> list[Example]:
    """One image, chosen by `falling`, at the smallest epsilon that fools the model and, last, at the largest."""
    image = falling(samples)
    right = samples.predictions[0] == samples.labels
    fooled = samples.predictions[1:] != samples.labels  # (E, n)
    last = len(samples.epsilons) - 1
    steps = {last: f"largest epsilon, {words.both(samples.epsilons[last])}"}
    if right[image] and fooled[:, image].any():
        first = int(np.argmax(fooled[:, image]))
        which = "smallest epsilon that fools the model"
        steps[first] = f"{which} and largest tried" if first == last else which
        steps[first] += f", {words.both(samples.epsilons[first])}"
    return [_example(samples, classes, image, step, steps[step]) for step in sorted(steps)]


def falling(samples: Samples) -> int:
    """The first image that the model classifies correctly unattacked and wrongly at some epsilon; else the first correct; else 0."""
    right = samples.predictions[0] == samples.labels
    fooled = (samples.predictions[1:] != samples.labels).any(0)
    candidates = [np.flatnonzero(right & fooled), np.flatnonzero(right), np.arange(len(samples.labels))]
    return int(next(found for found in candidates if len(found))[0])


def _example(samples: Samples, classes: list[str], image: int, step: int, title: str) -> Example:
    clean, adversarial = samples.clean[image], samples.adversarial[step, image]
    magnified = pictures.magnification(samples.epsilons[step])
    shown, stride = pictures.perturbation(clean, adversarial, magnified)
    said = [_name(classes, samples.predictions[index, image]) for index in (0, step + 1)]
    return Example(
        title=title,
        text=f"{samples.image_ids[image]}, in truth {_name(classes, samples.labels[image])}: "
        f"“{said[0]}” when clean, “{said[1]}” when perturbed.",
        clean=pictures.large_photo(clean),
        perturbation=shown,
        perturbed=pictures.large_photo(adversarial),
        magnified=f"×{magnified}" + (f", 1 pixel in {stride * stride}" if stride > 1 else ""),
    )


def panels(found: list[Samples], classes: list[str], budget: int) -> tuple[dict[str, Any], str] | None:
    """What the page's script needs to show every map of a task, and a sentence on how pictures were stored.

    Args:
        found: samples of each model.
        classes: names in label order.
        budget: bytes that the pictures may take.
    """
    if not found:
        return None
    first = found[0]
    others = [one.model_id for one in found if (one.image_ids, one.epsilons) != (first.image_ids, first.epsilons)]
    found = [one for one in found if one.model_id not in others]
    side = next((side for side in HEAT_SIDES if _heat_bytes(found, side) < budget / 3), HEAT_SIDES[-1])
    heat, heat_bytes = _heat(found, side)
    images = [*first.clean, *(image for one in found for step in one.adversarial for image in step)]
    photos, style = pictures.encode(images, budget - heat_bytes)
    n, steps = len(first.labels), len(first.epsilons)
    views = []
    for place, one in enumerate(found):
        offset = n + place * n * steps
        views.append(
            {
                "model": one.model_id,
                "photos": [list(range(n)), *(list(range(offset + n * e, offset + n * (e + 1))) for e in range(steps))],
                "heat": heat[place],
                "predictions": one.predictions.tolist(),
            }
        )
    data = {
        "epsilons": ["0, clean", *(words.both(value) for value in first.epsilons)],
        "classes": classes,
        "ids": list(first.image_ids),
        "labels": first.labels.tolist(),
        "photos": photos,
        "views": views,
    }
    note = f"Photographs stored for the page as {style.words}; the floats attacked are in the run's samples.npz."
    return data, note + (f" Not shown, because other images were sampled: {', '.join(others)}." if others else "")


def _heat(found: list[Samples], side: int) -> tuple[list[list[list[list[str | None]]]], int]:
    """Layers by model, epsilon, target and image, and their bytes in all."""
    layers = [
        [[[pictures.heat(values, side) for values in target] for target in step] for step in one.maps] for one in found
    ]
    size = sum(len(layer or "") for one in layers for step in one for target in step for layer in target)
    return layers, size


def _heat_bytes(found: list[Samples], side: int) -> int:
    """An estimate from one map of each model and epsilon."""
    probes = [pictures.heat(step[0, 0], side) or "" for one in found for step in one.maps]
    per_map = sum(map(len, probes)) / max(1, len(probes))
    return round(per_map * sum(one.maps[:, :, :, 0, 0].size for one in found))


def _name(classes: list[str], index: int) -> str:
    return classes[index] if 0 <= index < len(classes) else f"class {index}"
