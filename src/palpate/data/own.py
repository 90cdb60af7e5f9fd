"""A user's own images, in a folder of class folders or listed in a table: the task they make, and their manifest. Nothing is decoded here."""

from collections.abc import Sequence
from pathlib import Path

from palpate.core.formatting import plain_name
from palpate.data import arrays, folder, table
from palpate.data.manifest import Labelled
from palpate.data.options import ImageOptions
from palpate.data.preprocess import Preprocess
from palpate.data.table_file import open_table
from palpate.data.tasks import Task


def own_task(labelled: Labelled, name: str, options: ImageOptions) -> Task:
    """The task that labelled images make; `name` stands where the options have none."""
    name = options.name or plain_name(name)
    told = options.finding, len(labelled.rows), "not stated", "not stated"  # licence and source
    grey = Preprocess(grey=options.channels == 1)
    return Task(name, name, labelled.classes, *told, how_to_get="your own images", preprocess=grey)


def read_folder(path: Path | str, group: str | None, options: ImageOptions) -> tuple[Task, Labelled]:
    """The images of a folder, see `palpate.data.dataset.Dataset.from_folder`."""
    place = Path(path).expanduser()
    labelled = folder.read(place, options.classes, group)
    return own_task(labelled, place.resolve().name, options), labelled


def read_table(
    path: Path | str, images: Path | str | None, columns: table.Columns, options: ImageOptions
) -> tuple[Task, Labelled]:
    """The images of a table, see `palpate.data.dataset.Dataset.from_table`."""
    place = Path(path).expanduser()
    below = Path(images).expanduser() if images else place.parent
    labelled = table.read(open_table(place), below, columns, options.classes)
    return own_task(labelled, place.stem, options), labelled


def read_arrays(path: Path | str, findings: Sequence[str], options: ImageOptions) -> tuple[Task, Labelled]:
    """The images of an npz file, see `palpate.data.dataset.Dataset.from_arrays`."""
    place = Path(path).expanduser()
    values, beside, files = arrays.open_npz(place)
    labelled = arrays.labelled(str(place), values, beside, options.classes, findings, files=files)
    return own_task(labelled, place.stem, options), labelled
