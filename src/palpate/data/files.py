"""Image files below a folder, and the one that a table's entry means; linked folders are followed."""

import filecmp
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from palpate.core.errors import InputError
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


def by_name(folder: Path) -> dict[str, list[Path]]:
    """The image files below a folder, each under its name and under its name without suffix."""
    found: dict[str, list[Path]] = {}
    for path in image_files(folder):
        for name in (path.name, path.stem):
            found.setdefault(name, []).append(path)
    return found


def one_file(name: str, files: Mapping[str, Sequence[Path]]) -> Path | None:
    """The file of that name, None where there is none; copies of one file in several folders are one.

    Raises:
        InputError: different files have the name.
    """
    first, *others = files.get(name) or [None]
    for other in others:
        if first is None or other is None or not filecmp.cmp(first, other, shallow=False):
            raise InputError(
                f"{name}: {first} and {other} both have this name; write the path of the one meant, or remove the other"
            )
    return first


def locate(values: Sequence[str], table: Table, root: Path) -> tuple[list[str], list[str]]:
    """The files that a table's entries mean: paths below `root`, with or without suffix, or names anywhere below it.

    Returns:
        The files' absolute paths, and notes.

    Raises:
        InputError: an entry leads out of `root`, is found nowhere, or is the name of several different files; with its line.
    """
    root = Path(os.path.abspath(root))
    files: dict[str, list[Path]] | None = None
    paths, absent, searched = [], [], 0
    for row, value in enumerate(values):
        path = Path(os.path.normpath(root / value.replace("\\", "/")))
        if not path.is_relative_to(root):
            raise InputError(
                f"{table.path}: {table.at([row], [value])} lies outside {root}; name the folder that holds all images"
            )
        if not path.is_file():
            files = by_name(root) if files is None else files
            beside = [each for each in files.get(path.name, []) if each.parent == path.parent]
            named = "/" not in value and "\\" not in value
            try:
                match = one_file(path.name, {path.name: beside} if beside or not named else files)
            except InputError as error:
                raise InputError(f"{table.path}: {table.at([row])}: {error}") from None
            if match is None:
                absent.append(row)
                continue
            searched += not beside
            path = match
        paths.append(str(path))
    if absent:
        raise InputError(
            f"{table.path}: names {len(values)} images, of which {len(absent)} are absent below {root}, first "
            f"{table.at(absent, [values[row] for row in absent])}; finish the download, name another folder, or remove those rows"
        )
    return paths, [f"{searched} images were found by name in folders that the table does not name"] * bool(searched)
