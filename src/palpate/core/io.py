"""Files that appear whole or not at all, and their checksums: the one writer that everything else uses.

What is being written lies in a draft beside its place, `.NAME.HOST-PROCESS.part`. The name says which process writes it, so that the drafts
of a process that ended can be told from those of one that works, without a clock.
"""

import contextlib
import errno
import hashlib
import json
import os
import platform
import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from palpate.core.errors import Damaged, DiskFull, InputError

MOST_BYTES = 64 * 2**20
"""Of a JSON record; a larger file is none of ours, and is not read into memory."""

ROOM = 64 * 2**20
"""Bytes that must be free before a stage is begun: without them not even the reason of a failure can be written."""

CHECKSUMS = "report.sha256"
"""Beside a report: the SHA-256 of its page and files, as `sha256sum --check` reads them."""

KEPT = "what is complete is kept. Free some room and run the same command again"

_DRAFT = re.compile(r"\..+\.([0-9a-f]{8})-(\d{1,9})\.part")


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a hidden draft beside `path` to write into; on leaving without an error it takes the place of `path`, else it is removed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     target = Path(folder) / "a.txt"
    ...     with atomic(target) as draft:
    ...         _ = draft.write_text("whole")
    ...     target.read_text(), len(list(Path(folder).iterdir()))
    ('whole', 1)
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = draft_of(path)
    draft.unlink(missing_ok=True)  # it may be a link, and links are never written through
    try:
        yield draft
        _to_disk(draft)
        draft.replace(path)
        _to_disk(path.parent)
    finally:
        draft.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give a hidden draft folder beside `path` to fill; on leaving without an error it takes the place of `path`, else it is removed."""
    draft = draft_of(path)
    remove(draft)
    draft.mkdir(parents=True)
    try:
        yield draft
        for place in (*draft.rglob("*"), draft):
            _to_disk(place)
        remove(path)
        draft.rename(path)
        _to_disk(path.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def draft_of(path: Path) -> Path:
    """Where this process writes what will be `path`."""
    return path.with_name(f".{path.name}.{_host()}-{os.getpid()}.part")


def is_draft(path: Path) -> bool:
    """Whether a path is named as a draft is."""
    return _DRAFT.fullmatch(path.name) is not None


def is_abandoned(path: Path) -> bool:
    """Whether a path is a draft of a process of this machine that has ended; of another machine's this cannot be known, and is denied."""
    named = _DRAFT.fullmatch(path.name)
    if named is None or named[1] != _host() or os.name != "posix":  # elsewhere to ask for a process may end it
        return False
    try:
        os.kill(int(named[2]), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # it is another user's
        return False
    return False


def sweep(folder: Path) -> list[str]:
    """Remove the drafts in a folder whose process has ended; gives their names."""
    found = [path for path in folder.glob(".*.part") if is_abandoned(path)]
    for path in found:
        remove(path)
    return [path.name for path in found]


def remove(path: Path) -> None:
    """Remove a file, a link (not what it leads to) or a folder; nothing where nothing is."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file as UTF-8, whole or not at all."""
    with atomic(path) as draft:
        draft.write_text(text, encoding="utf-8", errors="backslashreplace")  # a name may hold bytes that are no text


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, whole or not at all; NaN and infinity are refused (ValueError)."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a JSON object with the SHA-256 of its values, so that `read_record` sees any change."""
    write_json(path, {**record, "checksum": _checksum(record)})


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        Damaged: it is absent, no file, larger than any record of palpate's, or no JSON object.
    """
    try:
        if not path.is_file():
            raise Damaged(f"{path}: is missing")
        if (size := path.stat().st_size) > MOST_BYTES:
            raise Damaged(f"{path}: is no record of palpate's: it has {size:,} bytes, at most {MOST_BYTES:,} are read")
        data = json.loads(path.read_text(encoding="utf-8"))
    except Damaged:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise Damaged(f"{path}: cannot be read ({error})") from None
    if not isinstance(data, dict):
        raise Damaged(f"{path}: a JSON object is needed, given {type(data).__name__}")
    return data


def read_toml(path: Path, remedy: str) -> dict[str, Any]:
    """What a TOML file of a user's says.

    Raises:
        InputError: it cannot be read, with the remedy, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); {remedy}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path}: is not valid TOML: {error}") from None


def facts_beside(module: str, name: str) -> dict[str, Any]:
    """What a TOML file of palpate's states that lies beside a module, given the module's `__file__`."""
    return tomllib.loads(Path(module).with_name(name).read_text(encoding="utf-8"))


def read_record(path: Path) -> dict[str, Any]:
    """The object that `write_record` wrote, without its checksum.

    Raises:
        Damaged: as `read_json`, or it was changed since.
    """
    data = read_json(path)
    written = data.pop("checksum", None)
    if written != _checksum(data):
        raise Damaged(f"{path}: was changed after it was written: its checksum is another")
    return data


def sha256(path: Path) -> str:
    """The SHA-256 of a file, as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def named_errors(what: str, remedy: str = "check the folder, its rights and the free space") -> Iterator[None]:
    """Turn an operating system's error while writing into one that names `what` and the remedy."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{what}: cannot be written ({error.strerror or error}); {remedy}") from None


@contextlib.contextmanager
def lock_file(path: Path) -> Iterator[bool]:
    """Hold a lock that the system drops with the process; gives False at once when another process holds it.

    Raises:
        InputError: the file cannot be written, or lies on a file system without locks.
    """
    remedy = "check its rights; the folder must lie on a file system that has locks (some network shares have none)"
    lock = FileLock(path, fallback_to_soft=False)  # a soft lock would outlive a process that was killed
    with named_errors(str(path), remedy):
        path.parent.mkdir(parents=True, exist_ok=True)
        held = False
        with contextlib.suppress(Timeout):
            lock.acquire(blocking=False)
            held = True
    try:
        yield held
    finally:
        if held:
            lock.release()


def check_room(path: Path) -> None:
    """Refuse to begin anything on a full disk.

    Raises:
        DiskFull: less than `ROOM` is free.
    """
    if (free := shutil.disk_usage(path).free) < ROOM:
        room = f"{free / 1e6:.0f} MB are free, {ROOM / 1e6:.0f} MB are needed at least"
        raise DiskFull(f"{path}: the disk is full ({room}); {KEPT}")


def is_full(error: BaseException | None) -> bool:
    """Whether an error says that the disk, or the user's share of it, is full; libraries wrap the system's error in their own."""
    while error is not None:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
        if full or re.search(r"no space left|quota exceeded|os error 28\b", str(error), re.IGNORECASE):
            return True
        error = error.__cause__ or error.__context__
    return False


def _checksum(record: dict[str, Any]) -> str:
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _host() -> str:
    """This machine and, where processes are numbered apart (in containers), this numbering, as 8 hex digits."""
    numbering = ""
    with contextlib.suppress(OSError):
        numbering = os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(f"{platform.node()} {numbering}".encode()).hexdigest()[:8]


def _to_disk(path: Path) -> None:
    """Have the system write a file or a folder's list of names to the disk, so that a rename cannot be kept without what was renamed."""
    if path.is_dir() and os.name != "posix":  # there folders cannot be opened
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
