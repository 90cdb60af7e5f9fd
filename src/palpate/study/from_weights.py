"""The study of one attack on weights that exist already: what `palpate attack` runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from palpate.core.errors import InputError
from palpate.models.checkpoint import read_spec
from palpate.study.spec import Study


def study_of_weights(weights: Path, task: str, epsilons: Sequence[str], attack: dict[str, Any]) -> Study:
    """A study of one model that is attacked as it is, on the task's test images at the size the weights were made for.

    Args:
        weights: a safetensors file that palpate wrote, its JSON beside it.
        task: a task's name.
        epsilons: l-infinity radii, such as "1/255".
        attack: an attack of a study: a registered name as `attack`, its settings and `images`.

    Raises:
        InputError: a file without its JSON or of a wrapped network, or a setting that is not allowed.
    """
    made_of = read_spec(weights)["spec"]
    if made_of is None:
        raise InputError(f"weights: {weights} is of a wrapped network; attack that from Python with palpate.sweep")
    model = {key: made_of[key] for key in ("backbone", "attention", "gamma", "output_stride")}
    return Study.read(
        {
            "name": f"attack-{task}",
            "title": f"{made_of['backbone']} under attack",
            "tasks": [{"name": task, "size": made_of["size"]}],
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
