"""Make a study's cells in order: validate everything first, skip what is complete, report what failed, lose nothing.

Two processes may run the same study in the same folder: each takes the cells that the other does not hold.
"""

import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from palpate.core.errors import InputError
from palpate.core.run_folder import Cell, open_run, source_commit, write_study
from palpate.data.dataset import Dataset
from palpate.models.predict import choose_device
from palpate.study.plan import plan
from palpate.study.spec import Study
from palpate.study.stages import attack, explain, predict, train, trust
from palpate.study.stages.context import Context, build_model, open_dataset

Maker = Callable[[Cell, Context, Path, dict[str, Any]], None]

MAKERS: dict[str, Maker] = {
    "train": train.make,
    "predict": predict.make,
    "attack": attack.make,
    "explain": explain.make,
    "trust": trust.make,
}


class StudyIncomplete(RuntimeError):
    """Some cells failed; the rest is complete and kept in `folder`. The message lists them."""

    def __init__(self, message: str, folder: Path):
        super().__init__(message)
        self.folder = folder


def run(
    study: Study,
    out: Path | str | None = None,
    root: Path | str | None = None,
    device: str = "auto",
    console: Console | None = None,
) -> Path:
    """Make every cell of the study that is not complete yet.

    Args:
        study: what is asked for, from `palpate.study.spec.read_study` or built in Python.
        out: the run folder; `runs/<study's name>` when absent.
        root: the folder of the publishers' data folders; PALPATE_DATA when absent.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        console: where progress and messages go; the terminal when absent.

    Returns:
        The run folder.

    Raises:
        InputError: data, models or the folder cannot be used; found before any work begins.
        StudyIncomplete: cells failed; everything else was made and is kept.
    """
    console = console or Console(stderr=True)
    where = choose_device(device)
    data_root = Path(root) if root is not None else None
    datasets = {task.name: open_dataset(task, data_root) for task in study.tasks}
    _check_models(study, datasets)
    cells = plan(study, {name: dataset.identity for name, dataset in datasets.items()})
    folder = open_run(Path(out) if out is not None else Path("runs") / study.name, study.name)
    write_study(folder, _record(study, datasets, cells))
    waiting = [cell for cell in cells if not folder.complete(cell.id)]
    if not waiting:
        console.print(f"Everything is complete: {len(cells)} cells in {folder.path}")
        return folder.path
    if len(waiting) < len(cells):
        console.print(f"{len(cells) - len(waiting)} of {len(cells)} cells are complete already; making the rest")
    context = Context(study, folder, data_root, where, console, datasets)
    failed = _make_all(waiting, context)
    if failed:
        reasons = "\n".join(f"  {cell.title}: {reason}" for cell, reason in failed)
        raise StudyIncomplete(
            f"{len(failed)} of {len(cells)} cells failed, the others are complete and kept in {folder.path}\n{reasons}\n"
            "Mend the cause and run the same command again: only what is missing is made.",
            folder.path,
        )
    return folder.path


def _make_all(waiting: list[Cell], context: Context) -> list[tuple[Cell, str]]:
    """Make cells whose parents are complete until none is left; those held by another process are waited for."""
    failed: dict[str, tuple[Cell, str]] = {}
    commit = source_commit()
    told = False
    while waiting:
        later: list[Cell] = []
        progressed = False
        for cell in waiting:
            broken = next((parent for parent in cell.parents if parent in failed), None)
            if broken:
                failed[cell.id] = (cell, f"needs `{failed[broken][0].title}`, which failed")
            elif not all(context.run.complete(parent) for parent in cell.parents) or not _make(
                cell, context, commit, failed
            ):
                later.append(cell)
                continue
            progressed = True
        if later and not progressed:
            if not told:
                context.console.print("Waiting for cells that another process is making")
                told = True
            time.sleep(2)
        waiting = later
    return list(failed.values())


def _make(cell: Cell, context: Context, commit: str | None, failed: dict[str, tuple[Cell, str]]) -> bool:
    """Make one cell, or note why it failed; False when another process holds it."""
    with context.run.lock(cell.id) as held:
        if not held:
            return False
        if context.run.complete(cell.id):  # the other process finished it meanwhile
            return True
        start = time.monotonic()
        try:
            with context.run.making(cell, _name(context.device), commit) as (folder, facts):
                MAKERS[cell.kind](cell, context, folder, facts)
        except Exception as error:  # a failed cell is reported at the end, and never stops the others
            reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
            failed[cell.id] = (cell, reason)
            context.run.record_failure(cell, reason, traceback.format_exc())
            context.console.print(f"[red]failed[/red] {cell.title}: {reason}")
        else:
            context.console.print(f"[green]done[/green]   {cell.title} ({time.monotonic() - start:.0f} s)")
        return True


def _name(device: torch.device) -> str:
    """The device as provenance needs it: the card's name, or the number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"


def _check_models(study: Study, datasets: dict[str, Dataset]) -> None:
    """Build every model once, without keeping it, so that a wrong name or size is found before hours of work."""
    for task in study.tasks:
        for model in study.models:
            built = build_model(model, study.seeds[0], task, len(datasets[task.name].classes))
            with torch.no_grad():
                built.eval()(torch.zeros(1, 3, task.size, task.size))


def _record(study: Study, datasets: dict[str, Dataset], cells: tuple[Cell, ...]) -> dict[str, Any]:
    """study.json: everything that the report needs besides the cells."""
    tasks = {}
    for task in study.tasks:
        dataset = datasets[task.name]
        splits = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
        tasks[task.name] = {
            "title": dataset.task.title,
            "classes": list(dataset.classes),
            "finding": dataset.finding,
            "licence": dataset.task.licence,
            "cite": dataset.task.cite,
            "kind": dataset.task.kind,
            "size": task.size,
            "images": {name: len(split) for name, split in splits.items()},
            "groups": {name: len(set(split.groups.tolist())) for name, split in splits.items()},
            "majority_rate": dataset.majority_rate,
            "identity": dataset.identity,
            "notes": list(dataset.notes),
            "epsilons": list(study.epsilons_of(task)),
            "epsilon_reading": study.reading_of(task),
        }
    return {
        "name": study.name,
        "title": study.title or study.name,
        "epsilons": list(study.epsilons),
        "tasks": tasks,
        "cells": [
            {
                "id": cell.id,
                "kind": cell.kind,
                "title": cell.title,
                "task": cell.task,
                "model_id": cell.model_id,
                "parents": list(cell.parents),
            }
            for cell in cells
        ],
        "spec": study.to_dict(),
    }
