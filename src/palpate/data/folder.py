"""A folder of class folders to a manifest: FOLDER/CLASS/…/image, or FOLDER/train/CLASS/…/image with val and test beside it."""

import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import polars as pl

from palpate.core.errors import InputError
from palpate.data.files import SUFFIXES, walk
from palpate.data.manifest import Labelled
from palpate.data.split import split_name
from palpate.data.table import Columns, label
from palpate.data.table_file import Table


def read(folder: Path, classes: tuple[str, ...] | None = None, group: str | None = None) -> Labelled:
    """Read the images of a folder; the names of the folders at the top are the classes, or the splits with the classes below.

    Args:
        folder: its class folders may hold images at any depth; linked folders are followed.
        classes: their names in label order; alphabetical where None.
        group: a regular expression that finds the group (patient, lesion) in an image's path below `folder`: its first parenthesis, or
            all that it matches. None where every image is its own group.

    Returns:
        The images; `image_id` is the path below `folder`.

    Raises:
        InputError: no folder, no or one class, loose images only, an unknown class, or a path in which `group` finds nothing.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder; name the one that holds the class folders, or an npz file")
    base = Path(os.path.abspath(folder))
    below = [path.relative_to(base) for path in walk(base)]
    images = [path for path in below if path.suffix.lower() in SUFFIXES]
    tops = {path.parts[0] for path in images if len(path.parts) > 1}
    splits = {top: split_name(top) for top in tops}
    has_splits = bool(tops) and all(splits.values())
    if not has_splits and {"train", "test"} <= set(splits.values()):
        odd = ", ".join(sorted(top for top in tops if splits[top] is None))
        raise InputError(f"{folder}: has folders of splits beside {odd}; move {odd} out of it")
    depth = 2 if has_splits else 1  # of an image's class folder, counted from 1
    loose = [path for path in images if len(path.parts) <= depth]
    images = [path for path in images if len(path.parts) > depth]
    direct = f"; {len(loose)} images lie in it without a class folder: give a table of their labels instead"
    if not images:
        what = f"no class folder with images ({', '.join(sorted(SUFFIXES))}) is in it"
        raise InputError(f"{folder}: {what}{direct if loose else ''}")
    ids = [path.as_posix() for path in images]
    columns = {"class folder": [path.parts[depth - 1] for path in images], "group": _groups(ids, group, folder)}
    if has_splits:
        columns["split"] = [path.parts[0] for path in images]
    found = Table(folder, pl.DataFrame(columns, schema_overrides={"group": pl.String}), ids, "")
    names = Columns.read({"path": "", "label": "class folder"}, "columns")
    labelled = label(found, names, ids, [str(base / path) for path in images], classes)
    others = Counter(path.suffix or path.name for path in below if path.suffix.lower() not in SUFFIXES)
    notes = [
        f"{len(loose)} images outside the class folders were left out, first {loose[0].as_posix()}" if loose else "",
        f"{others.total()} files that are no images were left out ({', '.join(sorted(others)[:5])})" if others else "",
    ]
    return replace(labelled, notes=(*labelled.notes, *(note for note in notes if note)))


def _groups(ids: list[str], pattern: str | None, folder: Path) -> list[str | None]:
    if pattern is None:
        return [None] * len(ids)
    try:
        found = [re.search(pattern, image_id) for image_id in ids]
    except re.error as error:
        fault = f"{pattern!r} is no regular expression ({error})"
        raise InputError(f"group: {fault}; an example is '(patient[0-9]+)'") from None
    absent = [image_id for image_id, match in zip(ids, found, strict=True) if match is None]
    if absent:
        where = f"{len(absent)} of {len(ids)} paths, first {absent[0]}"
        raise InputError(f"{folder}: group {pattern!r} is not found in {where}; correct it")
    return [match[1 if match.re.groups else 0] for match in found if match]
