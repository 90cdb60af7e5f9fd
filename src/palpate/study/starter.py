"""The study that `palpate demo` runs and `palpate init` writes: one file for both."""

import tomllib
from pathlib import Path

from palpate.study.spec import Study

STARTER = Path(__file__).with_name("starter.toml")


def demo_study() -> Study:
    """The starter study under the name `demo`."""
    return Study.read(tomllib.loads(STARTER.read_text(encoding="utf-8")) | {"name": "demo"}, str(STARTER))
