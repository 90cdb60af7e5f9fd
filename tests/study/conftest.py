"""The tiny study, run once for all tests that look at its results."""

from pathlib import Path

import pytest
from tests.study.helpers import quiet, tiny

from palpate.study.run import run


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of the finished tiny study; tests must not change it."""
    return run(tiny(), tmp_path_factory.mktemp("runs") / "tiny", device="cpu", console=quiet())


@pytest.fixture(autouse=True)
def _without_reports(monkeypatch: pytest.MonkeyPatch):
    """Reports take longer than the tiny study, and tests/report looks at them; the finished study has one."""
    monkeypatch.setattr("palpate.study.run.write_report", lambda folder: folder)
