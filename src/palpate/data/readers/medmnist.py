"""MedMNIST 2D: twelve sets of small images, each one npz per size, with the official train, val and test arrays.

The medmnist package asserts too much and the files are trivial, so they are read here. No patient is named in them:
every image is its own group. Yang et al. 2023, doi:10.1038/s41597-022-01721-8; files, checksums and counts of its
version 3 (zenodo.org/records/10519652).
"""

import zipfile
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from palpate.core.errors import InputError
from palpate.core.registry import TASKS
from palpate.data.download import Download
from palpate.data.manifest import manifest
from palpate.data.preprocess import Preprocess
from palpate.data.readers.table import encode_labels
from palpate.data.tasks import Task

SPLITS = ("train", "val", "test")
SIZES = (28, 64, 128, 224)
URL = "https://zenodo.org/records/10519652/files"

_ORGANS = (
    "bladder", "left femur", "right femur", "heart", "left kidney", "right kidney", "liver", "left lung",
    "right lung", "pancreas", "spleen",
)  # fmt: skip
_TISSUE = (
    "adipose", "background", "debris", "lymphocytes", "mucus", "smooth muscle", "normal mucosa",
    "cancer-associated stroma", "adenocarcinoma epithelium",
)  # fmt: skip
_KIDNEY = (
    "collecting duct", "distal convoluted tubule", "glomerular endothelium", "interstitial endothelium", "leukocytes",
    "podocytes", "proximal tubule", "thick ascending limb",
)  # fmt: skip
_BLOOD = (
    "basophil", "eosinophil", "erythroblast", "immature granulocyte", "lymphocyte", "monocyte", "neutrophil", "platelet",
)  # fmt: skip
_SKIN = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")


@dataclass(frozen=True)
class MedSet:
    """One set of MedMNIST 2D.

    Attributes:
        finding: what the label is about.   classes: in label order.   grey: one channel.   images: in all splits.
        md5: of the files at `SIZES`.   column: of a multi-label set, the finding that becomes the label.
    """

    title: str
    finding: str
    classes: tuple[str, ...]
    grey: bool
    images: int
    md5: tuple[str, str, str, str]
    column: int | None = None


SETS: dict[str, MedSet] = {
    "pathmnist": MedSet(
        "PathMNIST: colorectal tissue", "tissue", _TISSUE, False, 107180,
        ("a8b06965200029087d5bd730944a56c1", "55aa9c1e0525abe5a6b9d8343a507616",
         "ac42d08fb904d92c244187169d1fd1d9", "2c51a510bcdc9cf8ddb2af93af1eadec"),
    ),
    "chestmnist": MedSet(
        "ChestMNIST: pneumothorax", "pneumothorax", ("no pneumothorax", "pneumothorax"), True, 112120,
        ("02c8a6516a18b556561a56cbdd36c4a8", "9de6cd0b934ebb5b7426cfba5efbae16",
         "db107e5590b27930b62dbaf558aebee3", "45bd33e6f06c3e8cdb481c74a89152aa"), column=7,
    ),
    "dermamnist": MedSet(
        "DermaMNIST: pigmented skin lesions", "skin lesion", _SKIN, False, 10015,
        ("0744692d530f8e62ec473284d019b0c7", "b70a2f5635c6199aeaa28c31d7202e1f",
         "2defd784463fa5243564e855ed717de1", "8974907d8e169bef5f5b96bc506ae45d"),
    ),
    "octmnist": MedSet(
        "OCTMNIST: retinal disease", "retinal disease",
        ("choroidal neovascularisation", "diabetic macular oedema", "drusen", "normal"), True, 109309,
        ("c68d92d5b585d8d81f7112f81e2d0842", "e229e9440236b774d9f0dfef9d07bdaf",
         "0a97e76651ace45c5d943ee3f65b63ae", "abc493b6d529d5de7569faaef2773ba3"),
    ),
    "pneumoniamnist": MedSet(
        "PneumoniaMNIST: pneumonia in children", "pneumonia", ("normal", "pneumonia"), True, 5856,
        ("28209eda62fecd6e6a2d98b1501bb15f", "8f4eceb4ccffa70c672198ea285246c6",
         "05b46931834c231683c68f40c47b2971", "d6a3c71de1b945ea11211b03746c1fe1"),
    ),
    "retinamnist": MedSet(
        "RetinaMNIST: diabetic retinopathy, five grades", "diabetic retinopathy",
        ("grade 0", "grade 1", "grade 2", "grade 3", "grade 4"), False, 1600,
        ("bd4c0672f1bba3e3a89f0e4e876791e4", "afda852cc34dcda56f86ad2b2457dbcc",
         "e48e916a24454daf90583d4e6efb1a18", "eae7e3b6f3fcbda4ae613ebdcbe35348"),
    ),
    "breastmnist": MedSet(
        "BreastMNIST: breast ultrasound", "malignancy", ("malignant", "normal or benign"), True, 780,
        ("750601b1f35ba3300ea97c75c52ff8f6", "742edef2a1fd1524b2efff4bd7ba9364",
         "363e4b3f8d712e9b5de15470a2aaadf1", "b56378a6eefa9fed602bb16d192d4c8b"),
    ),
    "bloodmnist": MedSet(
        "BloodMNIST: blood cells", "cell type", _BLOOD, False, 17092,
        ("7053d0359d879ad8a5505303e11de1dc", "2b94928a2ae4916078ca51e05b6b800b",
         "adace1e0ed228fccda1f39692059dd4c", "b718ff6835fcbdb22ba9eacccd7b2601"),
    ),
    "tissuemnist": MedSet(
        "TissueMNIST: kidney cortex cells", "cell type", _KIDNEY, True, 236386,
        ("ebe78ee8b05294063de985d821c1c34b", "123ece2eba09d0aa5d698fda57103344",
         "61b955355d7425a89687b06cca3ce0c2", "b077128c4a949f0a4eb01517f9037b9c"),
    ),
    "organamnist": MedSet(
        "OrganAMNIST: abdominal CT, axial", "organ", _ORGANS, True, 58830,
        ("68e3f8846a6bd62f0c9bf841c0d9eacc", "2dcccc29b88e6da5a01161ef20cda288",
         "eeae80d0a227a8d099027e1b3cfd3b60", "50747347e05c87dd3aaf92c49f9f3170"),
    ),
    "organcmnist": MedSet(
        "OrganCMNIST: abdominal CT, coronal", "organ", _ORGANS, True, 23583,
        ("b9ceb9546e10131b32923c5bbeaea2b1", "3ce34a8724ea6f548e6db4744d03b6a9",
         "773c1f009daa3fe5d9a2a201b2a7ed94", "050f5e875dc056f6768abf94ec9995d1"),
    ),
    "organsmnist": MedSet(
        "OrganSMNIST: abdominal CT, sagittal", "organ", _ORGANS, True, 25211,
        ("9ab87b696fb54e2a387ebe992d6ed5f1", "53a6d115339d874c25e309a994ff46d3",
         "ded0c5fa01a95dc4978b956f613e9b8e", "b354719e553fbbb2513d5533f52a4cb1"),
    ),
}  # fmt: skip


def file_name(name: str, size: int = 28) -> str:
    """The publisher's file name.

    >>> file_name("pathmnist"), file_name("pathmnist", 224)
    ('pathmnist.npz', 'pathmnist_224.npz')
    """
    return f"{name}.npz" if size == 28 else f"{name}_{size}.npz"


def read(folder: Path, name: str, size: int = 28) -> pl.DataFrame:
    """Read the labels of one set at one of its published sizes; the images stay in the npz.

    Returns:
        A manifest (`palpate.data.manifest.MANIFEST`); `image_id` is "train/000001", `path` is "….npz#train_images#1".

    Raises:
        InputError: the file is absent, damaged, lacks an array, or has labels of another set.
    """
    path, spec = folder / file_name(name, size), SETS[name]
    if not path.is_file():
        raise InputError(f"{path}: missing; download {URL}/{path.name} and put it there")
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            missing = [f"{s}_{kind}" for s in SPLITS for kind in ("images", "labels") if f"{s}_{kind}" not in arrays]
            if missing:
                raise InputError(f"{path}: array {', '.join(missing)} is missing; found {', '.join(arrays)}")
            parts = [_one_split(path, split, np.asarray(arrays[f"{split}_labels"]), spec.column) for split in SPLITS]
    except InputError:
        raise
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: damaged or no npz file ({error}); download it again") from None
    codes = {str(i): i for i in range(len(spec.classes))}
    return manifest(encode_labels(pl.concat(parts), "value", codes, path), path)


def _one_split(path: Path, split: str, labels: np.ndarray, column: int | None) -> pl.DataFrame:
    width = labels.size // max(len(labels), 1)
    if labels.dtype.kind not in "iu" or (column is None and width != 1) or (column is not None and width <= column):
        wanted = "one label per image" if column is None else f"at least {column + 1} labels per image"
        raise InputError(
            f"{path}: {split}_labels is {labels.dtype} {labels.shape}; whole numbers, {wanted}, are needed"
        )
    values = labels.reshape(len(labels), width)[:, column or 0]
    ids = [f"{split}/{i:06d}" for i in range(len(values))]
    return pl.DataFrame(
        {
            "image_id": ids,
            "group_id": ids,
            "path": [f"{path.resolve()}#{split}_images#{i}" for i in range(len(values))],
            "value": [str(value) for value in values.tolist()],
            "split": pl.Series([split] * len(values), dtype=pl.String),
        }
    )


def task(name: str, size: int = 28) -> Task:
    """The task of one set at one of its published sizes."""
    spec, file = SETS[name], file_name(name, size)
    return Task(
        name=name if size == 28 else f"{name}-{size}",
        title=spec.title,
        classes=spec.classes,
        finding=spec.finding,
        images=spec.images,
        licence="CC BY-NC 4.0" if name == "dermamnist" else "CC BY 4.0",
        cite="Yang et al. 2023, doi:10.1038/s41597-022-01721-8",
        how_to_get=f"it is downloaded when first used; without a network put {URL}/{file} there",
        folder="medmnist",
        marker=file,
        reader=partial(read, name=name, size=size),
        preprocess=Preprocess(grey=spec.grey),
        caveat=f"published at {size} px; the file names no patients, so one patient may be in two splits",
        sizes=SIZES,
        at_size=partial(task, name),
        download=Download(file, f"{URL}/{file}", spec.md5[SIZES.index(size)]),
    )


for each in SETS:
    TASKS.add(each, task(each))
