"""Making one stage output, in whichever process: the maker of its kind, its log, and what is told of a failure."""

import contextlib
import os
import platform
import shutil
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from palpate.core.errors import DiskFull, InputError, readable
from palpate.core.records import StageOutput
from palpate.core.run_folder import RunFolder
from palpate.models.memory import out_of_memory
from palpate.models.predict import choose_device
from palpate.study.engines.engine import Job, Outcome, Setup, Told
from palpate.study.stages import attack, corrupt, explain, predict, train, trust
from palpate.study.stages.context import Context
from palpate.study.stages.kept import kept_folder

Maker = Callable[[StageOutput, Context, Path, dict[str, Any]], None]

MAKERS: dict[str, Maker] = {
    module.__name__.rpartition(".")[2]: module.make for module in (train, predict, attack, corrupt, explain, trust)
}
"""Of each kind of stage, the function of the module of that name."""


def open_context(setup: Setup, told: Told) -> Context:
    """What the stages of a run are handed, in a process of an engine."""
    if setup.threads:
        torch.set_num_threads(setup.threads)
    run, device = RunFolder(setup.run), choose_device(setup.device)
    return Context(setup.study, run, setup.root, device, setup.devices, setup.log, told)


def make(job: Job, context: Context, commit: str | None) -> Outcome:
    """Make a stage output whose parents are complete, and say what became of it. The caller holds the stage's lock."""
    stage, start = job.stage, time.monotonic()
    with _log(context, stage) as log:
        try:
            if job.part:
                attack.make_part(stage, context, job.part)
                return Outcome(job, time.monotonic() - start)
            with context.run.making(stage, device_name(context.device), commit) as (folder, facts):
                MAKERS[stage.kind](stage, context, folder, facts)
            shutil.rmtree(kept_folder(context.run, stage.id), ignore_errors=True)
        except Exception as error:  # a failed stage is reported at the end, and never stops the others
            reason = str(error) if isinstance(error, InputError) else readable(f"{type(error).__name__}: {error}")
            if out_of_memory(error):
                reason += ". Memory ran out: give a smaller batch_size, smaller images, or another --device"
            log(f"failed: {reason}")
            trace = readable(traceback.format_exc(), 20_000)
            return Outcome(job, time.monotonic() - start, "", reason, trace, isinstance(error, DiskFull))
        result = str(facts.get("result", ""))
        log(f"done: {result}")
        return Outcome(job, time.monotonic() - start, result)


def jobs(stage: StageOutput, context: Context, slots: int) -> list[list[Job]]:
    """What a stage is made by: steps one after the other, each of jobs that may be made at the same time; the last is the stage itself."""
    steps = attack.parts(stage, context, slots) if stage.kind == "attack" else []
    return [*([Job(stage, part) for part in step] for step in steps), [Job(stage)]]


def device_name(device: torch.device) -> str:
    """The device as provenance needs it: the card's name, or the number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"


@contextlib.contextmanager
def _log(context: Context, stage: StageOutput) -> Iterator[Callable[[str], None]]:
    """Write RUN/logs/STAGE.log: when and where the stage was begun, warnings, what became of it."""
    path = context.run.own("logs") / f"{stage.id}.log"
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file, warnings.catch_warnings():
        shown = warnings.showwarning

        def log(text: str) -> None:
            file.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {text}\n")
            file.flush()

        def show(message: Warning | str, category: type[Warning], filename: str, *others: Any) -> None:
            log(f"warning: {category.__name__}: {message} ({filename})")
            shown(message, category, filename, *others)

        warnings.showwarning = show
        log(f"{stage.title}: process {os.getpid()} on {platform.node()}, {device_name(context.device)}")
        yield log
