"""The engine that a run is made with: by its name, checked before any work begins."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from functools import partial

import torch

from palpate.core.errors import InputError
from palpate.study.engines import work
from palpate.study.engines.engine import Engine, InProcess, Setup, Told
from palpate.study.engines.local import Local
from palpate.study.stages.context import Context

ENGINES = ("in-process", "local", "ray")

WORKERS_PER_CORE = 8
"""Of the engine "local", at most: each is a process with its own copy of torch."""


@dataclasses.dataclass(frozen=True)
class EngineChoice:
    """Where stages are made.

    Attributes:
        name: "in-process", "local" or "ray".
        workers: stages made at a time; of "local" 2 when None, of "ray" as many as the cluster holds.
        address: of a Ray cluster, such as "ray://head:10001" or "auto"; None starts one on this machine.

    Raises:
        InputError: an unknown name, or a setting that the engine does not use.
    """

    name: str = "in-process"
    workers: int | None = None
    address: str | None = None

    def __post_init__(self) -> None:
        if self.name not in ENGINES:
            raise InputError(f"engine must be one of {', '.join(map(repr, ENGINES))}, given {self.name!r}")
        if self.workers is not None and (self.name == "in-process" or self.workers < 1):
            allowed = "left out with the engine 'in-process'" if self.name == "in-process" else "at least 1"
            raise InputError(f"workers must be {allowed}, given {self.workers}; several need --engine local or ray")
        most = WORKERS_PER_CORE * (os.cpu_count() or 1)
        if self.name == "local" and (self.workers or 0) > most:
            raise InputError(f"workers must be at most {most} on this machine, given {self.workers}")
        if self.address is not None and self.name != "ray":
            raise InputError(f"address is that of a Ray cluster, given with the engine {self.name!r}; use --engine ray")


@contextlib.contextmanager
def opened(choice: EngineChoice, setup: Setup, told: Told, context: Context) -> Iterator[Engine]:
    """The engine, closed at the end.

    Args:
        choice: which.
        setup: what its processes need to know.
        told: told how far stages have come.
        context: of this process.
    """
    if choice.name == "ray":
        from palpate.study.engines.cluster import Cluster

        engine: Engine = Cluster(setup, told, choice.workers, choice.address)
    elif choice.name == "local":
        engine = Local(_setups(setup, choice.workers or 2), told)
    else:
        if setup.threads:
            torch.set_num_threads(setup.threads)
        engine = InProcess(partial(work.make, context=context, commit=setup.commit))
    try:
        yield engine
    finally:
        engine.close()


def _setups(setup: Setup, workers: int) -> list[Setup]:
    """One for each worker on this machine: its share of the threads, and one of the GPUs in turn."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    threads = setup.threads or max(1, cores // workers)
    gpus = torch.cuda.device_count() if setup.device in ("auto", "cuda") else 0
    devices = [f"cuda:{number % gpus}" if gpus else setup.device for number in range(workers)]
    return [dataclasses.replace(setup, threads=threads, device=device) for device in devices]
