"""The study that `palpate demo` runs and `palpate init` writes: one file for both."""

from pathlib import Path

from palpate.core.io import facts_beside
from palpate.study.spec import Study

STARTER = Path(__file__).with_name("starter.toml")


def demo_study() -> Study:
    """The starter study under the name `demo`."""
    return Study.read(facts_beside(__file__, STARTER.name) | {"name": "demo"}, str(STARTER))
