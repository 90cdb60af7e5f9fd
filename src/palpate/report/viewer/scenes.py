"""What the viewer shows: a scene is the samples of one task, with the models of one run or of several side by side.

Models are matched by image id and by epsilon, so that runs with other samples or another grid stand side by side where they share them.
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palpate.core import formatting
from palpate.core.epsilon import Scale
from palpate.report import images, verdicts
from palpate.report.samples import Samples, read
from palpate.report.stages import Stage, StageTables

TARGETS = ("true", "predicted")
"""The classes that maps explain, in the order in which they are stored."""


@dataclasses.dataclass(frozen=True)
class View:
    """One model of a scene.

    Attributes:
        name: the model, with its run and attack where several are shown.   samples: its images, predictions and maps.
        places: of each image of the scene, its place among the samples; None where it is not among them.
        steps: of each epsilon of the scene, clean first, its own index; None where the model was not attacked at it.
        check: the worst status of the checks of its attack.   found: the radius of each image, by image_id, when asked.
    """

    name: str
    samples: Samples
    places: tuple[int | None, ...]
    steps: tuple[int | None, ...]
    check: str
    found: Callable[[], dict[str, float]]

    @cached_property
    def radius(self) -> tuple[float | None, ...]:
        """Of each image, the smallest epsilon found to change a correct answer; 0 misclassified when clean, inf never, None unknown."""
        radii, names = self.found(), self.samples.image_ids
        return tuple(None if place is None else radii.get(names[place]) for place in self.places)

    def image(self, step: int, image: int) -> NDArray[np.float32] | None:
        """An image of the scene (3, H, W) at an epsilon of the scene, 0 being clean."""
        own, place = self.steps[step], self.places[image]
        if own is None or place is None:
            return None
        found = self.samples.adversarial[own - 1, place] if own else self.samples.clean[place]
        return found / np.float32(255) if found.dtype == np.uint8 else found

    def map(self, method: str, step: int, target: int, image: int) -> NDArray[np.floating] | None:
        """A map (h, w) of an image of the scene."""
        own, place = self.steps[step], self.places[image]
        if own is None or place is None or method not in self.samples.maps:
            return None
        return self.samples.maps[method].values[own, target, place]


@dataclasses.dataclass(frozen=True)
class Scene:
    """The samples of one task.

    Attributes:
        key: for addresses.   title: for people.   classes: in label order.   norm: of the epsilons.   axis: what they are called.
        scale: of the files' values.   epsilons: of all views, rising, 0 first.
        ids, labels: of each image.   groups: of each column of metadata, the value of each image.   views: the models.
    """

    key: str
    title: str
    classes: tuple[str, ...]
    norm: str
    axis: str
    scale: Scale
    epsilons: tuple[float, ...]
    ids: tuple[str, ...]
    labels: tuple[int, ...]
    groups: dict[str, tuple[str, ...]]
    views: tuple[View, ...]

    @cached_property
    def factors(self) -> tuple[int, ...]:
        """By how much the difference is magnified at each epsilon, the same for all models; beyond l∞ judged by a few images."""
        return tuple(self._factor(step, epsilon) for step, epsilon in enumerate(self.epsilons))

    def _factor(self, step: int, epsilon: float) -> int:
        if self.norm == "linf":
            return images.magnification(epsilon)
        largest = 0.0
        for view, image in product(self.views[:3], range(min(4, len(self.ids)))):
            clean, changed = view.image(0, image), view.image(step, image)
            if clean is not None and changed is not None and clean.shape == changed.shape:
                largest = max(largest, float(np.quantile(np.abs(changed - clean), 0.99)))
        return images.magnification(largest)

    def to_dict(self) -> dict[str, Any]:
        """What the viewer needs besides the pictures, as JSON can hold it."""
        with formatting.native(self.scale):
            steps = ["0, clean", *(formatting.epsilon(value, self.norm) for value in self.epsilons[1:])]
            views = [self._view(view) for view in self.views]
        record: dict[str, Any] = {"key": self.key, "title": self.title, "classes": list(self.classes)}
        record |= {"axis": self.axis, "epsilons": list(self.epsilons), "steps": steps, "factors": list(self.factors)}
        groups = {name: list(values) for name, values in self.groups.items()}
        return record | {"ids": list(self.ids), "labels": list(self.labels), "groups": groups, "views": views}

    def _view(self, view: View) -> dict[str, Any]:
        last = max(value for value, step in zip(self.epsilons, view.steps, strict=True) if step is not None)
        confidence = view.samples.confidence
        told = {"name": view.name, "check": view.check, "methods": list(view.samples.maps)}
        told["predictions"] = self._table(view, view.samples.predictions, int)
        told["confidence"] = None if confidence is None else self._table(view, confidence, lambda one: round(one, 3))
        told["radius"] = [None if one is None or np.isinf(one) else one for one in view.radius]
        return told | {"found": [radius_text(one, last, self.norm) for one in view.radius]}

    def _table(self, view: View, values: NDArray[Any], kind: Any) -> list[list[Any]]:
        """Values (E + 1, n) of a view by epsilon and image of the scene; null where it has none."""

        def at(own: int | None, place: int | None) -> Any:
            return None if own is None or place is None else kind(values[own, place].item())

        return [[at(own, place) for place in view.places] for own in view.steps]


def radius_text(radius: float | None, last: float, norm: str) -> str:
    """What the attack found on an image, in words."""
    if radius is None:
        return "not looked at"
    if radius == 0:
        return "misclassified when clean"
    if np.isinf(radius):
        return f"not misclassified up to {formatting.epsilon(last, norm)}"
    return f"misclassified from {formatting.epsilon(radius, norm)}"


def scenes(runs: Sequence[StageTables], kinds: Sequence[str] = ("attack", "corrupt")) -> list[Scene]:
    """Every scene of some runs: stages of a task with the same classes and unit of epsilon are views of one scene.

    Args:
        runs: opened run folders, in the order in which their models are shown.
        kinds: of the stages that keep samples.
    """
    found: dict[tuple, list[tuple[StageTables, Stage, Samples]]] = {}
    for run in runs:
        for stage in (stage for kind in kinds for stage in run.complete(kind)):
            samples = read(run, stage) if (stage.folder / "samples.npz").is_file() else None
            if samples is not None and len(samples.labels):
                what = samples.attack_id if stage.kind == "corrupt" else ""
                key = (stage.task, run.study.tasks[stage.task].classes, samples.norm, what)
                found.setdefault(key, []).append((run, stage, samples))
    by_path = short_names([run.path for run in runs]) if len(runs) > 1 else {}
    titles: dict[str, int] = {}
    return [_scene(key, members, by_path, titles) for key, members in found.items()]


def short_names(paths: Sequence[Path]) -> dict[Path, str]:
    """The last parts of each path, as many as tell them apart.

    >>> list(short_names([Path("/a/first/run"), Path("/a/second/run")]).values())
    ['first/run', 'second/run']
    """
    for kept in range(1, max(len(path.parts) for path in paths) + 1):
        found = {path: "/".join(path.parts[-kept:]) for path in paths}
        if len(set(found.values())) == len(found):
            return found
    return {path: str(path) for path in paths}


def _scene(key: tuple, members: list[tuple[StageTables, Stage, Samples]], names: dict, titles: dict[str, int]) -> Scene:
    task, classes, norm, what = key
    epsilons = tuple(sorted({0.0, *(round(value, 12) for _, _, one in members for value in one.epsilons)}))
    images_of: dict[str, int] = {}
    for _, _, one in members:
        for name, label in zip(one.image_ids, one.labels.tolist(), strict=True):
            images_of.setdefault(name, label)
    ids, several = tuple(images_of), len({one.attack_id for _, _, one in members}) > 1
    views = []
    for run, stage, one in members:
        places = {name: place for place, name in enumerate(one.image_ids)}
        own = {0.0: 0} | {round(value, 12): index for index, value in enumerate(one.epsilons, 1)}
        parts = [names.get(run.path, ""), one.model_id, one.attack_id if several and not what else ""]
        name, steps = " · ".join(part for part in parts if part), tuple(own.get(value) for value in epsilons)
        matched = tuple(places.get(each) for each in ids)
        views.append(View(name, one, matched, steps, _check(run, stage), partial(_radii, run, stage)))
    (first, stage, _), titles[task] = members[0], titles.get(task, 0) + 1
    address, record = task if titles[task] == 1 else f"{task}-{titles[task]}", first.study.tasks[task]
    title = (record.title or task) + (f", {what}" if what else f", {norm}" if norm != "linf" else "")
    axis, groups = f"severity ({stage.facts['unit']})" if what else "ε", _groups(first.metadata(task), ids)
    about = address, title, classes, norm, axis, record.scale, epsilons, ids, tuple(images_of.values())
    return Scene(*about, groups, tuple(views))


def _groups(metadata: pl.DataFrame, ids: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Of each column of metadata, the value of each image; an image that is not listed is in no subgroup."""
    if metadata.width < 2:
        return {}
    named = pl.DataFrame({"image_id": ids}).join(metadata, on="image_id", how="left", maintain_order="left")
    return {each.name: tuple(each.cast(pl.String).fill_null("")) for each in named.drop("image_id").iter_columns()}


def _radii(run: StageTables, stage: Stage) -> dict[str, float]:
    """The radius of each attacked image, or where the attack gives none the smallest epsilon at which it is misclassified."""
    columns = ("image_id", "epsilon", "epsilon_index", "radius", "correct", "status")
    rows = run.attack_rows_of(stage, columns)
    lost = pl.col("status").ne("ok") | ~pl.col("correct").fill_null(False)
    clean, failed = lost.filter(pl.col("epsilon_index") == 0).any(), (pl.col("status") != "ok").any()
    fell = pl.col("epsilon").filter(lost).min().fill_null(float("inf"))
    found = rows.group_by("image_id").agg(pl.col("radius").min(), clean=clean, failed=failed, fell=fell)
    radius = pl.when("clean").then(0.0).when("failed").then(pl.col("fell")).otherwise(pl.coalesce("radius", "fell"))
    return dict(found.select("image_id", radius).rows())


def _check(run: StageTables, stage: Stage) -> str:
    """The worst status of the checks of this attack, or of the model where they name no attack; a corruption keeps its own."""
    if stage.kind == "corrupt":
        return verdicts.read(stage)[0]
    stages = run.of("trust", stage.task, stage.model_id)
    named = [one for one in stages if (parent := one.parent("attack")) and parent.id == stage.id]
    found = [verdicts.read(one)[0] for one in named or [one for one in stages if one.parent("attack") is None]]
    return verdicts.worst(found)
