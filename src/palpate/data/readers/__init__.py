"""Readers: one publisher's folder in, one manifest out, and the tasks made from it.

A new data set is one new file here (or in a plug-in) that ends with `TASKS.add(name, Task(…))`; what is said of a task may stand in a TOML file
beside it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from palpate.core.io import facts_beside
from palpate.core.registry import TASKS
from palpate.data.preprocess import Preprocess
from palpate.data.tasks import Task


def stated(file: str) -> dict[str, dict[str, Any]]:
    """The tables of the TOML file beside a reader."""
    return facts_beside(file, f"{Path(file).stem}.toml")


def add_tasks(file: str, source: str = "reader", **functions: Callable[..., Any]) -> None:
    """Register a task for each table of the TOML file beside a reader; its function is the field `source` of the task.

    In the names of the keywords "_" stands for "-". A table holds fields of `Task`, `grey` for images that are made grey, and `like` for the
    task whose fields hold where it has none.
    """
    tables = stated(file)
    for name, own in tables.items():
        known = tables.get(own.pop("like", ""), {}) | own
        fields: dict[str, Any] = {key: tuple(each) if isinstance(each, list) else each for key, each in known.items()}
        grey = Preprocess(grey=fields.pop("grey", False))
        fields[source] = functions[name.replace("-", "_")]
        TASKS.add(name, Task(name, preprocess=grey, **fields))
