"""The study that `palpate demo` runs and `palpate init` writes: one file for both."""

import tomllib
from pathlib import Path
from typing import Any

STARTER = Path(__file__).with_name("starter.toml")


def demo_study() -> dict[str, Any]:
    """The starter study under the name `demo`."""
    return tomllib.loads(STARTER.read_text(encoding="utf-8")) | {"name": "demo"}
