"""What made a result: the versions of the packages and the commit of palpate's own sources, and when."""

import contextlib
import importlib.metadata
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

PACKAGES = ("palpate", "torch", "timm", "foolbox", "captum", "opencv-python-headless", "numpy")


def versions() -> dict[str, str]:
    """The versions that can change a result."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def source_commit() -> str | None:
    """The commit of palpate's own sources, when they lie in a git checkout; with "+" when files were changed since."""
    for command in ("ls-files --error-unmatch provenance.py", "describe --always --abbrev=12 --dirty=+ --match="):
        try:
            git = ["git", "-C", Path(__file__).parent, *command.split()]
            found = subprocess.run(git, capture_output=True, text=True, check=False)
        except OSError:
            return None
        if found.returncode:
            return None
    return found.stdout.strip() or None


def now() -> str:
    """Date and time, ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
