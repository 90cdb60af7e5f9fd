"""A run folder: stage outputs that appear whole or not at all, locks between processes, checksums, and the study it belongs to.

    RUN/study.json                         what was asked for and the list of its stage outputs
    RUN/<kind>-<fingerprint>/stage.json    written last: the size and SHA-256 of every file, and what it was made from
    RUN/failed/<kind>-<fingerprint>.json   why a stage failed, until it succeeds

A stage output is written in a draft beside its place and renamed, so a crash leaves nothing that looks finished. Two processes may share a
run folder: a stage is locked while it is made, by a lock that the operating system drops with the process. Reading opens nothing for writing.
"""

import contextlib
import dataclasses
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

from palpate.core import io, records
from palpate.core.errors import Damaged, DiskFull, InputError
from palpate.core.provenance import now, versions
from palpate.core.spec import Spec, SpecError

State = Literal["complete", "damaged", "outdated", "missing"]

Record = TypeVar("Record", bound=Spec)


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """A run folder and what can be asked of it. Reading never needs torch."""

    path: Path

    def folder(self, stage_id: str) -> Path:
        """Where a stage output lies, or will lie.

        Raises:
            InputError: the id is none, and must not become a path.
        """
        return self.path / records.check_stage_id(stage_id)

    def complete(self, stage_id: str) -> bool:
        """Whether the stage output has been made and its files have their recorded sizes; no file is read but stage.json."""
        try:
            return self._fault(self.stage(stage_id), contents=False) is None
        except Damaged:
            return False

    def state(self, stage: records.StageOutput, contents: bool = True) -> tuple[State, str]:
        """What has become of a stage, and why it is not complete: "damaged" with the file, "outdated" with the parent, or "missing".

        Args:
            stage: as the study lists it; its parents are compared with what the output was made from.
            contents: also compare the files with their checksums, which reads all of them.
        """
        folder = self.folder(stage.id)
        if not folder.exists() and not folder.is_symlink():
            return "missing", ""
        try:
            record = self.stage(stage.id)
            fault = self._fault(record, contents)
            if fault:
                return "damaged", fault
        except Damaged as error:
            return "damaged", str(error)
        for parent in stage.parents:
            if self.complete(parent.id) and record.made_from.get(parent.id) != self.stage(parent.id).content:
                return "outdated", f"{folder}: was made from another {parent.id} than the one that is there"
        return "complete", ""

    def study(self) -> records.StudyRecord:
        """The study's record.

        Raises:
            Damaged: study.json is not as it was written; `palpate verify RUN --repair` writes it again.
            InputError: the folder is not a run, or one of another version of palpate.
        """
        file = self.path / "study.json"
        if not file.exists() and not self.stage_records():
            advice = "give the folder that `palpate study` printed"
            raise InputError(f"{self.path}: is not a run folder (it holds no study.json); {advice}")
        try:
            data = io.read_json(file)
            if "checksum" in data or data.get("format") == records.FORMAT:  # earlier formats have none
                data = io.read_record(file)
        except Damaged as error:
            remedy = f"`palpate verify {self.path} --repair` or `palpate study` writes it again from the stage outputs"
            raise Damaged(f"{error}; {remedy}") from None
        if (version := data.get("format")) is None:
            made = "was made by version 0.1 of palpate, whose runs this version does not read"
            raise InputError(f"{self.path}: {made}; run the study again in another folder")
        if version != records.FORMAT:
            age = "a newer" if isinstance(version, int) and version > records.FORMAT else "an older"
            formats = f"format {version!r}, and this palpate reads {records.FORMAT}"
            raise InputError(f"{self.path}: is a run folder of {age} palpate ({formats}); use the palpate that made it")
        return records.StudyRecord.read(data, str(file))

    def stage(self, stage_id: str) -> records.StageRecord:
        """The record of a stage output that was made.

        Raises:
            Damaged: it is absent or not as it was written.
        """
        return self._record(self.folder(stage_id) / "stage.json", records.StageRecord, stage_id)

    def stage_records(self) -> list[records.StageRecord]:
        """The records of all stage outputs in the folder, of this study as it is or as it was before it was edited."""
        found = []
        for file in sorted(self.path.glob("*-*/stage.json")):
            with contextlib.suppress(InputError):
                found.append(self.stage(file.parent.name))
        return found

    def failures(self) -> dict[str, records.FailureRecord]:
        """Stages that failed and have not succeeded since, by id."""
        found = {}
        for file in sorted((self.path / "failed").glob("*-*.json")):
            if re.fullmatch(records.STAGE_ID, file.stem) and not self.complete(file.stem):
                try:
                    found[file.stem] = self._record(file, records.FailureRecord, file.stem)
                except Damaged as error:
                    unknown = {"title": "", "error": f"why is not known: {error}", "traceback": "", "created": ""}
                    found[file.stem] = records.FailureRecord(id=file.stem, **unknown)
        return found

    def verify(self, stage_id: str) -> Path:
        """Compare a stage output's files with their sizes and checksums, and give its folder.

        Raises:
            Damaged: a file is absent or was changed since.
        """
        fault = self._fault(self.stage(stage_id), contents=True)
        if fault:
            raise Damaged(f"{fault}; run the study again to remake it")
        return self.folder(stage_id)

    def busy(self, stage_id: str) -> bool:
        """Whether a process is making the stage output, as far as this machine can see: a draft of it lies there."""
        drafts = self.path.glob(f".{records.check_stage_id(stage_id)}.*.part")
        return any(not io.is_abandoned(draft) for draft in drafts)

    @contextlib.contextmanager
    def lock(self, stage_id: str) -> Iterator[bool]:
        """Hold the lock of a stage; gives False at once when another process holds it.

        Raises:
            InputError: the folder cannot be written, or lies on a file system without locks.
        """
        with io.lock_file(self.own(".locks") / records.check_stage_id(stage_id)) as held:
            yield held

    @contextlib.contextmanager
    def making(
        self, stage: records.StageOutput, device: str, commit: str | None
    ) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Give a folder to write a stage output into and a dict for its facts; on leaving without an error the output appears, whole.

        The stage's lock must be held: drafts of it that other processes left are removed.

        Raises:
            DiskFull: there is no room, before or while it is made.
        """
        facts: dict[str, Any] = {}
        start = time.monotonic()
        io.check_room(self.path)
        for left in self.path.glob(f".{stage.id}.*.part"):
            io.remove(left)
        made_from = {each.id: self.stage(each.id).content for each in stage.parents if self.complete(each.id)}
        try:
            with io.atomic_folder(self.folder(stage.id)) as draft:
                yield draft, facts
                told: dict[str, Any] = dict(stage) | {"versions": versions(), "commit": commit, "device": device}
                told |= {"seconds": round(time.monotonic() - start, 3), "created": now(), "study": self._facts()}
                files = {file.name: _written(file) for file in sorted(draft.iterdir())}
                record = records.StageRecord(**told, files=files, made_from=made_from, facts=facts)
                io.write_record(draft / "stage.json", record.to_dict())
        except Exception as error:
            if not io.is_full(error):
                raise
            raise DiskFull(f"{self.path}: the disk was filled while {stage.title} was made; {io.KEPT}") from error
        (self.own("failed") / f"{stage.id}.json").unlink(missing_ok=True)

    def record_failure(self, stage: records.StageOutput, error: str, trace: str) -> None:
        """Note why a stage failed; the note goes when the stage succeeds."""
        record = records.FailureRecord(id=stage.id, title=stage.title, error=error, traceback=trace, created=now())
        file = self.own("failed") / f"{stage.id}.json"
        with io.named_errors(str(file)):
            io.write_record(file, record.to_dict())

    def write_study(self, **facts: Any) -> None:
        """Write study.json from the fields of a `StudyRecord` that are not about this palpate and now."""
        record = records.StudyRecord(format=records.FORMAT, palpate=versions()["palpate"], created=now(), **facts)
        with io.named_errors(str(self.path / "study.json")):
            io.write_record(self.path / "study.json", record.to_dict())

    def _fault(self, record: records.StageRecord, contents: bool) -> str | None:
        """The first file of a stage output that is not as it was written."""
        folder = self.folder(record.id)
        for name, written in record.files.items():
            file = folder / name
            try:
                if not file.is_file():
                    return f"{file}: is missing"
                if (size := file.stat().st_size) != written.size:
                    return f"{file}: has {size:,} bytes and was written with {written.size:,}"
                if contents and io.sha256(file) != written.sha256:
                    return f"{file}: was changed after it was made: its checksum is another"
            except OSError as error:
                return f"{file}: cannot be read ({error.strerror or error})"
        return None

    def _facts(self) -> records.StudyFacts | None:
        with contextlib.suppress(InputError):
            known = records.StudyFacts.model_fields
            return records.StudyFacts(**{name: value for name, value in self.study() if name in known})

    def own(self, name: str) -> Path:
        """A folder of the run's own to write into, which must not lead elsewhere."""
        folder = self.path / name
        if folder.is_symlink():
            raise InputError(f"{folder}: is a link, and palpate writes only inside a run folder; remove the link")
        return folder

    def _record(self, file: Path, schema: type[Record], stage_id: str) -> Record:
        """Read the record of a stage, which must name the stage that its place says."""
        try:
            record = schema.read(io.read_record(file), str(file))
        except SpecError as error:
            raise Damaged(str(error)) from None
        if (named := getattr(record, "id", stage_id)) != stage_id:
            raise Damaged(f"{file}: is the record of {named}")
        return record


def open_run(path: Path, name: str) -> RunFolder:
    """Open a run folder for writing, making it when absent; drafts of processes that ended are removed.

    Raises:
        InputError: the folder belongs to another study, holds files that are not a run's, or cannot be written.
    """
    run = RunFolder(path)
    try:
        others = {run.study().name}
    except Damaged:  # what it was made for is said beside each stage output too
        others = {record.study.name for record in run.stage_records() if record.study}
    except InputError:
        if (path / "study.json").exists():
            raise
        others = set()
        if path.exists() and (not path.is_dir() or any(not io.is_draft(file) for file in path.iterdir())):
            raise InputError(f"{path}: is not empty and no run folder; choose another folder with --out") from None
    if others - {name}:
        remedy = "choose another folder with --out"
        raise InputError(f"{path}: belongs to the study `{min(others)}`, given the study `{name}`; {remedy}")
    with io.named_errors(str(path), "choose another folder with --out, or change its rights"):
        path.mkdir(parents=True, exist_ok=True)
        io.sweep(path)
    return run


def _written(file: Path) -> records.FileRecord:
    return records.FileRecord(size=file.stat().st_size, sha256=io.sha256(file))
