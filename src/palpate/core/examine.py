"""Everything in a run folder compared with what was written: what `palpate verify` says, and what it removes to be made again."""

import dataclasses
import re
from pathlib import Path
from typing import Any

from palpate.core.errors import Damaged
from palpate.core.io import CHECKSUMS, MOST_BYTES, is_abandoned, remove, sha256, sweep
from palpate.core.records import STAGE_ID, StageOutput, TaskRecord
from palpate.core.rows import metadata_file
from palpate.core.run_folder import RunFolder, State


@dataclasses.dataclass(frozen=True)
class Output:
    """A stage output, and what is wrong with it.

    Attributes:
        id, title: of the stage.   planned: whether study.json lists it; others were made before the study was edited.
        state: as `RunFolder.state` says.   problem: the file that is damaged, or the parent that is another; "" where nothing is wrong.
    """

    id: str
    title: str
    planned: bool
    state: State
    problem: str


@dataclasses.dataclass(frozen=True)
class Examination:
    """What was found in a run folder.

    Attributes:
        study: what is wrong with study.json, or "".   outputs: of the stages, in the study's order, then others.
        report: what is wrong with the report's files, and with the columns that make subgroups.
        left_over: drafts of processes that ended, which harm nothing.
    """

    study: str
    outputs: tuple[Output, ...]
    report: tuple[str, ...]
    left_over: tuple[str, ...]

    @property
    def damaged(self) -> list[Output]:
        """The stage outputs that must be made again."""
        return [output for output in self.outputs if output.state in ("damaged", "outdated")]

    @property
    def problems(self) -> list[str]:
        """All that is wrong; empty where every file is as it was written. A stage that was not made yet is not wrong."""
        return [*filter(None, [self.study]), *(output.problem for output in self.damaged), *self.report]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, with `whole`: whether nothing is wrong."""
        return {"whole": not self.problems, **dataclasses.asdict(self)}


def examine(run: RunFolder) -> Examination:
    """Read every file of a run folder and compare it with what was written; nothing is opened for writing.

    Raises:
        InputError: the folder is not a run, or one of another version of palpate.
    """
    planned: tuple[StageOutput, ...] = ()
    study, report = "", _report(run)
    try:
        planned, tasks = run.study().stages, run.study().tasks
        report += filter(None, (metadata_problem(run.path, name, tasks[name]) for name in tasks))
    except Damaged as error:
        study = str(error)
    records = {record.id: record for record in run.stage_records()}
    folders = sorted(path.name for path in run.path.iterdir() if re.fullmatch(STAGE_ID, path.name))
    others = [name for name in folders if name not in {stage.id for stage in planned}]
    outputs = [Output(stage.id, stage.title, True, *run.state(stage)) for stage in planned]
    for name in others:
        known, lost = records.get(name), f"{run.path / name / 'stage.json'}: is missing or damaged"
        state, problem = run.state(known) if known else ("damaged", lost)
        outputs.append(Output(name, known.title if known else name, False, state, problem))
    left = sorted(path.name for path in run.path.glob(".*.part") if is_abandoned(path))
    return Examination(study, tuple(outputs), tuple(report), tuple(left))


def metadata_problem(path: Path, task: str, record: TaskRecord) -> str:
    """What is wrong with the columns of a task's images that make subgroups, which a study writes whenever it is run; "" where nothing is."""
    file = metadata_file(path, task)
    if not record.metadata or (file.is_file() and sha256(file) == record.metadata):
        return ""
    return f"{file}: {'was changed after it was written' if file.is_file() else 'is missing'}; run the study again"


def clear(run: RunFolder, found: Examination) -> None:
    """Remove what is damaged, outdated or left over, so that the study makes it again; each stage under its lock.

    Raises:
        InputError: the folder cannot be written.
    """
    for output in found.damaged:
        with run.lock(output.id) as held:
            if held:
                remove(run.folder(output.id))
    sweep(run.path)


def _report(run: RunFolder) -> list[str]:
    """Compare the report's files with the checksums beside them."""
    file = run.path / CHECKSUMS
    page = run.path / "report.html"
    if not file.exists():
        return [f"{page}: its checksums, {CHECKSUMS}, are missing"] if page.exists() else []
    try:
        if not file.is_file() or file.stat().st_size > MOST_BYTES:
            raise ValueError("no list of files")
        lines = [line.split("  ", 1) for line in file.read_text(encoding="utf-8").splitlines()]
        listed = {name: digest for digest, name in lines}
    except (OSError, ValueError) as error:
        return [f"{file}: cannot be read ({error})"]
    found = [] if page.name in listed else [f"{file}: does not list {page.name}"]
    for name, digest in listed.items():
        place = run.path / name
        if not re.fullmatch(r"(?!\.)[^/\\:\0]+(/(?!\.)[^/\\:\0]+){0,2}", name):
            found.append(f"{file}: lists {name!r}, which is no file of the report")
        elif not place.is_file():
            found.append(f"{place}: is missing")
        elif sha256(place) != digest:
            found.append(f"{place}: was changed after it was written")
    return found
