"""A network and the images that it is to see, as `attack`, `doctor` and `explain` take them: options to the keys of a study's model and task."""

import dataclasses
import math
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from palpate.cli.options import DataOption, option
from palpate.core.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from palpate.data.dataset import Dataset
    from palpate.study.spec import Study

PARTS = ("model", "task", "attack", "explain", "trust")


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """The options of a network and its images, the same for all commands that take one."""

    images: Annotated[Path | None, option("Your own images: class folders, or an npz file.")] = None
    labels: Annotated[Path | None, option("Of --images without class folders: a table, path,label.")] = None
    weights: Annotated[str | None, option('A file of weights, "imagenet" or "hub".')] = None
    size: Annotated[int | None, option("Images are resized to it; 224 when absent.", min=28)] = None
    channels: Annotated[int | None, option("That the network takes; 3 when absent.", min=1)] = None
    value_range: Annotated[str | None, option("What black and white are to the network: 0,255.")] = None
    mean: Annotated[str | None, option("Of the network's pixels.")] = None
    std: Annotated[str | None, option("Of the network's pixels.")] = None
    classes: Annotated[str | None, option("Names of the logits in their order.")] = None
    settings: Annotated[
        list[str] | None, option("Any other key of a study: model.head=own, task.channels=1.", "--set")
    ] = None
    data: DataOption = None

    def study(self, model: str, task: str | None, epsilons: Sequence[str] = ("1/255",), **parts: Any) -> "Study":
        """The study of this network on a task's images or one's own.

        Args:
            parts: what options of the command say, by part of the study; None means not said, and --set wins.

        Raises:
            InputError: a task and images, or neither, or as `palpate.study.from_weights.study_of_network`.
        """
        from palpate.data.own import plain_name
        from palpate.study.from_weights import study_of_network

        if (task is None) == (self.images is None) or (self.labels and not self.images):
            raise InputError("give a task, or --images DIR with --labels FILE where DIR has no class folders")
        keys = read_settings(self.settings or [])
        for part, said in {"model": self._model(), "task": self._task(), **parts}.items():
            keys[part] = _merged({key: value for key, value in said.items() if value is not None}, keys.get(part, {}))
        named = plain_name((self.labels or self.images or Path()).resolve().stem) if task is None else task
        attack = {"attack": "standard"} | keys.get("attack", {})
        return study_of_network(model, named, epsilons, attack, self.images is not None, keys)

    def opened(self, study: "Study") -> "tuple[Dataset, nn.Module]":
        """The images of such a study, of several findings with the label of the first, and the network with a logit for each class."""
        from palpate.study.classifier import check_model
        from palpate.study.stages.context import open_dataset

        dataset = open_dataset(study, study.tasks[0], self.data)
        dataset = dataset.of_finding(dataset.findings[0]) if dataset.findings else dataset
        return dataset, check_model(study.models[0], study.seeds[0], dataset, trains=False)

    def _model(self) -> dict[str, Any]:
        given = {"value_range": self.value_range, "mean": self.mean, "std": self.std}
        normalization: dict[str, Any] = {}
        for key, text in given.items():
            if text is not None:
                numbers = _numbers(f"--{key.replace('_', '-')}", text)
                normalization[key] = numbers[0] if key != "value_range" and len(numbers) == 1 else numbers
        if self.value_range is not None and len(normalization["value_range"]) != 2:
            raise InputError(f"--value-range: expected two numbers, such as 0,255, given {self.value_range!r}")
        names = None if self.classes is None else [name.strip() for name in self.classes.split(",")]
        named = {"weights": self.weights, "channels": self.channels, "classes": names}
        return named | {"normalization": normalization or None}

    def _task(self) -> dict[str, Any]:
        own: dict[str, Any] = {"size": self.size}
        if self.images is None:
            return own
        place = str(self.images.resolve())
        if self.labels:
            return own | {"table": str(self.labels.resolve()), "images": place}
        return own | ({"arrays": place} if self.images.suffix == ".npz" else {"folder": place})


def read_settings(settings: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What --set says, by part of the study.

    >>> read_settings(["model.normalization=imagenet", "task.value_range=[0, 4095]"])
    {'model': {'normalization': 'imagenet'}, 'task': {'value_range': [0, 4095]}}
    >>> read_settings(["task.columns.label=dx"])
    {'task': {'columns': {'label': 'dx'}}}

    Raises:
        InputError: not PART.KEY=VALUE.
    """
    found: dict[str, dict[str, Any]] = {}
    for setting in settings:
        place, equals, value = setting.partition("=")
        part, *keys = place.strip().split(".")
        if not equals or part not in PARTS or not keys or not all(keys):
            expected = f"expected PART.KEY=VALUE, PART one of {', '.join(PARTS)}, such as task.channels=1"
            raise InputError(f"--set: {expected}, given {setting!r}")
        try:
            read: Any = tomllib.loads(f"value = {value}")["value"]
        except (tomllib.TOMLDecodeError, RecursionError):
            read = value.strip()
        for key in (*reversed(keys), part):
            read = {key: read}
        found = _merged(found, read)
    return found


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Settings with those of another in their place, table by table."""
    both = {key for key, value in above.items() if isinstance(value, dict) and isinstance(below.get(key), dict)}
    return below | above | {key: _merged(below[key], above[key]) for key in both}


def _numbers(option: str, text: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.strip("[]()").split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(map(math.isfinite, numbers)):
        raise InputError(f"{option}: expected numbers with commas between, such as 0,255, given {text!r}")
    return numbers
