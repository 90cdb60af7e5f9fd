"""Image files below a folder, and the one that a table's entry means; linked folders are followed."""

import filecmp
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from palpate.core.grouping import grouped
from palpate.data.table_file import Table

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".dcm", ".dicom"})


def walk(folder: Path) -> Iterator[Path]:
    """All files below a folder in the order of their names, linked folders followed once; hidden files and resource forks are left out."""
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()  # a link back to a folder above
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))


def image_files(folder: Path) -> list[Path]:
    """The image files below a folder, by their suffix."""
    return [path for path in walk(Path(os.path.abspath(folder))) if path.suffix.lower() in SUFFIXES]


def locate(values: Sequence[str], table: Table, folder: Path) -> tuple[list[str], list[str]]:
    """The files that a table's entries mean: paths below a folder, with or without suffix, or names anywhere below it.

    Copies of one file in several folders are one.

    Returns:
        The files' absolute paths, and notes.

    Raises:
        InputError: an entry leads out of the folder, is found nowhere, or is the name of several different files; with its line.
    """
    root = os.path.join(os.path.abspath(folder), "")
    files: dict[str, list[str]] = {}
    paths, absent, searched = [], [], 0
    for row, value in enumerate(values):
        value = value.replace("\\", "/")
        path = os.path.normpath(os.path.join(root, value))
        if not path.startswith(root):
            table.refuse([row], f"image outside {root}", "name the folder that holds all images", values)
        if not os.path.isfile(path):
            files = files or _by_name(folder)
            found = files.get(path) or ([] if "/" in value else files.get(value, []))
            searched += bool(found) and path not in files
            for other in found[1:]:
                if not filecmp.cmp(found[0], other, shallow=False):
                    fault = f"{found[0]} and {other} both have this name"
                    table.refuse([row], fault, "write the path of the one meant, or remove the other", values)
            absent += [] if found else [row]
            path = found[0] if found else path
        paths.append(path)
    fault = f"names {len(values)} images, of which {len(absent)} are absent below {folder}"
    table.refuse(absent, fault, "finish the download, name another folder, or remove those rows", values)
    return paths, [f"{searched} images were found by name in folders that the table does not name"] * bool(searched)


def _by_name(folder: Path) -> dict[str, list[str]]:
    """The image files below a folder, each under its name, under its name without suffix, and under its path without suffix."""
    files = image_files(folder)
    return grouped((key, str(path)) for path in files for key in (path.name, path.stem, str(path.with_suffix(""))))
