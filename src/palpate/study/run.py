"""Make a study: validate everything first, skip what is complete, report what failed, lose nothing.

Two processes may run the same study in the same folder: each takes the stages that the other does not hold.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.markup import escape

from palpate.core.errors import InputError
from palpate.core.io import atomic, named_errors, sha256
from palpate.core.provenance import source_commit
from palpate.core.records import TaskRecord
from palpate.core.rows import metadata_file
from palpate.core.run_folder import RunFolder, open_run
from palpate.data.dataset import Dataset
from palpate.models.predict import as_tensor, choose_device
from palpate.report.page.page import write_report
from palpate.study.classifier import check_model
from palpate.study.engines.choose import EngineChoice, opened
from palpate.study.engines.engine import Setup
from palpate.study.loggers import check_logger
from palpate.study.plan import Data, finding_task, plan
from palpate.study.progress import StudyProgress
from palpate.study.schedule import Schedule
from palpate.study.spec import Study, TaskSpec
from palpate.study.stages import explain
from palpate.study.stages.context import Context, disease_labels, open_dataset, subgroup_columns
from palpate.training.parallel import check_devices


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
    *,
    engine: str = "in-process",
    workers: int | None = None,
    address: str | None = None,
    threads: int | None = None,
    devices: int = 1,
    log: str | None = None,
) -> Path:
    """Make every stage of the study that is not complete yet, and write the report, RUN/report.html.

    Args:
        study: what is asked for, from `palpate.read_study` or built in Python.
        out: the run folder; `runs/<study's name>` when absent.
        root: the folder of the publishers' data folders; PALPATE_DATA when absent.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        console: where progress and messages go; the terminal when absent.
        engine: where stages are made: "in-process"; "local", in several processes on this machine; or "ray", on a cluster. See docs/scale.md.
        workers: stages made at a time by the engines "local" (2 when absent) and "ray" (as many as the cluster holds).
        address: of a Ray cluster, such as "auto" or "ray://head:10001"; when absent one is started on this machine.
        devices: GPUs of one machine that a training uses.
        log: "tensorboard" or "mlflow", where the epochs of trainings are written too.
        threads: of torch in each process of an engine; a fair share when absent.

    Returns:
        The run folder.

    Raises:
        InputError: data, models or the folder cannot be used; found before any work begins.
        StudyIncomplete: stages failed; everything else was made and is kept.
    """
    console, choice = console or Console(stderr=True), EngineChoice(engine, workers, address)
    where = choose_device("cpu" if engine == "ray" else device)
    check_devices(where, devices if engine != "ray" else min(devices, 1))  # a cluster counts its own
    if threads is not None and threads < 1:
        raise InputError(f"threads must be at least 1, given {threads}")
    check_logger(log)
    data_root = Path(root) if root is not None else None
    datasets = {task.name: open_dataset(study, task, data_root) for task in study.tasks}
    _check_models(study, datasets, console)
    _check_attacks(study, datasets)
    facts = [each for task in study.tasks for each in _facts(study, datasets[task.name], task)]
    columns = [(datasets[task.name], task, subgroup_columns(datasets[task.name], task)) for task in study.tasks]
    stages = plan(study, {name: Data(data.identity, data.scale, data.findings) for name, data in datasets.items()})
    folder = open_run(Path(out) if out is not None else Path("runs") / study.name, study.name)
    metadata = _write_metadata(columns, folder)
    tasks = {name: record.model_copy(update={"metadata": metadata[name]}) for name, record in facts}
    title = study.title or study.name
    folder.write_study(name=study.name, title=title, tasks=tasks, stages=stages, spec=study.to_dict())
    done, place = sum(folder.complete(stage.id) for stage in stages), escape(str(folder.path))
    if 0 < done < len(stages):
        console.print(f"{done} of {len(stages)} stages are complete already; making the rest")
    with StudyProgress(console, stages).shown() as show:
        context = Context(study, folder, data_root, where, devices, log, show.told, datasets)
        schedule = Schedule(stages, context, show)
        setup = Setup(study, folder.path.resolve(), data_root, device, threads, source_commit(), devices, log)
        with opened(choice, setup, show.told, context) as made_by:
            schedule.make_all(made_by)
    failed = list(schedule.failed.values())
    if not schedule.made and not failed:
        console.print(f"Everything is complete: {len(stages)} stages in {place}")
    if folder.study().stages != stages:
        other = "was written by another process while this study ran, for other settings. The report is of those."
        remedy = "All stage outputs are kept: run the same command again for the report of these settings."
        console.print(f"{place}/study.json {other} {remedy}")
    with named_errors(str(folder.path / "report.html")):
        write_report(folder.path)
    if failed:
        reasons = "\n".join(f"  {stage.title}: {reason}" for stage, reason in failed)
        kept = f"{len(failed)} of {len(stages)} stages failed, the others are complete and kept in {folder.path}"
        remedy = "Fix the cause and run the same command again: only what is missing is made."
        raise StudyIncomplete(f"{kept}\n{reasons}\n{remedy}", folder.path)
    return folder.path


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
                of_layer = f" of {escape(layer)}" if layer else ""
                console.print(f"{escape(model.name)} on {task.name}: maps by {settings['method']}{of_layer}")


def _check_attacks(study: Study, datasets: dict[str, Dataset]) -> None:
    """Refuse levels that the files of a task do not have, and a class that it does not have, before anything is trained for it."""
    for one in study.attacks:
        asked = getattr(one.attack, "levels", None)
        for name, dataset in datasets.items():
            one.goal(dataset.classes)
            if asked and dataset.levels not in (asked, None):
                fault = f"the files of task {name} hold {dataset.levels} levels from 0 to 1"
                remedy = f"write levels = {dataset.levels}"
                raise InputError(f"attack {one.attack.name}: levels = {asked}, and {fault}; {remedy}")


def _facts(study: Study, dataset: Dataset, task: TaskSpec) -> Iterator[tuple[str, TaskRecord]]:
    """Everything that the report needs to know about a task's data, by its name; of several findings, about each."""
    disease, title, epsilons = disease_labels(dataset, task), dataset.task.title, study.epsilons_of(task, dataset.scale)
    if not dataset.findings:
        yield task.name, _record(dataset, title, epsilons, disease=disease)
    for finding in dataset.findings:
        part = {"disease": (1,), "part_of": task.name, "whole": dataset.identity}
        record = _record(dataset.of_finding(finding), f"{title}: {finding}", epsilons, **part)
        yield finding_task(task.name, finding), record


def _write_metadata(columns: list[tuple[Dataset, TaskSpec, pl.DataFrame]], folder: RunFolder) -> dict[str, str]:
    """Write the columns of each task's images that make subgroups, of several findings once for each; the files' SHA-256 by task."""
    written = {}
    for dataset, task, table in columns:
        for name in [finding_task(task.name, finding) for finding in dataset.findings] or [task.name]:
            with atomic(metadata_file(folder.path, name)) as draft:
                table.write_parquet(draft)
            written[name] = sha256(metadata_file(folder.path, name))
    return written


def _record(dataset: Dataset, title: str, epsilons: tuple[float, ...], **facts: Any) -> TaskRecord:
    splits = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    images = {name: len(split) for name, split in splits.items()}
    groups = {name: len(set(split.groups.tolist())) for name, split in splits.items()}
    same = ("classes", "finding", "size", "majority_rate", "identity", "notes", "scale")
    facts |= {name: getattr(dataset, name) for name in same}
    facts |= {name: getattr(dataset.task, name) for name in ("licence", "cite", "kind")}
    return TaskRecord(title=title, images=images, groups=groups, epsilons=epsilons, **facts)
