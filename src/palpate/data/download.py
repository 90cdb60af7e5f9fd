"""One file from its publisher, with progress, checksum and a clear way out when there is no network.

Of data sets only MedMNIST is fetched: the other publishers ask for an account or a licence first.
"""

import hashlib
import http.client
import shutil
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from palpate.core.errors import InputError
from palpate.core.io import atomic
from palpate.core.progress import progress_bar

TIMEOUT = 20  # seconds without an answer
BLOCK = 2**20  # bytes


@dataclass(frozen=True)
class Download:
    """A file that can be fetched: its name, where it is published, and its checksum as "sha256:HEX", or "md5:HEX" where no other is published."""

    file: str
    url: str
    checksum: str


def fetch(download: Download, folder: Path) -> Path:
    """Put the file into the folder unless one of that name is there; a file put there by hand is taken as it is.

    Raises:
        InputError: no network, not enough disk, or another checksum; names the file, its address and its place.
    """
    target = folder / download.file
    if target.is_file():
        return target
    remedy = f"get {download.url} on a machine with a network and put it at {target}"
    try:
        with urllib.request.urlopen(download.url, timeout=TIMEOUT) as answer, atomic(target) as draft:
            length, free = int(answer.headers.get("Content-Length") or 0), shutil.disk_usage(draft.parent).free
            if free < length:
                needs = f"{download.file} needs {length / 1e9:.2f} GB and {free / 1e9:.2f} GB are free"
                raise InputError(f"{draft.parent}: {needs}")
            kind, _, published = download.checksum.partition(":")
            digest = hashlib.new(kind, usedforsecurity=False)
            bar = progress_bar(Console(stderr=True), f"downloading {download.file}")
            with bar as told, draft.open("wb") as file:
                while block := answer.read(BLOCK):
                    digest.update(block)
                    file.write(block)
                    told(file.tell() // 2**20, length // 2**20, "MB")
            if digest.hexdigest() != published:
                sums = f"{kind.upper()} {digest.hexdigest()} where {published} is published"
                why = "the download was damaged or the file replaced"
                raise InputError(f"{download.url}: {sums}, so {why}; try again, or {remedy}")
    except urllib.error.HTTPError as error:
        raise InputError(f"{download.file} cannot be downloaded (HTTP {error.code} {error.reason}); {remedy}") from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise InputError(f"{download.file} cannot be downloaded ({reason}); {remedy}") from None
    return target
