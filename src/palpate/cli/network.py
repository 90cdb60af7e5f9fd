"""Networks and images as the commands take them: options to the keys of a study's model and task."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palpate.core.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from palpate.data.dataset import Dataset
    from palpate.study.spec import Study

PARTS = ("model", "task", "attack", "explain", "trust")


def read_settings(settings: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What --set says, by part of the study.

    >>> read_settings(["model.normalization=imagenet", "task.value_range=[0, 4095]"])
    {'model': {'normalization': 'imagenet'}, 'task': {'value_range': [0, 4095]}}

    Raises:
        InputError: not PART.KEY=VALUE.
    """
    found: dict[str, dict[str, Any]] = {}
    for setting in settings:
        place, equals, value = setting.partition("=")
        part, _, key = place.strip().partition(".")
        if not equals or part not in PARTS or not key:
            raise InputError(
                f"--set: expected PART.KEY=VALUE, PART one of {', '.join(PARTS)}, such as task.channels=1, given {setting!r}"
            )
        try:
            read = tomllib.loads(f"value = {value}")["value"]
        except (tomllib.TOMLDecodeError, RecursionError):
            read = value.strip()
        found.setdefault(part, {})[key] = read
    return found


Of = tuple[str | None, int | None, str | None, str | None, str | None, str | None]
"""The options of a network: weights, channels, value range, mean, std, classes."""


def study_keys(
    settings: Sequence[str] | None, network: Of, images: tuple[Path | None, Path | None, int | None]
) -> dict[str, dict[str, Any]]:
    """What the options and --set say, by part of the study.

    Args:
        settings: of --set.
        network: the options of the network.
        images: where one's own images and their labels lie, and the size.
    """
    given = read_settings(settings or [])
    given["model"] = _model(*network) | given.get("model", {})
    given["task"] = _task(*images) | given.get("task", {})
    return given


def asked_study(
    model: str,
    task: str | None,
    images: Path | None,
    labels: Path | None,
    keys: dict[str, dict[str, Any]],
    epsilons: Sequence[str] = ("1/255",),
    attack: str = "standard",
) -> "Study":
    """The study of a network on a task's images or one's own.

    Raises:
        InputError: neither or both, or as `palpate.study.from_weights.study_of_network`.
    """
    from palpate.data.own import plain_name
    from palpate.study.from_weights import study_of_network

    if (task is None) == (images is None) or (labels and not images):
        raise InputError("give a task, or --images DIR with --labels FILE where DIR has no class folders")
    named = task or plain_name((labels or images or Path()).resolve().stem)
    return study_of_network(
        model, named, epsilons, {"attack": attack} | keys.get("attack", {}), images is not None, keys
    )


def opened(study: "Study", data: Path | None) -> "tuple[Dataset, nn.Module]":
    """The images of a study of one network, and the network with a logit for each class."""
    from palpate.study.classifier import check_model
    from palpate.study.stages.context import open_dataset

    dataset = open_dataset(study, study.tasks[0], data)
    return dataset, check_model(study.models[0], study.seeds[0], dataset, trains=False)


def _model(
    weights: str | None,
    channels: int | None,
    value_range: str | None,
    mean: str | None,
    std: str | None,
    classes: str | None,
) -> dict[str, Any]:
    """The keys of a study's model that have an option of their own."""
    given = {"value_range": value_range, "mean": mean, "std": std}
    normalization: dict[str, Any] = {
        key: _numbers(f"--{key.replace('_', '-')}", text) for key, text in given.items() if text
    }
    for key in ("mean", "std"):
        if len(normalization.get(key, ())) == 1:
            normalization[key] = normalization[key][0]
    names = [name.strip() for name in classes.split(",")] if classes else None
    found = {"weights": weights, "channels": channels, "normalization": normalization or None, "classes": names}
    return {key: value for key, value in found.items() if value is not None}


def _task(images: Path | None, labels: Path | None, size: int | None) -> dict[str, Any]:
    """The keys of a study's task that say where one's own images lie."""
    own: dict[str, Any] = {} if size is None else {"size": size}
    if images is None:
        return own
    place = str(images.resolve())
    if labels:
        return own | {"table": str(labels.resolve()), "images": place}
    return own | ({"arrays": place} if images.suffix == ".npz" else {"folder": place})


def _numbers(option: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.strip("[]()").split(",")]
    except ValueError:
        raise InputError(f"{option}: expected numbers with commas between, such as 0,255, given {text!r}") from None
