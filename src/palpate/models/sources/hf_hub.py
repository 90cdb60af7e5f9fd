"""Image classifiers of the Hugging Face hub, or of a folder that holds one: "hf-hub:ORGANISATION/NAME", "hf-hub:FOLDER"."""

import dataclasses
import importlib
import json
from pathlib import Path
from typing import Any

from palpate.core.errors import InputError
from palpate.core.registry import MODEL_SOURCES
from palpate.models.hub import repository
from palpate.models.sources import Network, Request
from palpate.models.sources.timm import timm_network

CONFIG, WEIGHTS, IMAGES = "config.json", "model.safetensors", "preprocessor_config.json"


@MODEL_SOURCES.register("hf-hub")
def hub_network(request: Request) -> Network:
    """A classifier of transformers, whole; or a network of timm, as the source timm makes it.

    Weights are "hub" for the repository's own, or None for random ones. A classifier of other classes than those asked for is replaced by a
    new one. No code of a repository is run.

    Raises:
        InputError: no such repository, not to be downloaded, of another kind, or without safetensors; transformers is not installed.
    """
    if request.weights not in (None, "hub"):
        raise InputError(f"weights: of source hf-hub, expected None or 'hub', got {str(request.weights)!r}")
    if request.channels != 3:
        raise InputError(f"channels: networks of the hub take 3, got {request.channels}; repeat grey images")
    folder = repository(request.name, (CONFIG,) if request.weights is None else (CONFIG, WEIGHTS), (IMAGES,))
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"backbone: {request.name!r} has no readable {CONFIG} ({error})") from error
    if request.weights is not None and not (folder / WEIGHTS).is_file():
        raise InputError(f"weights: {request.name!r} has no {WEIGHTS}, and pickles of a hub are not opened")
    if "architecture" in config:
        weights = None if request.weights is None else folder / WEIGHTS
        made = timm_network(dataclasses.replace(request, name=config["architecture"], weights=weights))
        own = config.get("pretrained_cfg", {})
        known = (own["mean"], own["std"]) if {"mean", "std"} <= own.keys() else made.pretrained
        return dataclasses.replace(made, pretrained=known)
    return _classifier(folder, request, config)


def _classifier(folder: Path, request: Request, config: dict[str, Any]) -> Network:
    try:
        transformers = importlib.import_module("transformers")
    except ImportError as error:
        remedy = "install palpate[transformers] or transformers"
        raise InputError(f"backbone: {request.name!r} needs transformers ({error}); {remedy}") from error
    auto = transformers.AutoModelForImageClassification
    changed = dict(request.arguments)
    names = [config["id2label"][key] for key in sorted(config.get("id2label", {}), key=int)]
    new_head = request.num_classes is not None and request.num_classes != len(names)
    if new_head:
        changed["num_labels"] = request.num_classes
    try:
        if request.weights is None:
            module = auto.from_config(transformers.AutoConfig.from_pretrained(folder, **changed))
        else:
            module = auto.from_pretrained(folder, use_safetensors=True, ignore_mismatched_sizes=new_head, **changed)
    except (OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
        fault = f"{request.name!r} is no image classifier that transformers can make: {error}"
        raise InputError(f"backbone: {fault}") from error
    pretrained = _normalization(folder)
    classes, trained = None if new_head or not names else tuple(names), request.weights is not None and not new_head
    known = "pretrained" if pretrained else None
    return Network(module, "logits", known, pretrained, classes=classes, trained=trained)


def _normalization(folder: Path) -> tuple[list[float], list[float]] | None:
    """Mean and standard deviation of the repository's own preprocessing, where it normalises images in [0, 1]."""
    try:
        own = json.loads((folder / IMAGES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not own.get("do_normalize", True) or abs(own.get("rescale_factor", 1 / 255) * 255 - 1) > 1e-3:
        return None
    return (own["image_mean"], own["image_std"]) if {"image_mean", "image_std"} <= own.keys() else None
