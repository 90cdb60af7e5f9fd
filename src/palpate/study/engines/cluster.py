"""Stages as tasks of a Ray cluster: each with its CPUs and its GPU, begun again where a node is lost, written into the shared run folder."""

import logging
import os
import socket
import threading
import time
from typing import Any

import torch

from palpate.core.errors import InputError
from palpate.core.records import StageOutput
from palpate.study.engines.engine import TOLD_SECONDS, Job, Outcome, Setup, Told, sparingly

ANSWER_SECONDS = 10.0
"""That a cluster has to answer."""

RETRIES = 3
"""How often a task is begun again whose node or process was lost."""


class Cluster:
    """A Ray cluster as an engine.

    Args:
        setup: what the tasks need to know; the run folder lies at the same place on all nodes. Each task takes `threads` CPUs, 1 when None, and a GPU
            where the device is "auto" or "cuda" and the cluster has any.
        told: told how far stages have come.
        workers: tasks at a time; as many as the cluster holds when None.
        address: "auto", "HOST:PORT" or "ray://HOST:PORT"; None starts Ray on this machine.

    Raises:
        InputError: Ray is not installed, the address does not answer, or there is no GPU where one is asked for.
    """

    def __init__(self, setup: Setup, told: Told, workers: int | None, address: str | None) -> None:
        self._ray = _connect(address, workers)
        cpus, here = setup.threads or 1, self._ray.cluster_resources()
        gpus = int(here.get("GPU", 0)) if setup.device in ("auto", "cuda") else 0
        try:
            if setup.device == "cuda" and not gpus:
                remedy = "use --device cpu, or auto to take what is there"
                raise InputError(f"device 'cuda': the cluster has no GPU; {remedy}")
            if setup.device.startswith("cuda:"):
                why = f"which chooses the GPU itself, given {setup.device!r}"
                raise InputError(f"device must be auto, cpu or cuda on a cluster, {why}")
            if gpus and gpus < setup.devices:
                raise InputError(f"devices: {setup.devices} GPUs were asked for, and the cluster has {gpus}")
            if here.get("CPU", 0) < cpus:
                raise InputError(f"threads: {cpus} were asked for, and the cluster has {here.get('CPU', 0):.0f} CPUs")
        except InputError:
            self._ray.shutdown()
            raise
        self.slots = workers or max(1, gpus // setup.devices if gpus else int(here["CPU"] // cpus))
        self._told, self._setup, self._jobs = told, setup, dict[Any, Job]()
        remote = self._ray.remote(num_cpus=cpus, num_gpus=setup.devices if gpus else 0, max_retries=RETRIES)
        self._make = remote(_make)
        self._board = self._ray.remote(num_cpus=0)(_Board).remote()

    def submit(self, job: Job) -> None:
        """Make the job a task."""
        self._jobs[self._make.remote(job, self._setup, self._board)] = job

    def wait(self, seconds: float) -> list[Outcome]:
        """Wait for the first task that ends, and tell in the meantime how far the others have come."""
        end, ended = time.monotonic() + seconds, []
        while not ended and time.monotonic() < end:
            ended, _ = self._ray.wait(list(self._jobs), num_returns=1, timeout=TOLD_SECONDS)
            for said in self._ray.get(self._board.take.remote()):
                self._told(*said)
        return [self._outcome(task) for task in ended]

    def _outcome(self, task: Any) -> Outcome:
        job = self._jobs.pop(task)
        try:
            return self._ray.get(task)
        except self._ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
            return Outcome(job, error=f"the cluster lost it {RETRIES + 1} times: {reason}", trace=str(error))

    def close(self) -> None:
        """Cancel what is in work and leave the cluster."""
        for task in self._jobs:
            self._ray.cancel(task, force=True)
        self._ray.shutdown()


class _Board:
    """Where tasks write how far they have come."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[StageOutput, int, int, str]] = {}

    def put(self, stage: StageOutput, done: int, total: int, note: str) -> None:
        self._said[stage.id] = (stage, done, total, note)

    def take(self) -> list[tuple[StageOutput, int, int, str]]:
        said, self._said = self._said, {}
        return list(said.values())


def _make(job: Job, setup: Setup, board: Any) -> Outcome:
    """Make a job on a node of the cluster."""
    from palpate.study.engines import work

    torch.set_num_threads(setup.threads or 1)
    return work.make(job, work.open_context(setup, sparingly(board.put.remote)), setup.commit)


def _connect(address: str | None, workers: int | None) -> Any:
    """The module `ray`, connected."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # a task without a GPU leaves the variable alone
    try:
        import ray  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise InputError('engine "ray" needs Ray, which is not installed; pip install "palpate[cluster]"') from None
    if address is not None and address != "auto":
        _reach(address)
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        settings |= {"include_dashboard": False} | ({"num_cpus": workers} if workers else {})
    failed: list[BaseException] = []

    def connect() -> None:
        try:
            ray.init(address, **settings)
        except BaseException as error:
            failed.append(error)

    if address is None:
        connect()  # starting Ray takes as long as it takes
    else:
        trying = threading.Thread(target=connect, daemon=True)
        trying.start()
        trying.join(ANSWER_SECONDS)
        if trying.is_alive():
            failed.append(TimeoutError(f"no answer in {ANSWER_SECONDS:.0f} s"))
    if failed:
        where = f"address {address!r}: no Ray cluster answers there" if address else ""
        where = where or "Ray could not be started on this machine"
        reason = str(failed[0]).strip().splitlines() or [type(failed[0]).__name__]
        raise InputError(f"{where} ({reason[0]}); start one with `ray start --head`, or leave --address out")
    return ray


def _reach(address: str) -> None:
    """Refuse an address at which nothing listens, before Ray waits for it."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise InputError(f'address must be "auto", "HOST:PORT" or "ray://HOST:PORT", given {address!r}')
    try:
        socket.create_connection((host, int(port)), ANSWER_SECONDS / 2).close()
    except (OSError, OverflowError) as error:
        remedy = "is the cluster up, and is this its address?"
        raise InputError(f"address {address!r}: nothing answers there ({error}); {remedy}") from None
