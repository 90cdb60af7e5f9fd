"""A study's progress: which stage of how many, the time left for the whole, and the result of each stage that is done."""

import contextlib
import time
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from palpate.core.formatting import span
from palpate.core.progress import LOG_SECONDS
from palpate.core.records import StageOutput


class StudyProgress:
    """Shows how far a study has come: bars in a terminal; elsewhere (a log file, a batch system) a line now and then, never broken.

    Args:
        console: where to.
        stages: all of the study.
    """

    def __init__(self, console: Console, stages: tuple[StageOutput, ...]) -> None:
        self._console, self._stages = console, stages
        self._left = {stage.id: stage for stage in stages}
        self._seconds: dict[str, list[float]] = {}
        self._begun: dict[str, float] = {}
        self._bars: dict[str, TaskID] = {}
        self._start, self._made, self._last, self._told = time.monotonic(), 0, time.monotonic(), False
        words = TextColumn("{task.description}", markup=False), TextColumn("{task.fields[note]}", markup=False)
        columns = (words[0], BarColumn(bar_width=20), MofNCompleteColumn(), TimeElapsedColumn(), words[1])
        self._live = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._whole = self._live.add_task("study", total=len(stages), note="")

    @contextlib.contextmanager
    def shown(self) -> Iterator["StudyProgress"]:
        """Show bars while the study is made."""
        with self._live:
            yield self

    def begin(self, stage: StageOutput) -> None:
        """A stage is being made."""
        self._begun[stage.id] = time.monotonic()
        self._bars[stage.id] = self._live.add_task(stage.title, total=None, note="")

    def told(self, stage: StageOutput, done: int, total: int, note: str) -> None:
        """A stage has come so far."""
        if stage.id in self._bars:
            self._live.update(self._bars[stage.id], completed=done, total=total, note=note)
        now = time.monotonic()
        if not self._console.is_terminal and now - self._last >= LOG_SECONDS:
            self._last = now
            self._line("", f"{stage.title}: {done:,} of {total:,}, {note}{self._time_left()}")

    def done(self, stage: StageOutput, seconds: float, result: str) -> None:
        """A stage was made."""
        self._seconds.setdefault(stage.kind, []).append(seconds)
        self._made += 1
        self.complete(stage)
        words = f": {result}" if result else ""
        self._line("done", f"{self._place()} {stage.title} ({span(seconds)}){words}{self._time_left()}", "green")

    def failed(self, stage: StageOutput, reason: str) -> None:
        """A stage failed."""
        self.complete(stage)
        self._line("failed", f"{self._place()} {stage.title}: {reason}", "red")

    def complete(self, stage: StageOutput) -> None:
        """Nothing is left to do for a stage: it was complete already, another process has made it, or it failed."""
        self._left.pop(stage.id, None)
        self._begun.pop(stage.id, None)
        if stage.id in self._bars:
            self._live.remove_task(self._bars.pop(stage.id))
        self._live.update(self._whole, completed=len(self._stages) - len(self._left), note=self._time_left())

    def remade(self, stage: StageOutput, state: str, why: str) -> None:
        """A stage output is there, but not as it was made, or not of these parents."""
        self._line(state, f" {stage.title}: {why}; it is made again", "yellow")

    def waiting(self) -> None:
        """Only stages are left that another process is making."""
        if not self._told:
            self._line("", "Waiting for stages that another process is making")
        self._told = True

    def _place(self) -> str:
        return f"{len(self._stages) - len(self._left)} of {len(self._stages)}"

    def _time_left(self) -> str:
        """For the whole, from the stages made so far: each kind takes as long as it did, one not seen yet as long as the mean of all."""
        if not self._seconds or not self._left:
            return ""
        every = [seconds for kind in self._seconds.values() for seconds in kind]
        mean = {kind: sum(seconds) / len(seconds) for kind, seconds in self._seconds.items()}
        now = time.monotonic()
        usual = {stage.id: mean.get(stage.kind, sum(every) / len(every)) for stage in self._left.values()}
        spent = sum(min(now - begun, usual[stage]) for stage, begun in self._begun.items() if stage in usual)
        at_once = max(1.0, sum(every) / max(now - self._start, 1e-9))
        return f", about {span((sum(usual.values()) - spent) / at_once)} left for the study"

    def _line(self, word: str, text: str, style: str = "") -> None:
        """One line, whatever its length, so that a log can be searched line by line."""
        self._console.print(Text.assemble((f"{word:7}", style), text) if word else Text(text), soft_wrap=True)
