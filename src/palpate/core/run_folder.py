"""A run folder: stage outputs that appear whole or not at all, locks between processes, checksums, and the study it belongs to.

    RUN/study.json                         what was asked for and the list of its stage outputs
    RUN/<kind>-<fingerprint>/stage.json    written last; its presence means complete
    RUN/failed/<kind>-<fingerprint>.json   why a stage failed, until it succeeds

A stage output is written in a hidden folder beside its place and renamed, so a crash leaves nothing that looks finished. Two processes may share a
run folder: a stage is locked while it is made, by a lock that the operating system drops with the process. Reading opens nothing for writing.
"""

import contextlib
import dataclasses
import fcntl
import importlib.metadata
import json
import platform
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from palpate.core.errors import InputError
from palpate.core.io import atomic_folder, sha256, write_json
from palpate.core.records import FORMAT, FailureRecord, StageOutput, StageRecord, StudyRecord, check_stage_id
from palpate.core.spec import Spec

PACKAGES = ("palpate", "torch", "timm", "foolbox", "captum", "opencv-python-headless", "numpy")

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
        return self.path / check_stage_id(stage_id)

    def complete(self, stage_id: str) -> bool:
        """Whether the stage output has been made."""
        return (self.folder(stage_id) / "stage.json").is_file()

    def study(self) -> StudyRecord:
        """The study's record.

        Raises:
            InputError: the folder is not a run, or one of another version of palpate.
        """
        file = self.path / "study.json"
        if not file.is_file():
            raise InputError(
                f"{self.path}: is not a run folder (it holds no study.json); give the folder that `palpate study` printed"
            )
        data = _read_json(file)
        version = data.get("format")
        if version is None:
            raise InputError(
                f"{self.path}: was made by version 0.1 of palpate, whose runs this version does not read; run the study again in another folder"
            )
        if version != FORMAT:
            raise InputError(
                f"{self.path}: is a run folder of format {version!r}, and this palpate reads {FORMAT}; use the palpate that made it"
            )
        return StudyRecord.read(data, str(file))

    def stage(self, stage_id: str) -> StageRecord:
        """The record of a stage output that was made.

        Raises:
            InputError: it is absent or cannot be read.
        """
        return self._record(self.folder(stage_id) / "stage.json", StageRecord, stage_id)

    def failures(self) -> dict[str, FailureRecord]:
        """Stages that failed and have not succeeded since, by id.

        Raises:
            InputError: a record cannot be read.
        """
        files = {file.stem: file for file in sorted((self.path / "failed").glob("*-*.json"))}
        return {
            stage_id: self._record(file, FailureRecord, stage_id)
            for stage_id, file in files.items()
            if not self.complete(stage_id)
        }

    def verify(self, stage_id: str) -> Path:
        """Compare a stage output's files with their checksums, and give its folder.

        Raises:
            InputError: a file is absent or was changed since.
        """
        folder = self.folder(stage_id)
        for name, expected in self.stage(stage_id).checksums.items():
            file = folder / name
            if not file.is_file() or sha256(file) != expected:
                raise InputError(
                    f"{file}: is absent or was changed after it was made; delete {folder} and run the study again"
                )
        return folder

    def busy(self, stage_id: str) -> bool:
        """Whether another process is making the stage output."""
        file = self.path / ".locks" / check_stage_id(stage_id)
        try:
            with file.open("rb") as handle:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    @contextlib.contextmanager
    def lock(self, stage_id: str) -> Iterator[bool]:
        """Hold the lock of a stage; gives False at once when another process holds it."""
        file = self.path / ".locks" / check_stage_id(stage_id)
        file.parent.mkdir(exist_ok=True)
        with file.open("ab") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    @contextlib.contextmanager
    def making(self, stage: StageOutput, device: str, commit: str | None) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Give a folder to write a stage output into and a dict for its facts; on leaving without an error the output appears, whole."""
        facts: dict[str, Any] = {}
        start = time.monotonic()
        with atomic_folder(self.folder(stage.id)) as draft:
            yield draft, facts
            record = StageRecord(
                **dict(stage),
                versions=versions(),
                commit=commit,
                device=device,
                seconds=round(time.monotonic() - start, 3),
                created=_now(),
                checksums={file.name: sha256(file) for file in sorted(draft.iterdir())},
                facts=facts,
            )
            write_json(draft / "stage.json", record.to_dict())
        (self.path / "failed" / f"{stage.id}.json").unlink(missing_ok=True)

    def record_failure(self, stage: StageOutput, error: str, trace: str) -> None:
        """Note why a stage failed; the note goes when the stage succeeds."""
        record = FailureRecord(id=stage.id, title=stage.title, error=error, traceback=trace, created=_now())
        write_json(self.path / "failed" / f"{stage.id}.json", record.to_dict())

    def write_study(self, **facts: Any) -> None:
        """Write study.json from the fields of a `StudyRecord` that are not about this palpate and now."""
        record = StudyRecord(format=FORMAT, palpate=versions()["palpate"], created=_now(), **facts)
        write_json(self.path / "study.json", record.to_dict())

    def _record(self, file: Path, schema: type[Record], stage_id: str) -> Record:
        """Read the record of a stage, which must name the stage that its place says."""
        record = schema.read(_read_json(file), str(file))
        named = getattr(record, "id", stage_id)
        if named != stage_id:
            raise InputError(f"{file}: is the record of {named}; delete the folder and run the study again")
        return record


def open_run(path: Path, name: str) -> RunFolder:
    """Open a run folder for writing, making it when absent.

    Raises:
        InputError: the folder belongs to another study, or holds files that are not a run's.
    """
    run = RunFolder(path)
    if (path / "study.json").is_file():
        other = run.study().name
        if other != name:
            raise InputError(
                f"{path}: belongs to the study `{other}`, given the study `{name}`; choose another folder with --out"
            )
    elif path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path}: is not empty and no run folder; choose another folder with --out")
    path.mkdir(parents=True, exist_ok=True)
    return run


def versions() -> dict[str, str]:
    """The versions that can change a result."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def source_commit() -> str | None:
    """The commit of palpate's own sources, when they lie in a git checkout; with "+" when files were changed since."""
    folder = Path(__file__).parent
    try:
        tracked = subprocess.run(
            ["git", "-C", folder, "ls-files", "--error-unmatch", __file__], capture_output=True, text=True, check=False
        )
        if tracked.returncode:
            return None
        described = subprocess.run(
            ["git", "-C", folder, "describe", "--always", "--abbrev=12", "--dirty=+", "--match="],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    return described.stdout.strip() or None


def _read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{file}: cannot be read ({error}); run the study again to write it anew") from None
    if not isinstance(data, dict):
        raise InputError(f"{file}: a JSON object is needed, given {type(data).__name__}; run the study again")
    return data


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
