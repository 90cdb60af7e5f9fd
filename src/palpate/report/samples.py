"""The sample images of a run: examples of perturbations, and saliency maps that the reader steps through by epsilon.

The maps travel as one JSON object, because each image is then stored once however many views show it. The samples of all models of a
task are the same images in the same order; a model whose samples are others is named and not shown beside them.
"""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palpate.core import formatting
from palpate.report import images
from palpate.report.run_data import RunData
from palpate.report.stages import Stage, arrays

HEAT_SIDES = (24, 16, 12)

SHOWN = 6
"""The samples of so many models are shown; 30 models side by side help nobody, and their images would not fit into one page."""


@dataclasses.dataclass(frozen=True)
class Samples:
    """One model's samples, as its stages stored them."""

    model_id: str
    norm: str  # of epsilons
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
    text: str  # what was predicted before and after
    clean: str  # data URIs
    perturbation: str
    perturbed: str
    magnified: str  # "×50", and which pixels were kept where not all


def load(data: RunData, task: str) -> list[Samples]:
    """The samples of the first SHOWN explained models of a task; what cannot be read is added to the problems."""
    stages = data.complete("explain", task)[:SHOWN]
    found = [
        data.attempt(f"samples of {stage.title} cannot be read", lambda stage=stage: _samples(data, stage))
        for stage in stages
    ]
    return [one for one in found if one is not None]


def _samples(data: RunData, stage: Stage) -> Samples:
    attack = stage.parent("attack")
    attacked = next((one for one in data.complete("attack") if attack and one.id == attack.id), stage)
    stored = arrays(attacked.file("samples.npz"))
    explained = arrays(stage.file("maps.npz"))
    return Samples(
        model_id=data.map_label(stage),
        norm=norm_of_stage(data, attack.id) if attack else "linf",
        clean=stored["clean"],
        adversarial=stored["adversarial"],
        epsilons=tuple(stored["epsilons"].tolist()),
        image_ids=tuple(stored["image_ids"].astype(str).tolist()),
        labels=stored["labels"],
        maps=explained["maps"],
        predictions=explained["predictions"],
    )


def norm_of_stage(data: RunData, stage_id: str) -> str:
    """The norm of an attack stage."""
    spec = next((stage.planned.spec for stage in data.stages if stage.id == stage_id), {})
    return spec.get("attack", spec).get("norm", "linf")


def examples(samples: Samples, classes: tuple[str, ...]) -> list[Example]:
    """One image, chosen by `first_fooled`, at the smallest epsilon that fools the model and, last, at the largest."""
    image = first_fooled(samples)
    right = samples.predictions[0] == samples.labels
    fooled = samples.predictions[1:] != samples.labels  # (E, n)
    last = len(samples.epsilons) - 1
    steps = {last: f"largest epsilon, {formatting.epsilon(samples.epsilons[last], samples.norm)}"}
    if right[image] and fooled[:, image].any():
        first = int(np.argmax(fooled[:, image]))
        which = "smallest epsilon that fools the model"
        steps[first] = f"{which} and largest tried" if first == last else which
        steps[first] += f", {formatting.epsilon(samples.epsilons[first], samples.norm)}"
    return [_example(samples, classes, image, step, steps[step]) for step in sorted(steps)]


def first_fooled(samples: Samples) -> int:
    """The first image that the model classifies correctly unattacked and wrongly at some epsilon; else the first correct; else 0."""
    right = samples.predictions[0] == samples.labels
    fooled = (samples.predictions[1:] != samples.labels).any(0)
    candidates = [np.flatnonzero(right & fooled), np.flatnonzero(right), np.arange(len(samples.labels))]
    return int(next(found for found in candidates if len(found))[0])


def _example(samples: Samples, classes: tuple[str, ...], image: int, step: int, title: str) -> Example:
    clean, adversarial = samples.clean[image], samples.adversarial[step, image]
    magnified = images.magnification(samples.epsilons[step])
    shown, stride = images.perturbation(clean, adversarial, magnified)
    predicted = [_name(classes, samples.predictions[index, image]) for index in (0, step + 1)]
    return Example(
        title=title,
        text=f"{samples.image_ids[image]}, label “{_name(classes, samples.labels[image])}”: "
        f"“{predicted[0]}” when clean, “{predicted[1]}” when perturbed.",
        clean=images.large_photo(clean),
        perturbation=shown,
        perturbed=images.large_photo(adversarial),
        magnified=f"×{magnified}" + (f", 1 pixel in {stride * stride}" if stride > 1 else ""),
    )


def panels(found: list[Samples], classes: tuple[str, ...], budget: int) -> tuple[dict[str, Any], str] | None:
    """What the page's script needs to show every map of a task, and a sentence on how images were stored.

    Args:
        found: samples of each model.
        classes: names in label order.
        budget: bytes that the images may take.
    """
    if not found:
        return None
    first = found[0]
    others = [one.model_id for one in found if (one.image_ids, one.epsilons) != (first.image_ids, first.epsilons)]
    found = [one for one in found if one.model_id not in others]
    side = next((side for side in HEAT_SIDES if _heat_bytes(found, side) < budget / 3), HEAT_SIDES[-1])
    heat, heat_bytes = _heat(found, side)
    every = [*first.clean, *(image for one in found for step in one.adversarial for image in step)]
    photos, style = images.encode(every, budget - heat_bytes)
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
        "epsilons": ["0, clean", *(formatting.epsilon(value, first.norm) for value in first.epsilons)],
        "classes": list(classes),
        "ids": list(first.image_ids),
        "labels": first.labels.tolist(),
        "photos": photos,
        "views": views,
    }
    note = f"Images stored for the page as {style.words}; the attacked floats are in the run's samples.npz."
    return data, note + (f" Not shown, because other images were sampled: {', '.join(others)}." if others else "")


def _heat(found: list[Samples], side: int) -> tuple[list[list[list[list[str | None]]]], int]:
    """Layers by model, epsilon, target and image, and their bytes in all."""
    layers = [
        [[[images.heat(values, side) for values in target] for target in step] for step in one.maps] for one in found
    ]
    size = sum(len(layer or "") for one in layers for step in one for target in step for layer in target)
    return layers, size


def _heat_bytes(found: list[Samples], side: int) -> int:
    """An estimate from one map of each model and epsilon."""
    probes = [images.heat(step[0, 0], side) or "" for one in found for step in one.maps]
    per_map = sum(map(len, probes)) / max(1, len(probes))
    return round(per_map * sum(one.maps[:, :, :, 0, 0].size for one in found))


def _name(classes: tuple[str, ...], index: int) -> str:
    return classes[index] if 0 <= index < len(classes) else f"class {index}"
