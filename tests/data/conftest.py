"""Small data sets in each publisher's exact layout, and the real ones where they are at hand.

Every test here has a cache of its own, and no data root unless it names one.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from palpate.core.registry import IMAGE_FILTERS, Registry

CHEST_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
HAM_HEADER = "lesion_id,image_id,dx,dx_type,age,sex,localization"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PALPATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PALPATE_DATA", raising=False)


@pytest.fixture
def enter(monkeypatch: pytest.MonkeyPatch) -> Callable[[Registry, str, object], None]:
    """Registers a thing for the length of a test, in the place of one of that name."""

    def one(registry: Registry, name: str, value: object) -> None:
        others = {entry.name: entry for entry in registry.entries() if entry.name != name}
        monkeypatch.setattr(registry, "_entries", others)
        registry.add(name, value)

    return one


@pytest.fixture
def mirror(enter: Callable) -> None:
    """An image filter of that name."""
    enter(IMAGE_FILTERS, "mirror", lambda image: image[:, ::-1].copy())


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The data root with real images: `PALPATE_DATA`, else `../shared/data` beside the checkout."""
    given = os.environ.get("PALPATE_DATA")
    root = Path(given) if given else Path(__file__).parents[3] / "shared" / "data"
    if not root.is_dir():
        pytest.skip(f"no real images: neither PALPATE_DATA nor {root} is there")
    return root


def write_image(path: Path, seed: int, shape: tuple[int, ...] = (30, 40, 3)) -> None:
    """A picture whose pixels follow from `seed` alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    assert cv2.imwrite(str(path), pixels)


def write_ham(root: Path, lesions: Mapping[str, tuple[str, int]]) -> Path:
    """`lesions`: lesion_id to (diagnosis, number of images)."""
    folder = root / "ham10000"
    lines, number = [HAM_HEADER], 24306
    for lesion, (dx, count) in lesions.items():
        for _ in range(count):
            name = f"ISIC_{number:07d}"
            lines.append(f"{lesion},{name},{dx},histo,80.0,male,scalp")
            write_image(folder / f"HAM10000_images_part_{1 + number % 2}" / f"{name}.jpg", number)
            number += 1
    (folder / "HAM10000_metadata.csv").write_text("\n".join(lines) + "\n")
    return folder


def write_chest(root: Path, rows: Sequence[tuple[str, str, str]], version: str = "_v2020") -> Path:
    """`rows`: (file name, findings, patient)."""
    folder = root / "chestxray14"
    lines = [CHEST_HEADER]
    for i, (name, findings, patient) in enumerate(rows):
        lines.append(f"{name},{findings},{i},{patient},57,M,PA,2682,2749,0.143,0.143")
        write_image(folder / f"images_{1 + i % 12:03d}" / "images" / name, i, (48, 48))
    (folder / f"Data_Entry_2017{version}.csv").write_text("\n".join(lines) + "\n")
    return folder


def write_idrid(root: Path, train: Sequence[int], test: Sequence[int], pixels: Mapping[str, int] | None = None) -> Path:
    """Grades of both sets; `pixels` overrides the seed of pictures, by image_id ("train/IDRiD_001")."""
    base = root / "idrid" / "B. Disease Grading"
    sets = {"train": ("a. Training Set", "a. IDRiD_Disease Grading_Training Labels.csv", train, ",,,,,,,,,")}
    sets["test"] = ("b. Testing Set", "b. IDRiD_Disease Grading_Testing Labels.csv", test, "")
    for number, (name, (images, csv, grades, tail)) in enumerate(sets.items()):
        lines = ["Image name,Retinopathy grade,Risk of macular edema " + tail]
        for i, grade in enumerate(grades, 1):
            seed = (pixels or {}).get(f"{name}/IDRiD_{i:03d}", 1000 * number + i)
            write_image(base / "1. Original Images" / images / f"IDRiD_{i:03d}.jpg", seed)
            lines.append(f"IDRiD_{i:03d},{grade},0{tail}")
        path = base / "2. Groundtruths" / csv
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(("\r\n".join(lines) + "\r\n").encode())
    return root / "idrid"


def write_medmnist(
    root: Path, file: str, labels: Mapping[str, Sequence], shape: tuple[int, ...] = (28, 28), seed: int = 0
) -> Path:
    """`labels`: split to one label, or one list of labels, per image."""
    (root / "medmnist").mkdir(parents=True, exist_ok=True)
    generator, arrays = np.random.default_rng(seed), {}
    for split, values in labels.items():
        arrays[f"{split}_images"] = generator.integers(0, 256, (len(values), *shape), dtype=np.uint8)
        arrays[f"{split}_labels"] = np.asarray(values, np.uint8).reshape(len(values), -1)
    np.savez_compressed(root / "medmnist" / file, **arrays)
    return root / "medmnist"


def write_table(path: Path, header: str, lines: Sequence[str], folder: Path, suffix: str, column: int = 0) -> None:
    """A CSV and one picture for each of its lines, named by `column`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *lines]) + "\n")
    for i, line in enumerate(lines):
        write_image(folder / f"{line.split(',')[column]}{suffix}", i)


@pytest.fixture(scope="session")
def publish() -> SimpleNamespace:
    """The writers of this file, for the tests."""
    writers: dict[str, Callable] = {
        "image": write_image,
        "ham": write_ham,
        "chest": write_chest,
        "idrid": write_idrid,
        "medmnist": write_medmnist,
        "table": write_table,
    }
    return SimpleNamespace(**writers)
