"""Networks and images as the commands take them: options to the keys of a study's model and task."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from palpate.core.errors import InputError

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
        except tomllib.TOMLDecodeError:
            read = value.strip()
        found.setdefault(part, {})[key] = read
    return found


def model_settings(
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


def image_settings(images: Path | None, labels: Path | None, size: int | None) -> dict[str, Any]:
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
