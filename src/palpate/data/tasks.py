"""The tasks palpate knows: a dict literal, so that a new data set is one reader and one entry here.

`overview` answers what is there and how to get the rest without decoding anything.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

import polars as pl

from palpate.core.errors import InputError
from palpate.data.download import Download
from palpate.data.preprocess import Preprocess
from palpate.data.readers import chestxray14, ham10000, idrid, medmnist, retinopathy


@dataclass(frozen=True)
class Task:
    """One classification task.

    Attributes:
        name: as users write it.   title: for reports.   classes: in label order.   finding: what the label is about.
        kind: "real", or "phantom": drawn here, nothing to download.   images: as published.
        folder: its place below the data root.   marker: a file in it, as a glob, that shows the set is there.
        extra_folders: further folders the reader takes.   reader: folders to a manifest.
        caveat: what a reader of results must know about the data; becomes a note.
        deduplicate: keep one of identical images, and none where their published labels differ.
        sizes: published sizes; "NAME-SIZE" selects one.   download: the file, where it may be fetched.
        phantom: the kind that `phantom.generate` draws.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    finding: str
    kind: Literal["real", "phantom"]
    images: int
    licence: str
    cite: str
    how_to_get: str
    folder: str = ""
    marker: str = "*"
    extra_folders: tuple[str, ...] = ()
    reader: Callable[..., pl.DataFrame] | None = None
    preprocess: Preprocess = field(default_factory=Preprocess)
    caveat: str = ""
    deduplicate: bool = False
    sizes: tuple[int, ...] = ()
    download: Download | None = None
    phantom: Literal["skin", "fundus", "chest"] | None = None


_GREY = Preprocess(grey=True)
_HAM = Task(
    name="ham10000",
    title="HAM10000: pigmented skin lesions",
    classes=ham10000.CLASSES,
    finding=ham10000.FINDING,
    kind="real",
    images=10015,
    licence="CC BY-NC 4.0",
    cite="Tschandl et al. 2018, doi:10.7910/DVN/DBW86T",
    how_to_get="download HAM10000_metadata, HAM10000_images_part_1 and _part_2 from doi.org/10.7910/DVN/DBW86T",
    folder="ham10000",
    marker="HAM10000_metadata*",
    reader=ham10000.read,
)
_EYEPACS = Task(
    name="kaggledr",
    title="Kaggle DR (EyePACS): diabetic retinopathy, grades 0-1 against 2-4",
    classes=retinopathy.CLASSES,
    finding=retinopathy.FINDING,
    kind="real",
    images=35126,
    licence="Kaggle competition rules",
    cite="EyePACS and California Healthcare Foundation 2015",
    how_to_get="download trainLabels.csv and train/ from kaggle.com/c/diabetic-retinopathy-detection",
    folder="kaggledr",
    marker="trainLabels.csv",
    reader=retinopathy.read_eyepacs,
)


def _medmnist(name: str, size: int) -> Task:
    spec, file = medmnist.SETS[name], medmnist.file_name(name, size)
    return Task(
        name=name if size == 28 else f"{name}-{size}",
        title=spec.title,
        classes=spec.classes,
        finding=spec.finding,
        kind="real",
        images=spec.images,
        licence="CC BY-NC 4.0" if name == "dermamnist" else "CC BY 4.0",
        cite="Yang et al. 2023, doi:10.1038/s41597-022-01721-8",
        how_to_get=f"it is downloaded when first used; without a network put {medmnist.URL}/{file} there",
        folder="medmnist",
        marker=file,
        reader=partial(medmnist.read, name=name, size=size),
        preprocess=_GREY if spec.grey else Preprocess(),
        caveat=f"published at {size} px; the file names no patients, so one patient may be in two splits",
        sizes=medmnist.SIZES,
        download=Download(file, f"{medmnist.URL}/{file}", spec.md5[medmnist.SIZES.index(size)]),
    )


def _phantom(kind: Literal["skin", "fundus", "chest"], title: str, finding: str, classes: tuple[str, str]) -> Task:
    return Task(
        name=f"phantom-{kind}",
        title=f"Phantom: {title}",
        classes=classes,
        finding=finding,
        kind="phantom",
        images=2400,
        licence="drawn by palpate, Apache-2.0",
        cite="palpate",
        how_to_get="nothing to get: it is drawn",
        caveat="drawn images: nothing here says how a model does on patients",
        phantom=kind,
    )


TASKS: dict[str, Task] = {
    "ham10000": _HAM,
    "ham10000-reference": replace(
        _HAM,
        name="ham10000-reference",
        title="HAM10000, with a test set as Datta et al. 2021 drew it",
        reader=ham10000.read_reference,
        caveat="the test set holds only lesions photographed once, so it is no fair sample of all lesions",
    ),
    "ham10000-isic2018": replace(
        _HAM,
        name="ham10000-isic2018",
        title="HAM10000 for training, ISIC 2018 task 3 for testing",
        images=10015 + 1511,
        how_to_get="HAM10000 as above; ISIC2018_Task3_Test_GroundTruth.csv and _Images from the same page into isic2018/",
        extra_folders=("isic2018",),
        reader=ham10000.read_external,
    ),
    "chestxray14": Task(
        name="chestxray14",
        title="ChestX-ray14: pneumothorax",
        classes=chestxray14.CLASSES,
        finding="pneumothorax",
        kind="real",
        images=112120,
        licence="free use, cite",
        cite="Wang et al. 2017, doi:10.1109/CVPR.2017.369",
        how_to_get="download Data_Entry_2017_v2020.csv, both lists and images_*/ from nihcc.app.box.com/v/ChestXray-NIHCC",
        folder="chestxray14",
        marker="Data_Entry_2017*.csv",
        reader=chestxray14.read,
        preprocess=Preprocess(grey=True, chest_filter="after"),
        caveat="labels were mined from reports by text, so some are wrong",
    ),
    "kaggledr": _EYEPACS,
    "kaggledr-official": replace(
        _EYEPACS,
        name="kaggledr-official",
        title=_EYEPACS.title + ", official test set",
        images=35126 + 53576,
        how_to_get=_EYEPACS.how_to_get + ", and retinopathy_solution.csv and test/ besides",
        marker="retinopathy_solution.csv",
        reader=retinopathy.read_eyepacs_official,
    ),
    "aptos2019": Task(
        name="aptos2019",
        title="APTOS 2019: diabetic retinopathy, grades 0-1 against 2-4",
        classes=retinopathy.CLASSES,
        finding=retinopathy.FINDING,
        kind="real",
        images=3662,
        licence="Kaggle competition rules",
        cite="APTOS and Aravind Eye Hospital 2019",
        how_to_get="download train.csv and train_images/ from kaggle.com/c/aptos2019-blindness-detection",
        folder="aptos2019",
        marker="train.csv",
        reader=retinopathy.read_aptos,
        caveat="patients are not named, so one patient may be in two splits",
        deduplicate=True,
    ),
    "idrid": Task(
        name="idrid",
        title="IDRiD: diabetic retinopathy, grades 0-1 against 2-4",
        classes=idrid.CLASSES,
        finding="diabetic retinopathy",
        kind="real",
        images=516,
        licence="CC BY 4.0",
        cite="Porwal et al. 2018, doi:10.3390/data3030025",
        how_to_get="download 'B. Disease Grading.zip' from doi.org/10.21227/H25W98 and unpack it there",
        folder="idrid",
        marker="B. Disease Grading",
        reader=idrid.read,
        caveat="patients are not named, so one patient may be in two splits",
    ),
    **{name: _medmnist(name, 28) for name in medmnist.SETS},
    "phantom-skin": _phantom("skin", "lesions on skin", "streaks at the border", ("globules", "streaks")),
    "phantom-fundus": _phantom("fundus", "fundus with vessels", "hard exudates", ("drusen", "hard exudates")),
    "phantom-chest": _phantom("chest", "chest with ribs and vessels", "pleural line", ("skin fold", "pleural line")),
}


@dataclass(frozen=True)
class TaskStatus:
    """One line of `palpate tasks`.

    Attributes:
        looked_in: its folder, or of several the first that is missing; None without a data root and for phantoms.
    """

    task: Task
    looked_in: Path | None
    present: bool


def find_task(name: str) -> Task:
    """Look a task up by name; "pathmnist-224" is PathMNIST's file of 224 px.

    Raises:
        InputError: unknown; names the known ones.
    """
    if name in TASKS:
        return TASKS[name]
    base, _, size = name.rpartition("-")
    if base in medmnist.SETS and size.isdigit() and int(size) in medmnist.SIZES:
        return _medmnist(base, int(size))
    raise InputError(f"task: {', '.join(TASKS)} are allowed, got {name!r}; `palpate tasks` describes them")


def data_root(root: Path | str | None) -> Path | None:
    """The folder of the publishers' folders: `root`, else `PALPATE_DATA`, else None."""
    given = root if root is not None else os.environ.get("PALPATE_DATA") or None
    return None if given is None else Path(given).expanduser()


def task_folders(task: Task, root: Path | str | None) -> list[Path]:
    """The existing folders of a real task, its own first.

    Raises:
        InputError: no data root was named, or a folder is missing in it; says where it looked and how to get the data.
    """
    base = data_root(root)
    names = (task.folder, *task.extra_folders)
    holds = " and ".join(f"{name}/" for name in names)
    if base is None:
        raise InputError(
            f"{task.name}: no data root; give --data ROOT (in Python root=...) or set PALPATE_DATA to the folder that "
            f"holds {holds}. To get the data: {task.how_to_get}"
        )
    folders = [base / name for name in names]
    for folder in folders:
        if not folder.is_dir() and not (task.download and base.is_dir()):
            raise InputError(
                f"{task.name}: looked in {folder}, which is no folder; --data or PALPATE_DATA must name the folder that "
                f"holds {holds}. To get the data: {task.how_to_get}"
            )
    return folders


def overview(root: Path | str | None = None) -> list[TaskStatus]:
    """Every task, where it was looked for, and whether it is there. Decodes and downloads nothing."""
    base = data_root(root)
    lines = []
    for task in TASKS.values():
        if task.kind == "phantom" or base is None:
            lines.append(TaskStatus(task, None, task.kind == "phantom"))
            continue
        folders = [base / name for name in (task.folder, *task.extra_folders)]
        missing = [folder for folder in folders if not folder.is_dir()]
        present = not missing and any(folders[0].glob(task.marker))
        lines.append(TaskStatus(task, (missing or folders)[0], present))
    return lines
