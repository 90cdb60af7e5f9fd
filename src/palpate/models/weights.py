"""A classifier as two files: tensors in safetensors, and beside them a small JSON that says what to build them into."""

import json
from pathlib import Path
from typing import Any

import palpate
from palpate.errors import InputError
from palpate.models.checkpoint import fill, read_tensors, write_tensors
from palpate.models.classifier import Classifier, build


def spec_path(path: str | Path) -> Path:
    """Where the JSON beside a weights file is: `weights.safetensors` → `weights.json`."""
    return Path(path).with_suffix(".json")


def describe(model: Classifier) -> str:
    """One line that names an architecture, for messages."""
    if model.spec is None:
        return f"the wrapped {type(model.backbone).__name__}"
    spec = model.spec
    return (
        f"{spec['backbone']} (attention {spec['attention']}, gamma {spec['gamma']}, {spec['num_classes']} classes, "
        f"size {spec['size']}, output_stride {spec['output_stride']})"
    )


def save_weights(model: Classifier, path: str | Path, extra: dict[str, Any] | None = None) -> None:
    """Write `path` (safetensors) and the JSON beside it.

    Args:
        model: from `build` or `wrap`; a wrapped one can only be loaded back with `load_into`.
        path: must end in .safetensors; its folder is made.
        extra: anything JSON-able worth keeping with the weights, such as the epoch and its validation loss.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise InputError(f"path: expected a name ending in .safetensors, got {path.name!r}")
    write_tensors(model.state_dict(), path)
    told = {"palpate": palpate.__version__, "spec": model.spec, "extra": extra or {}}
    spec_path(path).write_text(json.dumps(told, indent=2, sort_keys=True) + "\n")


def load_into(model: Classifier, path: str | Path) -> None:
    """Put the weights at `path` into `model`, in place; InputError for weights of another architecture."""
    path = Path(path)
    fill(model, read_tensors(path), path, describe(model))


def read_spec(path: str | Path) -> dict[str, Any]:
    """The JSON beside a weights file: {"palpate", "spec", "extra"}."""
    beside = spec_path(path)
    if not beside.is_file():
        raise InputError(f"weights: {beside} is missing; it stands beside {Path(path).name} and says what to build")
    try:
        told = json.loads(beside.read_text())
        return {"palpate": told["palpate"], "spec": told["spec"], "extra": told["extra"]}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"weights: {beside} is not what save_weights writes ({error!r}); save them again") from error


def load_weights(path: str | Path) -> Classifier:
    """The classifier that `save_weights` wrote, in evaluation mode.

    Raises:
        InputError: a file absent, cut short, a pickle, of another architecture than its JSON says, or of a wrapped network.
    """
    path = Path(path)
    state = read_tensors(path)
    spec = read_spec(path)["spec"]
    if spec is None:
        raise InputError(
            f"weights: {path} is of a wrapped network; make it again, wrap it, and use load_into(model, path)"
        )
    model = build(**(spec | {"weights": None}))
    fill(model, state, path, describe(model))
    model.spec = spec
    return model.eval()
