"""The study of one attack on weights that exist already: what `palpate attack` runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from palpate.core.errors import InputError
from palpate.models.checkpoint import read_spec
from palpate.study.spec import Study


def study_of_weights(
    weights: Path, task: str, epsilons: Sequence[str], attack: dict[str, Any], own: Mapping[str, Any] | None = None
) -> Study:
    """A study of one model that is attacked as it is, on the task's test images at the size the weights were made for.

    Args:
        weights: a safetensors file that palpate wrote, its JSON beside it.
        task: a task's name, or that of own images.
        epsilons: l-infinity radii, such as "1/255".
        attack: an attack of a study: a registered name as `attack`, its settings and `images`.
        own: the keys of a study's task that say where one's own images lie. All are test images, or those of the test split where one is stated;
            their classes are numbered as the network learned them.

    Raises:
        InputError: a file without its JSON or of a wrapped network, or a setting that is not allowed.
    """
    told = read_spec(weights)
    made_of = told["spec"]
    if made_of is None:
        raise InputError(f"weights: {weights} is of a wrapped network; attack that from Python with palpate.sweep")
    model = {key: made_of[key] for key in ("backbone", "attention", "gamma", "output_stride")}
    images = {}
    if own:
        learned = {"classes": told["extra"].get("classes"), "channels": made_of["channels"]}
        images = {**own, "test_only": True, **{key: value for key, value in learned.items() if value is not None}}
    return Study.read(
        {
            "name": f"attack-{task}",
            "title": f"{made_of['backbone']} under attack",
            "tasks": [{"name": task, "size": made_of["size"]} | images],
            "models": [model | {"weights": str(weights)}],
            "epsilons": list(epsilons),
            "training": {"name": "from-weights", "epochs": 0},
            "attacks": [attack],
        },
        "palpate attack",
    )


def check_weights(weights: str | None, classes: Sequence[str]) -> None:
    """Refuse weights that cannot stand without training: none at all, a backbone's alone, or those of other classes.

    Raises:
        InputError: as said.
    """
    if weights is None or not Path(weights).is_file():
        raise InputError(
            f"weights: epochs = 0 trains nothing, so a file that palpate wrote is needed, given {weights or 'none'}"
        )
    told = read_spec(Path(weights))
    learned = told["extra"].get("classes")
    if learned is not None and list(learned) != list(classes):
        raise InputError(
            f"weights: {weights} was trained on the classes {', '.join(learned)}, and the task has {', '.join(classes)}"
        )
