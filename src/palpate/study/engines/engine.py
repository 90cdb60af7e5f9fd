"""What an engine is: it makes the stages that are submitted to it, and gives what became of each; and the one that works in this process."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from palpate.core.records import StageOutput
from palpate.study.spec import Study

Told = Callable[[StageOutput, int, int, str], None]
"""Told of a stage the work done, the work in all, and a few words."""

TOLD_SECONDS = 0.5
"""Between two messages of a process about how far it has come."""


class Stopped(BaseException):
    """The user, or the system, asked to stop; `code` is the exit status. No `Exception`, so that nothing on the way takes it for a failure."""

    def __init__(self, code: int = 130) -> None:
        super().__init__(code)
        self.code = code


@dataclasses.dataclass(frozen=True)
class Setup:
    """What a process needs to know to make the stages of a run.

    Attributes:
        study: what is asked for.   run: the run folder.   root: the folder of the publishers' data folders.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".   threads: of torch; as many as it chooses when None.
        commit: of palpate's sources, see `palpate.core.records.StageRecord`.
        devices: GPUs that one training uses.   log: see `palpate.study.loggers`.
    """

    study: Study
    run: Path
    root: Path | None
    device: str
    threads: int | None
    commit: str | None
    devices: int = 1
    log: str | None = None


@dataclasses.dataclass(frozen=True)
class Job:
    """A stage to be made, or some of its images: those from the first to before the second number."""

    stage: StageOutput
    part: tuple[int, int] | None = None


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        job: as submitted.   seconds: that it took.
        result: in a few words, or "".   error: why it failed, or "".   trace: where.   disk_full: nothing else can be made either.
    """

    job: Job
    seconds: float = 0.0
    result: str = ""
    error: str = ""
    trace: str = ""
    disk_full: bool = False


class Engine(Protocol):
    """Makes jobs. Their stages are locked by the one who submits them, and their parents are complete."""

    slots: int
    """Jobs that it works on at a time."""

    def submit(self, job: Job) -> None:
        """Take a job; at most `slots` are in work."""
        ...

    def wait(self, seconds: float) -> list[Outcome]:
        """What became of jobs since the last call; waits for the first of them, at most so long unless it works itself."""
        ...

    def close(self) -> None:
        """End all that was started; jobs in work are dropped, their kept parts are not."""
        ...


def sparingly(told: Told) -> Told:
    """The same, called at most once in `TOLD_SECONDS`."""
    last = 0.0

    def tell(*said: Any) -> None:
        nonlocal last
        if time.monotonic() - last >= TOLD_SECONDS:
            last = time.monotonic()
            told(*said)

    return tell


class InProcess:
    """Makes each job in this process, one after the other."""

    slots = 1

    def __init__(self, make: Callable[[Job], Outcome]) -> None:
        self._make, self._jobs = make, list[Job]()

    def submit(self, job: Job) -> None:
        """Take a job, to be made by `wait`."""
        self._jobs.append(job)

    def wait(self, seconds: float) -> list[Outcome]:
        """Make what was submitted."""
        jobs, self._jobs = self._jobs, []
        return [self._make(job) for job in jobs]

    def close(self) -> None:
        """Nothing was started."""
        self._jobs.clear()
