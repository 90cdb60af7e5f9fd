"""From a backbone's name to its network, and to the file that stands behind the name. Importing this does not import torch."""

import hashlib
from pathlib import Path
from typing import Any

from palpate.core.errors import InputError
from palpate.core.io import sha256
from palpate.core.registry import MODEL_SOURCES
from palpate.models.sources import Network, Request, module_file

DEFAULT = "timm"


def make_network(backbone: str, size: int, **settings: Any) -> Network:
    """Make the network of a backbone's name; the settings are those of `Request`.

    Raises:
        InputError: no such source, or what the source refuses.
    """
    source, name = _split(backbone)
    if source in MODEL_SOURCES:
        return MODEL_SOURCES[source](Request(name, size, **settings))
    from palpate.models.sources.factory import factory_network

    return factory_network(source, Request(name, size, **settings))


def code_hash(backbone: str, what: str = "backbone") -> str | None:
    """The SHA-256 of the file that a backbone's name stands for: a factory's module, an exported program, or the weights and the settings in a
    folder of hf-hub; None of any other registered source.

    Args:
        what: names it in errors.

    Nothing is imported but the packages above a factory's module.

    Raises:
        InputError: there is no such file.
    """
    source, name = _split(backbone)
    if source == "hf-hub" and Path(name).is_dir():
        files = [path for path in sorted(Path(name).iterdir()) if path.suffix in (".json", ".safetensors")]
        return hashlib.sha256("".join(f"{path.name} {sha256(path)}\n" for path in files).encode()).hexdigest()
    if source in MODEL_SOURCES and source != "file":
        return None
    path = Path(name) if source == "file" else module_file(source, what)
    if path is None or not path.is_file():
        raise InputError(f"{what}: {backbone!r} stands for {path or 'no file'}, which is not there")
    return sha256(path)


def _split(backbone: str) -> tuple[str, str]:
    source, colon, name = backbone.partition(":")
    return (source, name) if colon else (DEFAULT, backbone)
