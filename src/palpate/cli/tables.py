"""Lists for the terminal: the tasks that palpate knows, how far a run has come, what a study would cost, and this machine."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from palpate.core.run_folder import RunFolder, versions
from palpate.data.store import cache_folder
from palpate.data.tasks import data_root, overview

if TYPE_CHECKING:
    from palpate.papers.wasserman2022.parameters import ParameterRow
    from palpate.study.estimate import Estimate


def tasks_table(root: Path | None) -> Table:
    """Every task with its classes, size, licence, where it was looked for, whether it is there, and how to get it."""
    table = Table(title="Tasks", show_lines=True, caption="--data or PALPATE_DATA names the folder to look in")
    for column in ("task", "classes", "images", "licence", "here?", "where, or how to get it"):
        table.add_column(column, overflow="fold")
    for line in overview(root):
        task = line.task
        if task.kind == "synthetic":
            place = "generated when asked for"
        elif line.present:
            place = str(line.looked_in)
        else:
            looked = f"looked in {line.looked_in}; " if line.looked_in else "no data folder was named; "
            place = looked + task.how_to_get
        count = "any" if task.kind == "synthetic" else f"{task.images:,}"
        present = "[green]yes[/green]" if line.present else "[red]no[/red]"
        classes = f"{len(task.classes)}: {', '.join(task.classes)}"
        table.add_row(task.name, escape(classes), count, escape(task.licence), present, escape(place))
    return table


def status_table(folder: Path) -> Table:
    """The stages of a run: complete, failed and why, or missing.

    Raises:
        InputError: the folder is not a run.
    """
    run = RunFolder(folder)
    record = run.study()
    failures = run.failures()
    complete = sum(run.complete(stage.id) for stage in record.stages)
    table = Table(title=f"{escape(record.name)}: {complete} of {len(record.stages)} stages complete")
    for column in ("stage", "state", "seconds", "device", "folder"):
        table.add_column(column, overflow="fold")
    for stage in record.stages:
        if run.complete(stage.id):
            made = run.stage(stage.id)
            row = ("[green]complete[/green]", f"{made.seconds:.0f}", escape(made.device), stage.id)
        elif stage.id in failures:
            row = (f"[red]failed[/red]: {escape(failures[stage.id].error)}", "", "", "")
        else:
            row = ("[yellow]being made[/yellow]" if run.busy(stage.id) else "missing", "", "", "")
        table.add_row(escape(stage.title), *row)
    return table


def estimate_table(name: str, estimates: Iterable["Estimate"]) -> Table:
    """What a study would cost here, a line per task and model."""
    table = Table(
        title=f"{name}: nothing was run",
        caption="train, attack: passes of one image each, at most; time and disk: of the whole study made from nothing, judged by a few passes "
        "made now; done: stages that the run folder holds already, and that are made again only if what they depend on changed",
        box=SIMPLE_HEAD,
        show_footer=True,
    )
    lines = list(estimates)
    seconds, megabytes = sum(line.seconds for line in lines), sum(line.megabytes for line in lines)
    complete, stages = sum(line.complete for line in lines), sum(line.stages for line in lines)
    footers = {
        "model": "in all",
        "done": f"{complete} of {stages}",
        "time": _span(seconds),
        "disk": f"{megabytes:,.0f} MB",
    }
    for column in ("model", "data", "done", "train", "attack", "time", "disk"):
        table.add_column(
            column,
            footer=footers.get(column, ""),
            justify="left" if column in ("model", "data") else "right",
            overflow="fold",
        )
    for line in lines:
        table.add_row(
            f"{line.model}\n  on {line.task}",
            "[green]here[/green]" if line.present else "[red]absent[/red]",
            f"{line.complete} of {line.stages}",
            _short(line.training_passes),
            _short(line.attack_passes),
            _span(line.seconds),
            f"{line.megabytes:,.0f} MB",
        )
    return table


def parameters_table(rows: Iterable["ParameterRow"]) -> Table:
    """The paper's models with their parameters, counted as Keras counts."""
    table = Table(title="Parameters of the paper's models", box=SIMPLE_HEAD)
    for column in ("backbone", "attention", "size", "classes", "counted", "Keras' count", "equal"):
        table.add_column(
            column, justify="right" if column in ("size", "classes", "counted", "Keras' count") else "left"
        )
    for row in rows:
        equal = "[green]yes[/green]" if row.counted == row.keras else "[red]no[/red]"
        counts = (str(row.size), str(row.num_classes), f"{row.counted:,}", f"{row.keras:,}")
        table.add_row(row.backbone, row.attention or "none", *counts, equal)
    return table


def machine_table(data: Path | None, devices: list[str], threads: int) -> Table:
    """What palpate finds on this machine."""
    table = Table(title="This machine", show_header=False)
    table.add_column("what")
    table.add_column("found", overflow="fold")
    for package, version in versions().items():
        table.add_row(package, version)
    table.add_row("devices", ", ".join(devices))
    table.add_row("processors", f"{os.cpu_count()}, of which torch uses {threads}")
    root = data_root(data)
    table.add_row("data root", "none named: use --data or PALPATE_DATA" if root is None else escape(str(root)))
    cache = cache_folder()
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(existing).free / 1e9
    table.add_row("decoded images", f"{escape(str(cache))} ({free:,.0f} GB free)")
    return table


def _short(count: int) -> str:
    """A count in three digits.

    >>> _short(950), _short(23_545_200), _short(49_200)
    ('950', '23.5 M', '49.2 k')
    """
    for unit, size in (("M", 1_000_000), ("k", 1_000)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(count)


def _span(seconds: float) -> str:
    """Seconds in the largest fitting unit.

    >>> _span(30), _span(600), _span(20_000), _span(500_000)
    ('30 s', '10 min', '5.6 h', '5.8 days')
    """
    for unit, size, digits in (("days", 86_400, 1), ("h", 3_600, 1), ("min", 60, 0)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.{digits}f} {unit}"
    return f"{seconds:.0f} s"
