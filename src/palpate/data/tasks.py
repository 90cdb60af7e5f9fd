"""The tasks palpate knows: a dict literal, so that a new data set is one reader and one entry here.

`overview` answers what is there and how to get the rest without decoding anything.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import polars as pl

from palpate.data.preprocess import Preprocess
from palpate.data.readers import chestxray14, ham10000, idrid, medmnist
from palpate.errors import InputError


@dataclass(frozen=True)
class Task:
    """One classification task.

    Attributes:
        name: as users write it.   title: for reports.   classes: in label order.   finding: what the label is about.
        kind: "real", or "phantom": made here, nothing to download.
        reader: a folder to a manifest (real).   folder: its place below the data root.
        phantom: the kind `phantom.generate` takes (phantom).
        deduplicate: keep one of identical images.
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
    reader: Callable[[Path], pl.DataFrame] | None = None
    phantom: Literal["skin", "fundus", "chest"] | None = None
    preprocess: Preprocess = field(default_factory=Preprocess)
    deduplicate: bool = False


PHANTOMS: tuple[tuple[Literal["skin", "fundus", "chest"], str, str], ...] = (
    ("skin", "lesions on skin", "lesion sign"),
    ("fundus", "a fundus with vessels and exudates", "exudates"),
    ("chest", "a chest with a pleural line", "pleural line"),
)

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            name="ham10000",
            title="HAM10000: pigmented skin lesions",
            classes=ham10000.CLASSES,
            finding="skin lesion",
            kind="real",
            images=10015,
            licence="CC BY-NC 4.0",
            cite="Tschandl et al. 2018, doi:10.7910/DVN/DBW86T",
            how_to_get="download HAM10000_metadata, HAM10000_images_part_1 and _part_2 from doi.org/10.7910/DVN/DBW86T",
            folder="ham10000",
            reader=ham10000.read,
        ),
        Task(
            name="chestxray14",
            title="ChestX-ray14: pneumothorax",
            classes=chestxray14.CLASSES,
            finding="pneumothorax",
            kind="real",
            images=112120,
            licence="free use, cite",
            cite="Wang et al. 2017, CVPR",
            how_to_get="download Data_Entry_2017_v2020.csv, the images and both lists from nihcc.app.box.com/v/ChestXray-NIHCC",
            folder="chestxray14",
            reader=chestxray14.read,
            preprocess=Preprocess(grey=True, chest_filter="after"),
        ),
        Task(
            name="idrid",
            title="IDRiD: diabetic retinopathy, grades 0-1 against 2-4",
            classes=idrid.CLASSES,
            finding="diabetic retinopathy",
            kind="real",
            images=516,
            licence="CC BY 4.0",
            cite="Porwal et al. 2018, doi:10.21227/H25W98",
            how_to_get="download 'B. Disease Grading.zip' from doi.org/10.21227/H25W98 and unpack it there",
            folder="idrid",
            reader=idrid.read,
        ),
        Task(
            name="pneumoniamnist",
            title="PneumoniaMNIST: pneumonia in children",
            classes=("normal", "pneumonia"),
            finding="pneumonia",
            kind="real",
            images=5856,
            licence="CC BY 4.0",
            cite="Yang et al. 2023, doi:10.1038/s41597-022-01721-8",
            how_to_get="download pneumoniamnist.npz from zenodo.org/records/10519652",
            folder="medmnist",
            reader=medmnist.read_pneumonia,
            preprocess=Preprocess(grey=True),
        ),
        *(
            Task(
                name=f"phantom-{kind}",
                title=f"Phantom: {what}",
                classes=("sign absent", "sign present"),
                finding=finding,
                kind="phantom",
                images=2400,
                licence="generated, Apache-2.0",
                cite="palpate",
                how_to_get="nothing to get: it is generated",
                phantom=kind,
            )
            for kind, what, finding in PHANTOMS
        ),
    )
}


@dataclass(frozen=True)
class TaskStatus:
    """One line of `palpate tasks`: the task, where its folder was looked for, and whether it is there."""

    task: Task
    looked_in: Path | None
    present: bool


def find_task(name: str) -> Task:
    """Look a task up by name.

    Raises:
        InputError: unknown; names the known ones.
    """
    if name not in TASKS:
        raise InputError(f"task: {', '.join(TASKS)} are allowed, got {name!r}; `palpate tasks` describes them")
    return TASKS[name]


def data_root(root: Path | str | None) -> Path | None:
    """The folder of the publishers' folders: `root`, else `PALPATE_DATA`, else None."""
    given = root if root is not None else os.environ.get("PALPATE_DATA") or None
    return None if given is None else Path(given).expanduser()


def task_folder(task: Task, root: Path | str | None) -> Path:
    """The existing folder of a real task.

    Raises:
        InputError: no data root was named, or the folder is missing in it; says where it looked and how to get the data.
    """
    base = data_root(root)
    if base is None:
        raise InputError(
            f"{task.name}: no data root; give --data ROOT (in Python root=...) or set PALPATE_DATA to the folder that "
            f"holds {task.folder}/. To get the data: {task.how_to_get}"
        )
    folder = base / task.folder
    if not folder.is_dir():
        raise InputError(
            f"{task.name}: looked in {folder}, which is no folder; --data or PALPATE_DATA must name the folder that "
            f"holds {task.folder}/. To get the data: {task.how_to_get}"
        )
    return folder


def overview(root: Path | str | None = None) -> list[TaskStatus]:
    """Every task, where it was looked for, and whether its folder is there. Decodes nothing."""
    base = data_root(root)
    lines = []
    for task in TASKS.values():
        folder = None if task.kind == "phantom" or base is None else base / task.folder
        lines.append(TaskStatus(task, folder, task.kind == "phantom" or (folder is not None and folder.is_dir())))
    return lines
