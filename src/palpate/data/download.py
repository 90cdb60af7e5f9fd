"""One file from its publisher, with progress, checksum and a clear way out when there is no network.

Only MedMNIST is fetched: the other publishers ask for an account or a licence first.
"""

import hashlib
import http.client
import shutil
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from palpate.core.errors import InputError

TIMEOUT = 20  # seconds without an answer
BLOCK = 2**20  # bytes


@dataclass(frozen=True)
class Download:
    """A file that can be fetched: its name, where it is published, and its MD5 there."""

    file: str
    url: str
    md5: str


def fetch(download: Download, folder: Path) -> Path:
    """Put the file into the folder unless one of that name is there; a file put there by hand is taken as it is.

    Raises:
        InputError: no network, not enough disk, or another checksum; names the file, its address and its place.
    """
    target = folder / download.file
    if target.is_file():
        return target
    beside = folder / f".{download.file}-{uuid.uuid4().hex[:8]}"
    remedy = f"get {download.url} on a machine with a network and put it at {target}"
    try:
        folder.mkdir(exist_ok=True)
        with urllib.request.urlopen(download.url, timeout=TIMEOUT) as answer:
            found = _save(answer, beside, download.file, folder)
        if found != download.md5:
            raise InputError(
                f"{download.url}: MD5 {found} where {download.md5} is published, so the download was damaged or the file "
                f"replaced; try again, or {remedy}"
            )
        beside.replace(target)
    except urllib.error.HTTPError as error:
        raise InputError(f"{download.file} cannot be downloaded (HTTP {error.code} {error.reason}); {remedy}") from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise InputError(f"{download.file} cannot be downloaded ({reason}); {remedy}") from None
    finally:
        beside.unlink(missing_ok=True)
    return target


def _save(answer: http.client.HTTPResponse, beside: Path, name: str, folder: Path) -> str:
    """Write the answer to a file and return its MD5."""
    length = int(answer.headers.get("Content-Length") or 0)
    free = shutil.disk_usage(folder).free
    if free < length:
        raise InputError(f"{folder}: {name} needs {length / 1e9:.2f} GB and {free / 1e9:.2f} GB are free")
    digest = hashlib.md5(usedforsecurity=False)
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar, beside.open("wb") as file:
        task = bar.add_task(f"downloading {name}", total=length or None)
        while block := answer.read(BLOCK):
            digest.update(block)
            file.write(block)
            bar.advance(task, len(block))
    return digest.hexdigest()
