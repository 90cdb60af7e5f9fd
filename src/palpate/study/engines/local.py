"""Several processes on this machine, each making one stage at a time with threads of its own."""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.connection import Connection, wait
from typing import Any

from palpate.core.errors import InputError
from palpate.study.engines.engine import Job, Outcome, Setup, Told, sparingly

TRIES = 3
"""How often a job is begun whose process ended without an answer: killed by a person, or by the system because memory ran out."""

CLOSE_SECONDS = 1.0
"""That a worker has to end by itself."""


class Local:
    """Worker processes on this machine.

    Args:
        setups: one for each worker.
        told: told how far stages have come.
    """

    def __init__(self, setups: list[Setup], told: Told) -> None:
        self.slots = len(setups)
        self._told = told
        self._workers = [_Worker(setup) for setup in setups]

    def submit(self, job: Job) -> None:
        """Give a job to a worker that has none."""
        next(worker for worker in self._workers if worker.job is None).begin(job)

    def wait(self, seconds: float) -> list[Outcome]:
        """Hear what workers say; one that has ended is replaced, and its job begun again."""
        found: list[Outcome] = []
        end = time.monotonic() + seconds
        while not found and (left := end - time.monotonic()) > 0:
            heard = wait([worker.connection for worker in self._workers], left)
            found += [told for one in self._workers if one.connection in heard and (told := self._hear(one))]
        return found

    def _hear(self, worker: "_Worker") -> Outcome | None:
        try:
            said: Any = worker.connection.recv()
        except (EOFError, OSError):
            return worker.replace()
        if isinstance(said, Outcome):
            worker.job, worker.tries = None, 0
            return said
        self._told(*said)
        return None

    def close(self) -> None:
        """End the workers."""
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(CLOSE_SECONDS)
            worker.process.kill()
            worker.process.join()
            worker.connection.close()


class _Worker:
    """One process, the connection to it, and the job that it has."""

    def __init__(self, setup: Setup) -> None:
        self.setup, self.tries = setup, 0
        self.job: Job | None = None
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would share locks and torch's threads
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, self.setup), daemon=False)
        self.process.start()
        theirs.close()  # so that the connection ends with the process

    def begin(self, job: Job) -> None:
        self.job = job
        self.tries += 1
        with contextlib.suppress(OSError):  # it has just ended, which `wait` notices
            self.connection.send(job)

    def replace(self) -> Outcome | None:
        """Start another process for one that ended; gives the job up where that has happened too often."""
        self.process.join()
        code, job = self.process.exitcode, self.job
        self.connection.close()
        if job is None:
            self.tries += 1
            if self.tries > TRIES:
                raise InputError(f"workers end with status {code} as soon as they start; see their messages above")
        elif self.tries >= TRIES:
            self.job, self.tries = None, 0
            self._start()
            how = f"by signal {-code}" if code and code < 0 else f"with status {code}"
            often = f"{TRIES} times; the system does that when memory runs out"
            return Outcome(job, error=f"its process was ended {how} {often}")
        self._start()
        if job is not None:
            self.begin(job)
        return None


def _serve(connection: Connection, setup: Setup) -> None:
    """Make jobs until the connection, or the process at its other end, ends."""
    from palpate.study.engines import work

    # Ctrl-C reaches all processes of a terminal; the one at the other end decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    context = work.open_context(setup, sparingly(lambda *said: connection.send(said)))
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        connection.send(work.make(job, context, setup.commit))


def _end_with_parent() -> None:
    """Work of a run that was killed would go on without its locks."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
