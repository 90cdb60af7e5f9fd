"""Make a study's stages in order: validate everything first, skip what is complete, report what failed, lose nothing.

Two processes may run the same study in the same folder: each takes the stages that the other does not hold.
"""

import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.markup import escape

from palpate.core.errors import DiskFull, InputError, readable
from palpate.core.io import named_errors
from palpate.core.provenance import source_commit
from palpate.core.records import StageOutput, TaskRecord
from palpate.core.run_folder import open_run
from palpate.data.dataset import Dataset
from palpate.models.predict import as_tensor, choose_device
from palpate.report.page.page import write_report
from palpate.study.classifier import check_model
from palpate.study.plan import plan
from palpate.study.spec import Study
from palpate.study.stages import attack, explain, predict, train, trust
from palpate.study.stages.context import Context, open_dataset

Maker = Callable[[StageOutput, Context, Path, dict[str, Any]], None]

MAKERS: dict[str, Maker] = {
    "train": train.make,
    "predict": predict.make,
    "attack": attack.make,
    "explain": explain.make,
    "trust": trust.make,
}

WAIT_SECONDS = 2.0
"""Between two looks at stages that another process is making."""


class StudyIncomplete(RuntimeError):
    """Some stages failed; the rest is complete and kept in `folder`. The message lists them."""

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
    """Make every stage of the study that is not complete yet, and write the report, RUN/report.html.

    Args:
        study: what is asked for, from `palpate.read_study` or built in Python.
        out: the run folder; `runs/<study's name>` when absent.
        root: the folder of the publishers' data folders; PALPATE_DATA when absent.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        console: where progress and messages go; the terminal when absent.

    Returns:
        The run folder.

    Raises:
        InputError: data, models or the folder cannot be used; found before any work begins.
        StudyIncomplete: stages failed; everything else was made and is kept.
    """
    console = console or Console(stderr=True)
    where = choose_device(device)
    data_root = Path(root) if root is not None else None
    datasets = {task.name: open_dataset(study, task, data_root) for task in study.tasks}
    _check_models(study, datasets, console)
    _check_attacks(study, datasets)
    stages = plan(study, datasets)
    folder = open_run(Path(out) if out is not None else Path("runs") / study.name, study.name)
    folder.write_study(
        name=study.name,
        title=study.title or study.name,
        tasks={task.name: _facts(study, datasets[task.name], task.name) for task in study.tasks},
        stages=stages,
        spec=study.to_dict(),
    )
    done, place = sum(folder.complete(stage.id) for stage in stages), escape(str(folder.path))
    if 0 < done < len(stages):
        console.print(f"{done} of {len(stages)} stages are complete already; making the rest")
    made, failed = _make_all(stages, Context(study, folder, data_root, where, console, datasets))
    if not made and not failed:
        console.print(f"Everything is complete: {len(stages)} stages in {place}")
    with named_errors(str(folder.path / "report.html")):
        write_report(folder.path)
    if failed:
        reasons = "\n".join(f"  {stage.title}: {reason}" for stage, reason in failed)
        raise StudyIncomplete(
            f"{len(failed)} of {len(stages)} stages failed, the others are complete and kept in {folder.path}\n{reasons}\n"
            "Fix the cause and run the same command again: only what is missing is made.",
            folder.path,
        )
    return folder.path


def _make_all(
    stages: tuple[StageOutput, ...], context: Context
) -> tuple[list[StageOutput], list[tuple[StageOutput, str]]]:
    """Make what is not complete, parents first; stages held by another process are waited for. Gives what was made and what failed.

    A stage output is looked at when its parents are as they will stay: a damaged one, or one made from other parents, is made again.
    """
    made: list[StageOutput] = []
    failed: dict[str, tuple[StageOutput, str]] = {}
    left = {stage.id: stage for stage in stages}
    commit, told = source_commit(), False
    while left:
        before = len(left)
        for stage in list(left.values()):
            # A sibling serves one check only, which is not run where the sibling failed.
            parents = [each.id for each in stage.parents if each.role != "sibling" or each.id not in failed]
            broken = next((parent for parent in parents if parent in failed), None)
            if broken:
                failed[stage.id] = (stage, f"needs `{failed[broken][0].title}`, which failed")
            elif any(parent in left for parent in parents):
                continue
            else:
                became, reason = _make(stage, context, commit)
                if became == "held":
                    continue
                if became == "made":
                    made.append(stage)
                if became == "failed":
                    failed[stage.id] = (stage, reason)
            del left[stage.id]
        if len(left) == before:
            if not told:
                context.console.print("Waiting for stages that another process is making")
                told = True
            time.sleep(WAIT_SECONDS)
    return made, list(failed.values())


def _make(stage: StageOutput, context: Context, commit: str | None) -> tuple[str, str]:
    """Make one stage output unless it is there: gives "complete", "made", "held" (by another process), or "failed" and why.

    Raises:
        DiskFull: nothing else can be made either.
    """
    if context.run.state(stage)[0] == "complete":
        return "complete", ""
    title = escape(stage.title)
    with context.run.lock(stage.id) as held:
        if not held:
            return "held", ""
        state, why = context.run.state(stage)
        if state == "complete":  # the other process finished it meanwhile
            return state, ""
        if why:
            context.console.print(f"[yellow]{state}[/yellow] {title}: {escape(why)}; it is made again")
        start = time.monotonic()
        try:
            with context.run.making(stage, _name(context.device), commit) as (folder, facts):
                MAKERS[stage.kind](stage, context, folder, facts)
        except DiskFull:
            raise
        except Exception as error:  # a failed stage is reported at the end, and never stops the others
            reason = str(error) if isinstance(error, InputError) else readable(f"{type(error).__name__}: {error}")
            context.run.record_failure(stage, reason, readable(traceback.format_exc(), 20_000))
            context.console.print(f"[red]failed[/red] {title}: {escape(reason)}")
            return "failed", reason
    context.console.print(f"[green]done[/green]   {title} ({time.monotonic() - start:.0f} s)")
    return "made", ""


def _name(device: torch.device) -> str:
    """The device as provenance needs it: the card's name, or the number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"


def _check_models(study: Study, datasets: dict[str, Dataset], console: Console) -> None:
    """Build and explain every model once, without keeping it, so that what cannot work is found before hours of work."""
    for task in study.tasks:
        dataset = datasets[task.name]
        for model in study.models:
            ready = check_model(model, study.seeds[0], dataset, trains=study.training_of(task, model).epochs > 0)
            image = as_tensor(dataset.test.images[:1])[0]
            for spec in study.methods_of(model):
                try:
                    settings, layer = explain.chosen(ready, image, spec)
                except InputError as error:
                    raise InputError(f"explain, model {model.name} on {task.name}: {error}") from error
                console.print(
                    f"{escape(model.name)} on {task.name}: maps by {settings['method']}"
                    + (f" of {escape(layer)}" if layer else "")
                )


def _check_attacks(study: Study, datasets: dict[str, Dataset]) -> None:
    """Refuse levels that the files of a task do not have, and a class that it does not have, before anything is trained for it."""
    for one in study.attacks:
        asked = getattr(one.attack, "levels", None)
        for name, dataset in datasets.items():
            one.goal(dataset.classes)
            if asked and dataset.levels not in (asked, None):
                fault = f"the files of task {name} hold {dataset.levels} levels from 0 to 1"
                raise InputError(
                    f"attack {one.attack.name}: levels = {asked}, and {fault}; write levels = {dataset.levels}"
                )


def _facts(study: Study, dataset: Dataset, name: str) -> TaskRecord:
    """Everything that the report needs to know about a task's data."""
    asked = next(task for task in study.tasks if task.name == name)
    splits = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    return TaskRecord(
        title=dataset.task.title,
        classes=dataset.classes,
        finding=dataset.finding,
        licence=dataset.task.licence,
        cite=dataset.task.cite,
        kind=dataset.task.kind,
        size=asked.size,
        images={name: len(split) for name, split in splits.items()},
        groups={name: len(set(split.groups.tolist())) for name, split in splits.items()},
        majority_rate=dataset.majority_rate,
        identity=dataset.identity,
        notes=dataset.notes,
        epsilons=study.epsilons_of(asked, dataset.scale),
        scale=dataset.scale,
    )
