"""A classifier as two files: tensors in safetensors, and beside them a small JSON that says what to build them into."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from palpate.core.errors import InputError
from palpate.core.io import write_json
from palpate.models.build import build
from palpate.models.checkpoint import fill, read_spec, read_tensors, spec_path, write_tensors
from palpate.models.classifier import Classifier


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
    content = {"palpate": version("palpate"), "spec": model.spec, "extra": extra or {}}
    write_json(spec_path(path), content)


def load_into(model: Classifier, path: str | Path) -> None:
    """Put the weights at `path` into `model`, in place; InputError for weights of another architecture."""
    path = Path(path)
    fill(model, read_tensors(path), path, model.describe())


def load_weights(path: str | Path) -> Classifier:
    """The classifier that `save_weights` wrote, in evaluation mode.

    Raises:
        InputError: a file absent, cut short, a pickle, of another architecture than its JSON says, or of a wrapped network.
    """
    path = Path(path)
    state = read_tensors(path)
    spec = read_spec(path)["spec"]
    if spec is None:
        remedy = "make it again, wrap it, and use load_into(model, path)"
        raise InputError(f"weights: {path} is of a wrapped network; {remedy}")
    with torch.random.fork_rng(devices=[]):  # the random weights to be replaced leave torch's generator as it was
        try:
            model = build(**(spec | {"weights": None}))
        except InputError:
            raise
        except (TypeError, ValueError, AttributeError, LookupError, RuntimeError, OverflowError) as error:
            raise InputError(f"weights: {spec_path(path)} is not what save_weights writes ({error})") from error
    fill(model, state, path, model.describe())
    model.spec, model.trained = spec, True
    return model.eval()
