"""A run folder: cells that appear whole or not at all, locks between processes, checksums, and the study it belongs to.

    RUN/study.json                       what was asked for and the list of its cells
    RUN/<kind>-<fingerprint>/cell.json   written last; its presence means complete
    RUN/failed/<kind>-<fingerprint>.json why a cell failed, until it succeeds

A cell is written in a hidden folder beside its place and renamed, so a crash leaves nothing that looks finished.
Two processes may share a run folder: a cell is locked while it is made, by a lock that the operating system drops
with the process.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from palpate.core.errors import InputError

PACKAGES = ("palpate", "torch", "timm", "foolbox", "captum", "opencv-python-headless", "numpy")


@dataclasses.dataclass(frozen=True)
class Cell:
    """One node of a study: what it is made of decides its name, so an equal cell is never made twice."""

    kind: str  # "train" | "predict" | "attack" | "explain" | "trust"
    fingerprint: str
    title: str  # for people
    spec: dict[str, Any]  # everything that changes its result
    task: str
    model_id: str
    parents: tuple[str, ...] = ()  # ids of the cells it reads

    @property
    def id(self) -> str:
        """The name of its folder."""
        return f"{self.kind}-{self.fingerprint}"


@dataclasses.dataclass(frozen=True)
class Run:
    """A run folder and what can be asked of it. Reading never needs torch."""

    path: Path

    def folder(self, cell_id: str) -> Path:
        """Where the cell lies, or will lie."""
        return self.path / cell_id

    def complete(self, cell_id: str) -> bool:
        """Whether the cell has been made."""
        return (self.folder(cell_id) / "cell.json").is_file()

    def study(self) -> dict[str, Any]:
        """The study's record.

        Raises:
            InputError: the folder is not a run.
        """
        try:
            return json.loads((self.path / "study.json").read_text())
        except FileNotFoundError:
            raise InputError(
                f"{self.path}: is not a run folder (it holds no study.json); give the folder that `palpate study` printed"
            ) from None
        except (OSError, json.JSONDecodeError) as error:
            raise InputError(f"{self.path / 'study.json'}: cannot be read: {error}") from None

    def cell(self, cell_id: str) -> dict[str, Any]:
        """The record of a complete cell."""
        return json.loads((self.folder(cell_id) / "cell.json").read_text())

    def failures(self) -> dict[str, dict[str, Any]]:
        """Cells that failed and have not succeeded since, by id."""
        folder = self.path / "failed"
        found = {file.stem: json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))}
        return {cell_id: record for cell_id, record in found.items() if not self.complete(cell_id)}

    def record_failure(self, cell: Cell, error: str, trace: str) -> None:
        """Note why a cell failed; the note goes when the cell succeeds."""
        folder = self.path / "failed"
        folder.mkdir(exist_ok=True)
        record = {"id": cell.id, "title": cell.title, "error": error, "traceback": trace, "when": _now()}
        _write_json(folder / f"{cell.id}.json", record)

    @contextlib.contextmanager
    def lock(self, cell_id: str) -> Iterator[bool]:
        """Hold the cell's lock; gives False at once when another process holds it."""
        folder = self.path / ".locks"
        folder.mkdir(exist_ok=True)
        with (folder / cell_id).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    @contextlib.contextmanager
    def making(self, cell: Cell, device: str, commit: str | None) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Give a folder to write the cell into and a dict for its facts; on leaving without an error the cell appears, whole."""
        draft = self.path / f".{cell.id}.{os.getpid()}.part"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        facts: dict[str, Any] = {}
        start = time.monotonic()
        try:
            yield draft, facts
            _write_json(
                draft / "cell.json",
                {
                    "kind": cell.kind,
                    "fingerprint": cell.fingerprint,
                    "title": cell.title,
                    "task": cell.task,
                    "model_id": cell.model_id,
                    "spec": cell.spec,
                    "parents": list(cell.parents),
                    "versions": versions(),
                    "commit": commit,
                    "device": device,
                    "seconds": round(time.monotonic() - start, 3),
                    "created": _now(),
                    "checksums": {file.name: sha256(file) for file in sorted(draft.iterdir())},
                    "facts": facts,
                },
            )
            draft.rename(self.folder(cell.id))
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        (self.path / "failed" / f"{cell.id}.json").unlink(missing_ok=True)

    def verify(self, cell_id: str) -> None:
        """Compare the cell's files with their checksums.

        Raises:
            InputError: a file is absent or was changed since.
        """
        for name, expected in self.cell(cell_id)["checksums"].items():
            file = self.folder(cell_id) / name
            if not file.is_file() or sha256(file) != expected:
                raise InputError(
                    f"{file}: is absent or was changed after it was made; delete {self.folder(cell_id)} and run the study again"
                )


def open_run(path: Path, name: str) -> Run:
    """Open a run folder for writing, making it when absent.

    Raises:
        InputError: the folder belongs to another study, or holds files that are not a run's.
    """
    record = path / "study.json"
    if record.is_file():
        other = Run(path).study()["name"]
        if other != name:
            raise InputError(
                f"{path}: belongs to the study `{other}`, given the study `{name}`; choose another folder with --out"
            )
    elif path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path}: is not empty and no run folder; choose another folder with --out")
    path.mkdir(parents=True, exist_ok=True)
    return Run(path)


def write_study(run: Run, record: dict[str, Any]) -> None:
    """Write study.json, whole or not at all."""
    _write_json(run.path / "study.json", {"palpate": versions()["palpate"], "created": _now()} | record)


def sha256(path: Path) -> str:
    """The checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


def _write_json(path: Path, value: Any) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    draft.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n")
    draft.replace(path)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
