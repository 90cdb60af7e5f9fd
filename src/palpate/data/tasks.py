"""What a task is, how one is found by name, and where its images lie.

Each file of `palpate.data.readers` registers its own tasks, so that a new data set is one new file. `overview` answers what is there and how to
get the rest without decoding anything.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import polars as pl

from palpate.core.errors import InputError
from palpate.core.registry import TASKS
from palpate.data.download import Download
from palpate.data.preprocess import Preprocess

if TYPE_CHECKING:
    from palpate.data.synthetic.generate import SyntheticImages


@dataclass(frozen=True)
class Task:
    """One classification task. It needs a `reader` or a `generate`.

    Attributes:
        name: as users write it.   title: for reports.   classes: in label order.   finding: what the label is about.
        images: as published.   folder: its place below the data root.
        marker: a file in it, as a glob, that shows the set is there.   extra_folders: further folders that the reader takes.
        reader: from the folders to a manifest (`palpate.data.manifest.MANIFEST`).
        caveat: what a reader of results must know about the data; becomes a note.
        deduplicate: keep one of identical images, and none where their published labels differ.
        sizes: published sizes.   at_size: the task at one of them, which users write as "NAME-SIZE".
        download: the file, where it may be fetched.
        generate: from a number of images, a size and a seed to synthetic images, where nothing is read.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    finding: str
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
    at_size: "Callable[[int], Task] | None" = None
    download: Download | None = None
    generate: "Callable[[int, int, int], SyntheticImages] | None" = None

    @property
    def kind(self) -> Literal["real", "synthetic"]:
        """ "synthetic" where nothing is read and nothing must be downloaded."""
        return "real" if self.generate is None else "synthetic"

    @property
    def folders(self) -> tuple[str, ...]:
        """Their places below the data root, its own first."""
        return self.folder, *self.extra_folders


@dataclass(frozen=True)
class TaskStatus:
    """One line of `palpate tasks`.

    Attributes:
        looked_in: its folder, or of several the first that is missing; None without a data root and for synthetic tasks.
    """

    task: Task
    looked_in: Path | None
    present: bool


def find_task(name: str) -> Task:
    """Look a task up by name; "pathmnist-224" is PathMNIST's file of 224 px.

    Raises:
        InputError: unknown; names the known ones.
    """
    base, _, size = name.rpartition("-")
    if name not in TASKS and base in TASKS and size.isdigit() and int(size) in TASKS[base].sizes:
        return TASKS[base].at_size(int(size))
    return TASKS[name]


def data_root(root: Path | str | None) -> Path | None:
    """The folder of the publishers' folders: `root`, else `PALPATE_DATA`, else None."""
    named = root if root is not None else os.environ.get("PALPATE_DATA") or None
    return None if named is None else Path(named).expanduser()


def task_folders(task: Task, root: Path | str | None) -> list[Path]:
    """The existing folders of a real task, its own first.

    Raises:
        InputError: no data root was named, or a folder is missing in it; says where it looked and how to get the data.
    """
    base = data_root(root)
    holds = " and ".join(f"{name}/" for name in task.folders)
    get = f"that holds {holds}. To get the data: {task.how_to_get}"
    if base is None:
        ways = "give --data ROOT (in Python root=...) or set PALPATE_DATA"
        raise InputError(f"{task.name}: no data root; {ways} to the folder {get}")
    folders = [base / name for name in task.folders]
    for folder in folders:
        if not folder.is_dir() and not (task.download and base.is_dir()):
            looked = f"looked in {folder}, which is no folder"
            raise InputError(f"{task.name}: {looked}; --data or PALPATE_DATA must name the folder {get}")
    return folders


def overview(root: Path | str | None = None) -> list[TaskStatus]:
    """Every task, where it was looked for, and whether it is there. Decodes and downloads nothing."""
    base = data_root(root)
    lines = []
    for task in TASKS.values():
        if task.kind == "synthetic" or base is None:
            lines.append(TaskStatus(task, None, task.kind == "synthetic"))
            continue
        folders = [base / name for name in task.folders]
        missing = [folder for folder in folders if not folder.is_dir()]
        present = not missing and any(folders[0].glob(task.marker))
        lines.append(TaskStatus(task, (missing or folders)[0], present))
    return lines
