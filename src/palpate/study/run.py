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

from palpate.core.errors import InputError
from palpate.core.records import StageOutput, TaskRecord
from palpate.core.run_folder import open_run, source_commit
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
    _check_levels(study, datasets)
    stages = plan(study, datasets)
    folder = open_run(Path(out) if out is not None else Path("runs") / study.name, study.name)
    folder.write_study(
        name=study.name,
        title=study.title or study.name,
        tasks={task.name: _facts(study, datasets[task.name], task.name) for task in study.tasks},
        stages=stages,
        spec=study.to_dict(),
    )
    waiting = [stage for stage in stages if not folder.complete(stage.id)]
    done, place = len(stages) - len(waiting), escape(str(folder.path))
    if not waiting:
        console.print(f"Everything is complete: {len(stages)} stages in {place}")
    elif done:
        console.print(f"{done} of {len(stages)} stages are complete already; making the rest")
    failed = _make_all(waiting, Context(study, folder, data_root, where, console, datasets))
    write_report(folder.path)
    if failed:
        reasons = "\n".join(f"  {stage.title}: {reason}" for stage, reason in failed)
        raise StudyIncomplete(
            f"{len(failed)} of {len(stages)} stages failed, the others are complete and kept in {folder.path}\n{reasons}\n"
            "Fix the cause and run the same command again: only what is missing is made.",
            folder.path,
        )
    return folder.path


def _make_all(waiting: list[StageOutput], context: Context) -> list[tuple[StageOutput, str]]:
    """Make stages whose parents are complete until none is left; those held by another process are waited for."""
    failed: dict[str, tuple[StageOutput, str]] = {}
    commit = source_commit()
    told = False
    while waiting:
        later: list[StageOutput] = []
        progressed = False
        for stage in waiting:
            # A sibling serves one check only, which is not run where the sibling failed.
            parents = [each.id for each in stage.parents if each.role != "sibling" or each.id not in failed]
            broken = next((parent for parent in parents if parent in failed), None)
            if broken:
                failed[stage.id] = (stage, f"needs `{failed[broken][0].title}`, which failed")
            elif not all(map(context.run.complete, parents)) or not _make(stage, context, commit, failed):
                later.append(stage)
                continue
            progressed = True
        if later and not progressed:
            if not told:
                context.console.print("Waiting for stages that another process is making")
                told = True
            time.sleep(WAIT_SECONDS)
        waiting = later
    return list(failed.values())


def _make(stage: StageOutput, context: Context, commit: str | None, failed: dict[str, tuple[StageOutput, str]]) -> bool:
    """Make one stage output, or note why it failed; False when another process holds it."""
    with context.run.lock(stage.id) as held:
        if not held:
            return False
        if context.run.complete(stage.id):  # the other process finished it meanwhile
            return True
        start, title = time.monotonic(), escape(stage.title)
        try:
            with context.run.making(stage, _name(context.device), commit) as (folder, facts):
                MAKERS[stage.kind](stage, context, folder, facts)
        except Exception as error:  # a failed stage is reported at the end, and never stops the others
            reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
            failed[stage.id] = (stage, reason)
            context.run.record_failure(stage, reason, traceback.format_exc())
            context.console.print(f"[red]failed[/red] {title}: {escape(reason)}")
        else:
            context.console.print(f"[green]done[/green]   {title} ({time.monotonic() - start:.0f} s)")
        return True


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


def _check_levels(study: Study, datasets: dict[str, Dataset]) -> None:
    """Refuse an attack on levels that the files of a task do not have, before anything is trained for it."""
    for one in study.attacks:
        asked = getattr(one.attack, "levels", None)
        for name, dataset in datasets.items():
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
