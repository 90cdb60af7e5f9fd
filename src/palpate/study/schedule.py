"""Which stage is made next: those whose parents are complete, in the study's order, as many at a time as the engine works on."""

import contextlib
import dataclasses
import shutil
import time

from palpate.core.errors import DiskFull
from palpate.core.records import StageOutput
from palpate.study.engines.engine import Engine, Job, Outcome
from palpate.study.engines.work import jobs
from palpate.study.progress import StudyProgress
from palpate.study.stages.context import Context
from palpate.study.stages.kept import kept_folder

WAIT_SECONDS = 2.0
"""Between two looks at stages that another process is making."""


@dataclasses.dataclass
class _Work:
    """A stage that is locked and in work.

    Attributes:
        lock: let go of when it is done.   steps: the jobs that are still to be submitted, step after step.
        submitted: its jobs that the engine has.   seconds: that its jobs took.
    """

    lock: contextlib.ExitStack
    steps: list[list[Job]]
    submitted: int = 0
    seconds: float = 0.0


class Schedule:
    """The stages of a run that are left.

    Args:
        stages: all of the study, parents first.
        context: of this process, with the run folder, in which other processes may be making stages too.
        show: told of everything that happens.

    Attributes:
        failed: stages that failed, or whose parent did, and why.
        made: the number of stages that were made.
    """

    def __init__(self, stages: tuple[StageOutput, ...], context: Context, show: StudyProgress) -> None:
        self.context, self.run, self.show = context, context.run, show
        self.failed: dict[str, tuple[StageOutput, str]] = {}
        self.made = 0
        self._left = {stage.id: stage for stage in stages}
        self._work: dict[str, _Work] = {}

    def make_all(self, engine: Engine) -> None:
        """Make stages until none is left; those that another process holds are waited for.

        A stage output is looked at when its parents are as they will stay: a damaged one, or one made from other parents, is made again.

        Raises:
            DiskFull: nothing else can be made either.
        """
        try:
            while self._left:
                changed = self._begin(engine)
                if self._work:
                    for outcome in engine.wait(WAIT_SECONDS):
                        self._finish(outcome)
                elif self._left and not changed:
                    self.show.waiting()
                    time.sleep(WAIT_SECONDS)
        finally:
            for work in self._work.values():
                work.lock.close()

    def _free(self, engine: Engine) -> bool:
        return sum(work.submitted for work in self._work.values()) < engine.slots

    def _begin(self, engine: Engine) -> bool:
        """Submit what can be made now; gives whether stages were found complete, or their parents failed."""
        before = len(self._left)
        for work in self._work.values():
            self._submit(work, engine)
        for stage in list(self._left.values()):
            # A sibling serves one check only, which is not run where the sibling failed.
            parents = [each.id for each in stage.parents if each.role != "sibling" or each.id not in self.failed]
            broken = next((parent for parent in parents if parent in self.failed), None)
            if broken:
                self._drop(stage, f"needs `{self.failed[broken][0].title}`, which failed")
            elif stage.id in self._work or any(parent in self._left for parent in parents):
                continue
            elif self.run.state(stage)[0] == "complete":
                self._complete(stage)
            elif self._free(engine) and (lock := self._lock(stage)):
                self._work[stage.id] = _Work(lock, jobs(stage, self.context, engine.slots))
                self.show.begin(stage)
                self._submit(self._work[stage.id], engine)
        return len(self._left) < before

    def _submit(self, work: _Work, engine: Engine) -> None:
        """Submit jobs of the present step; the next step begins when all of this one are done."""
        if work.steps and not work.steps[0] and not work.submitted:
            work.steps.pop(0)
        while work.steps and work.steps[0] and self._free(engine):
            work.submitted += 1
            engine.submit(work.steps[0].pop(0))

    def _lock(self, stage: StageOutput) -> contextlib.ExitStack | None:
        """The lock of a stage that is to be made; None where another process holds it, or has just finished it."""
        with contextlib.ExitStack() as stack:
            if not stack.enter_context(self.run.lock(stage.id)):
                return None
            state, why = self.run.state(stage)
            if state == "complete":
                self._complete(stage)
                return None
            if why:
                self.show.remade(stage, state, why)
            return stack.pop_all()

    def _finish(self, outcome: Outcome) -> None:
        stage = outcome.job.stage
        work = self._work[stage.id]
        work.submitted -= 1
        work.seconds += outcome.seconds
        if outcome.disk_full:
            raise DiskFull(outcome.error)
        if outcome.error:
            work.steps.clear()
            if stage.id in self._left:  # the first of its parts that failed
                self.run.record_failure(stage, outcome.error, outcome.trace)
                self.show.failed(stage, outcome.error)
                self._drop(stage, outcome.error)
        elif not outcome.job.part:
            self.made += 1
            self.show.done(stage, work.seconds, outcome.result)
            del self._left[stage.id]
        if stage.id not in self._left and not work.submitted:
            del self._work[stage.id]
            work.lock.close()

    def _complete(self, stage: StageOutput) -> None:
        # The process that made it may have been killed before it could remove the parts.
        shutil.rmtree(kept_folder(self.run, stage.id), ignore_errors=True)
        self.show.complete(stage)
        del self._left[stage.id]

    def _drop(self, stage: StageOutput, reason: str) -> None:
        self.failed[stage.id] = (stage, reason)
        del self._left[stage.id]
