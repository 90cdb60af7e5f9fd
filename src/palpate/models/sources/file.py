"""Exported programs: "file:PATH" of what torch.export or TorchScript saved, whole and with its weights."""

import io
import json
import pickle
import warnings
import zipfile
from pathlib import Path

import torch

from palpate.core.errors import InputError
from palpate.core.registry import MODEL_SOURCES
from palpate.models.sources import Network, Request
from palpate.models.weight_files import load_without_code


@MODEL_SOURCES.register("file")
def file_network(request: Request) -> Network:
    """The network in a file of torch.export.save or torch.jit.save.

    Raises:
        InputError: absent, of another kind, needs code to load; weights or arguments are given beside it.
    """
    path = Path(request.name)
    if request.weights is not None or request.arguments:
        raise InputError("weights, arguments: a program has its own; leave them out with file:PATH")
    if not path.is_file():
        raise InputError(f"backbone: no file at {path}")
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.partition("/")[2] for name in archive.namelist()}
            exported = "archive_format" in names
            if exported:
                _refuse_code(archive, path)
    except zipfile.BadZipFile:
        names, exported = set(), False
    if not exported and "constants.pkl" not in names:
        remedy = "weights alone are given as weights=… beside the name of the network that they are of"
        raise InputError(f"backbone: {path} is no program of torch.export.save or torch.jit.save; {remedy}")
    return Network(_load(path, exported), "logits", normalization=None, trained=True)


def _load(path: Path, exported: bool) -> torch.nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # TorchScript is deprecated
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return torch.export.load(path).module() if exported else torch.jit.load(path, map_location="cpu")
        except Exception as error:  # the reader of either format raises what it likes
            remedy = "export it again with this version of torch"
            raise InputError(f"backbone: {path} cannot be loaded: {error}; {remedy}") from error


def _refuse_code(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuse an archive whose parts torch.export.load would unpickle without limits, or run as a compiled library."""
    for name in archive.namelist():
        inside = name.partition("/")[2]
        safe = not inside.startswith("data/aotinductor")
        if inside.endswith("_config.json"):
            entries = json.loads(archive.read(name)).get("config", {}).values()
            safe = not any(entry.get("use_pickle", True) for entry in entries)
        elif inside.startswith("data/sample_inputs"):
            try:
                load_without_code(io.BytesIO(archive.read(name)))
            except (pickle.UnpicklingError, RuntimeError):
                safe = False
        if not safe:
            fault = f"{path} holds more than a program and tensors ({inside}) and needs code to load; export it again"
            raise InputError(f"backbone: {fault}")
