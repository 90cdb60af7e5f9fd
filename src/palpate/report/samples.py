"""The sample images of a run, as the attack, corrupt and explain stages keep them.

Arrays are read where they are needed: a file of many samples is mapped into memory, so that opening a thousand of them takes no time.
"""

import dataclasses
import struct
import tempfile
import zipfile
from functools import cached_property
from pathlib import Path
from shutil import copyfileobj
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from palpate.core.npz import MOST_BYTES, read_header
from palpate.report.stages import Stage, StageTables


@dataclasses.dataclass(frozen=True)
class Maps:
    """The maps of one explainer, read when first asked for."""

    file: Path

    @cached_property
    def values(self) -> NDArray[np.floating]:
        """(E + 1, T, n, h, w), not scaled: by epsilon, clean first, by explained class (true, predicted), by sample."""
        return mapped(self.file, ("maps",))["maps"]


@dataclasses.dataclass(frozen=True)
class Samples:
    """The samples of one model under one attack.

    Attributes:
        model_id, attack_id: whose.   norm: of the epsilons.
        clean: (n, C, H, W) in [0, 1].   adversarial: (E, n, C, H, W).   epsilons: (E,) in units of [0, 1].
        image_ids, labels: (n,).   predictions: (E + 1, n), clean first.
        confidence: (E + 1, n), softmax probability of the prediction; None where the run does not hold it.
        maps: by explainer.
    """

    model_id: str
    attack_id: str
    norm: str
    clean: NDArray[np.float32]
    adversarial: NDArray[np.float32]
    epsilons: tuple[float, ...]
    image_ids: tuple[str, ...]
    labels: NDArray[np.int64]
    predictions: NDArray[np.int64]
    confidence: NDArray[np.float64] | None
    maps: dict[str, Maps]


def load(tables: StageTables, task: str) -> list[Samples]:
    """The samples of the explained models of a task; what cannot be read is added to the problems."""
    parents = [one.parent("attack") for one in tables.complete("explain", task)]
    stages = [tables.stage(stage_id) for stage_id in dict.fromkeys(parent.id for parent in parents if parent)]
    found = [read(tables, stage) for stage in stages if stage is not None]
    return [one for one in found if one is not None]


def read(tables: StageTables, stage: Stage) -> Samples | None:
    """The samples of one attack stage with the maps made of them; None, and a problem, where they cannot be read."""
    every = tables.complete("explain", stage.task, stage.model_id)
    explained = [one for one in every if (parent := one.parent("attack")) and parent.id == stage.id]
    return tables.attempt(f"samples of {stage.title} cannot be read", lambda: _read(stage, explained))


def _read(stage: Stage, explained: list[Stage]) -> Samples:
    stored = mapped(stage.file("samples.npz"))
    predictions, confidence, maps = None, None, {}
    for one in explained:
        maps[one.map_method] = Maps(one.file("maps.npz"))
        predictions = mapped(one.file("maps.npz"), ("predictions",))["predictions"]
    if "logits" in stored:
        logits = np.asarray(stored["logits"], np.float64)
        predictions, confidence = logits.argmax(-1), softmax(logits, axis=-1).max(-1)
    if predictions is None:
        raise ValueError("holds no predictions of the samples; run the study again")
    spec = stage.spec.get("attack")
    norm = spec.get("norm", "linf") if isinstance(spec, dict) else "severity" if stage.kind == "corrupt" else "linf"
    attack = str(stage.facts.get("attack_id") or stage.title.partition(" by ")[2] or stage.kind)
    images = stored["clean"], stored["adversarial"], tuple(stored["epsilons"].tolist())
    about = tuple(stored["image_ids"].astype(str).tolist()), stored["labels"]
    return Samples(stage.model_id, attack, norm, *images, *about, predictions, confidence, maps)


def first_fooled(samples: Samples) -> int:
    """The first image that the model classifies correctly unattacked and wrongly at some epsilon; else the first correct; else 0."""
    right = samples.predictions[0] == samples.labels
    fooled = (samples.predictions[1:] != samples.labels).any(0)
    candidates = [np.flatnonzero(right & fooled), np.flatnonzero(right), np.arange(len(samples.labels))]
    return int(next(found for found in candidates if len(found))[0])


def described(samples: Samples, image: int, classes: tuple[str, ...]) -> str:
    """What an image is, and what it was taken for when clean and at the largest epsilon; a class that the task does not know goes by its number."""
    seen = [int(samples.labels[image]), *samples.predictions[[0, -1], image].tolist()]
    label, *predicted = (classes[each] if 0 <= each < len(classes) else f"class {each}" for each in seen)
    return f"{samples.image_ids[image]}, label “{label}”: “{predicted[0]}” when clean, “{predicted[1]}” when perturbed."


def mapped(file: Path, names: tuple[str, ...] | None = None) -> dict[str, NDArray]:
    """The arrays of an npz file, mapped into memory; compressed ones are unpacked into a temporary file first. Never a pickle.

    Args:
        file: as `numpy.savez` and `numpy.savez_compressed` write it.
        names: of the arrays wanted; all when absent.

    Raises:
        ValueError: an array of Python objects.   KeyError: an array is absent.   zipfile.BadZipFile, OSError: the file is damaged.
    """
    found = {}
    with zipfile.ZipFile(file) as archive:
        wanted = archive.infolist() if names is None else [archive.getinfo(f"{name}.npy") for name in names]
        if (size := sum(info.file_size for info in wanted)) > MOST_BYTES:
            raise ValueError(f"claims to hold {size:,} bytes, at most {MOST_BYTES:,} are read")
        for info in wanted:
            if info.compress_type == zipfile.ZIP_STORED:
                with file.open("rb") as source:
                    source.seek(info.header_offset + 26)
                    source.seek(info.header_offset + 30 + sum(struct.unpack("<HH", source.read(4))))
                    found[info.filename.removesuffix(".npy")] = _array(source)
                continue
            with tempfile.TemporaryFile() as unpacked, archive.open(info) as source:
                copyfileobj(source, unpacked)
                unpacked.seek(0)
                found[info.filename.removesuffix(".npy")] = _array(unpacked)  # pyright: ignore[reportArgumentType]
    return found


def _array(source: BinaryIO) -> NDArray:
    """The array that begins here in a file; the map outlives the file's handle."""
    shape, fortran, dtype = read_header(source)
    if dtype.hasobject:
        raise ValueError("an array of Python objects is not read")
    if 0 in shape:
        return np.empty(shape, dtype)
    return np.memmap(source, dtype, "r", source.tell(), shape, "F" if fortran else "C")
