"""`palpate.load` and `palpate.Dataset.from_…`: a task's name, or anybody's images, in; three splits of labelled images out.

All sources go one way: a manifest (which image, which label, which group), a store (pixels, decoded once), the check for leaks, the split.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from palpate.core.epsilon import Scale, parse_epsilon
from palpate.core.errors import InputError
from palpate.data import arrays
from palpate.data.assemble import assemble, from_files, from_memory, preprocess
from palpate.data.download import fetch
from palpate.data.images import Images, Split
from palpate.data.manifest import Labelled, manifest
from palpate.data.npz import plain_image
from palpate.data.options import ImageOptions
from palpate.data.own import read_arrays, read_folder, read_table
from palpate.data.split import SPLITS
from palpate.data.synthetic.stored import open_synthetic
from palpate.data.table import Columns
from palpate.data.tasks import Task, find_task, task_folders
from palpate.data.torch_data import Items
from palpate.data.values import Native
from palpate.data.write import write_images


@dataclass(frozen=True)
class Dataset:
    """Labelled images, split.

    Attributes:
        size: side in pixels.
        notes: what was decided and done to the data, to be printed beside results.
        identity: SHA-256 over ids, labels, groups, splits and pixels, equal on every machine with the same data.
        findings: names of the columns of the labels where each image has several; () for a single label.
        scale: the values of the files that are served as 0 and 1, their unit, and how many levels the files can hold between.
        native: what the stored values mean, the window that DICOM files name among it.
    """

    task: Task
    size: int
    train: Split
    val: Split
    test: Split
    identity: str
    notes: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    scale: Scale = field(default_factory=Scale)
    native: Native = field(default_factory=Native)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in label order; of several findings, of each."""
        return self.task.classes

    @property
    def finding(self) -> str:
        """What the label is about."""
        return self.task.finding

    @property
    def channels(self) -> int:
        """Of the images served: 1 or 3."""
        return self.test.images.shape[1]

    @property
    def levels(self) -> int | None:
        """How many values the files can hold from 0 to 1, as 256 or 4,096; None where they are floating point numbers."""
        return self.scale.levels

    @property
    def value_range(self) -> tuple[float, float]:
        """The values of the files that are served as 0 and 1."""
        return self.scale.low, self.scale.high

    @property
    def majority_rate(self) -> float:
        """Share of the test images in their most frequent class: what constant guessing scores. The mean over several findings."""
        columns = self.test.labels.reshape(len(self.test), -1).T
        known = [column[column >= 0] for column in columns]
        return float(np.mean([np.bincount(column).max() / len(column) for column in known if len(column)]))

    @property
    def grey(self) -> bool:
        """Whether the files hold one channel, also where it is served as three."""
        return self.test.images.stored_channels == 1

    def epsilon(self, value: float | str) -> float:
        """An epsilon as a share of the image range, given as such or in the unit of the files: "8 HU".

        Raises:
            InputError: it cannot be read, or its unit is not that of the files.
        """
        return parse_epsilon(value, scale=self.scale)

    def write(
        self,
        images: Any,
        folder: Path | str,
        part: Literal["train", "val", "test"] = "test",
        places: Sequence[int] | np.ndarray | None = None,
    ) -> Images:
        """Write images, such as adversarial ones, as files of the kind that they came from, and read them again.

        DICOM files keep their header and get an identifier of their own; of other sources the files are PNG, of 16 bits where 8 do not hold their
        values. Beside them lies images.csv with path, label, image_id and group.

        Args:
            images: (n, C, H, W) in [0, 1], those of the part from the first on, perhaps changed. Rounded to values that the files can hold:
                attack with `levels` for images that still fool then.
            folder: absent or empty.
            places: which images of the part they are; its first n when absent.

        Returns:
            The images as they are read from the files.

        Raises:
            InputError: images of another shape or with colour where the files have none, or a folder that holds files already.
        """
        names = self.findings or self.classes
        return write_images(images, Path(folder).expanduser(), getattr(self, part), places, self.native, names)

    def of_finding(self, name: str) -> "Dataset":
        """The same images with the label of one finding, absent or present; images where it is unknown are left out.

        Raises:
            InputError: no finding of that name.
        """
        if name not in self.findings:
            known = ", ".join(map(repr, self.findings)) or "(none: images have one label)"
            raise InputError(f"finding must be one of {known}, given {name!r}")
        place = self.findings.index(name)
        whole = {part: getattr(self, part) for part in SPLITS}
        parts = {part: split.where(split.labels[:, place] >= 0, place) for part, split in whole.items()}
        left_out = sum(len(whole[part]) - len(parts[part]) for part in SPLITS)
        notes = (*self.notes, *[f"{left_out} images without a known label of {name} were left out"] * bool(left_out))
        digest = hashlib.sha256(f"{self.identity} {name}".encode()).hexdigest()
        task = replace(self.task, finding=name)
        return replace(self, task=task, findings=(), identity=digest, notes=notes, **parts)

    @classmethod
    def from_folder(cls, path: Path | str, *, group: str | None = None, **options: Any) -> "Dataset":
        """Read a folder of class folders, with or without folders train, val and test above them.

        Args:
            path: FOLDER/CLASS/…/image or FOLDER/SPLIT/CLASS/…/image; linked folders are followed.
            group: a regular expression that finds the patient or lesion in an image's path below the folder.
            options: `palpate.data.options.ImageOptions`.

        Raises:
            InputError: an unknown option, no or one class, unreadable images, or images that do not fit together; names the file and the remedy.
        """
        settings = ImageOptions.read(options, "Dataset.from_folder")
        return cls(**from_files(*read_folder(path, group, settings), settings))

    @classmethod
    def from_table(
        cls,
        path: Path | str,
        images: Path | str | None = None,
        *,
        columns: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> "Dataset":
        """Read a table of images: CSV, TSV or parquet, a row per image.

        Args:
            path: of the table.
            images: the folder below which all images lie; the table's own where None.
            columns: which column holds what, as {"path": "image_id", "label": "dx", "group": "lesion_id"}; see
                `palpate.data.table.Columns`. All other columns are kept as metadata.
            options: `palpate.data.options.ImageOptions`.

        Raises:
            InputError: an unknown option or column, a blank or unknown label, an absent or doubled image, with file, line and column.
        """
        settings = ImageOptions.read(options, "Dataset.from_table")
        names = Columns.read(columns or {}, "columns")
        return cls(**from_files(*read_table(path, images, names, settings), settings))

    @classmethod
    def from_arrays(
        cls,
        images: Any,
        labels: Any = None,
        *,
        columns: Mapping[str, Any] | pl.DataFrame | None = None,
        findings: Sequence[str] = (),
        layout: Literal["CHW", "HWC"] | None = None,
        **options: Any,
    ) -> "Dataset":
        """Take images as an array or tensor (N, H, W), (N, H, W, C) or (N, C, H, W), as a sequence of such images, or as an npz file.

        Args:
            images: uint8, uint16, or floating point numbers in [0, 1] or with a `value_range`; or the path of an npz file with `images` and
                `labels` (or `train_images`, `train_labels`, …).
            labels: (N,) of whole numbers or words; with `findings` (N, F) of 1, 0 and -1 (unknown).
            columns: `image_id`, `group` and `split`, N values each, and any others, which are kept as metadata.
            findings: names of the columns of labels.
            layout: where an image's channels are, if its shape can be read both ways.
            options: `palpate.data.options.ImageOptions`.

        Raises:
            InputError: shapes or types that are no images, or columns that do not fit.
        """
        settings = ImageOptions.read(options, "Dataset.from_arrays")
        if isinstance(images, str | Path):
            if labels is not None:
                raise InputError("labels: an npz file holds its own; leave labels out")
            return cls(**from_files(*read_arrays(images, findings, settings), settings))
        beside = columns.to_dict(as_series=False) if isinstance(columns, pl.DataFrame) else dict(columns or {})
        labelled = arrays.labelled("arrays", labels, beside, settings.classes, findings)
        if len(images) != len(labelled.rows):
            raise InputError(f"images and labels differ in number: {len(images)} and {len(labelled.rows)}")
        each = ((row, plain_image(image, "images", layout)) for row, image in enumerate(images))
        return cls(**from_memory(lambda: labelled, each, len(images), "arrays", settings))

    @classmethod
    def from_torch(cls, data: Any, *, findings: Sequence[str] = (), **options: Any) -> "Dataset":
        """Take the images of a torch `Dataset` or `DataLoader`, or of a MAITE data set; each is asked for once.

        Args:
            data: gives (image, label), (image, target, dictionary), or a dictionary with "image" and "label"; images before any
                standardisation, in [0, 1] or with a `value_range`. Entries "image_id", "group" and "split" of the dictionaries are used, other
                numbers and words are kept as metadata.
            findings: names of the columns of the labels.
            options: `palpate.data.options.ImageOptions`; the classes are those that the data set names where none are given.

        Raises:
            InputError: a data set without length, items of another form, or as `from_arrays`.
        """
        settings = ImageOptions.read(options, "Dataset.from_torch")
        items = Items(data, len(findings))

        def labelled() -> Labelled:
            known = settings.classes or items.classes()
            return arrays.labelled("data", items.labels, items.columns, known, findings)

        return cls(**from_memory(labelled, items, items.total, "data", settings))


def load(
    task: str,
    root: Path | str | None = None,
    size: int = 224,
    seed: int = 0,
    *,
    train_images: int | None = None,
    val_images: int | None = None,
    test_images: int | None = None,
    filter: str | None = None,
    filter_at: Literal["before", "after"] | None = None,
) -> Dataset:
    """Load a task, decoding and resizing it first where that was not done before. Its images are served with three channels.

    Args:
        task: a name that `palpate tasks` lists, or one with a published size, as "pathmnist-224".
        root: the folder of the publishers' folders; `PALPATE_DATA` where None. Synthetic tasks need none.
        size: side in pixels, 8 to 1024 (synthetic images from 28).
        seed: of the split, of the subsets and of synthetic images.
        train_images: at most so many, in the split's class proportions; exactly so many synthetic images.
        val_images: likewise.
        test_images: likewise.
        filter: a registered image filter, instead of the task's own; None for the task's own, which most tasks lack.
        filter_at: whether `filter` runs "before" or, where None, "after" the resize.

    Raises:
        InputError: unknown task or filter, missing data, or unusable tables.
    """
    spec = find_task(task)
    given = {"size": size, "seed": seed, "filter": filter, "filter_at": filter_at, "deduplicate": spec.deduplicate}
    limits = {"train_images": train_images, "val_images": val_images, "test_images": test_images}
    options = ImageOptions.read({**given, **limits, "channels": 3}, "load")
    if spec.kind == "synthetic":
        prepared = preprocess(spec.preprocess, options)
        store, masks = open_synthetic(spec, size, seed, options.limits, prepared)
        rows = manifest(store.index.with_columns(path=pl.lit("synthetic")), spec.name)
        return Dataset(**assemble(spec, Labelled(rows, spec.classes), store, options, prepared, masks=masks))
    assert spec.reader is not None
    folders = task_folders(spec, root)
    if spec.download is not None:
        fetch(spec.download, folders[0])
    rows = manifest(spec.reader(*folders), spec.name)
    return Dataset(**from_files(spec, Labelled(rows, spec.classes), options))
