"""palpate: measures how robust a medical image classifier is, and whether the measurement can be trusted.

The public names, those of `__init__.pyi`, are imported on first use, so that `import palpate` and `palpate --help` stay light.
"""

import importlib
import os
import re
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

# Torch then asks for large pages for large arrays on the CPU; it looks at this when it makes its first one.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

_STUB = Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")
_PUBLIC = {name: module for module, name in re.findall(r"^from (\S+) import (\w+) as \2$", _STUB, re.MULTILINE)}
"""Of each public name its module, as `__init__.pyi` says, which type checkers read."""

__all__ = ["__version__", *_PUBLIC]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'palpate' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
