"""The real command, killed at random moments and started again: the short version of benchmarks/faults.py."""

import pytest
import torch
from benchmarks import faults
from tests.study.helpers import quiet

from palpate.study.run import run
from palpate.study.spec import read_study


@pytest.mark.slow
def test_a_killed_command_loses_nothing(tmp_path, monkeypatch):
    found = faults.campaign(tmp_path, faults.SHORT, kills=6, kills_of_two=3, fork=False)
    assert found["different"] == []
    assert len(found["kills"]) == 9


def test_commands_that_are_killed_end_as_one_that_is_not(tmp_path, monkeypatch):
    for name, value in (("OMP_NUM_THREADS", "1"), ("PALPATE_CACHE", str(tmp_path / "cache"))):
        monkeypatch.setenv(name, value)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the last bits depend on it
    try:
        (tmp_path / "study.toml").write_text(faults.STUDY.format(**faults.SHORT))
        run(read_study(tmp_path / "study.toml"), tmp_path / "whole", device="cpu", console=quiet())
        faults.FORKS.set_forkserver_preload(["palpate.cli.main", "palpate.study.run"])
        found = faults.killed(tmp_path, faults.contents(tmp_path / "whole"), kills=3, commands=1, fork=True)
    finally:
        torch.set_num_threads(threads)
    assert found["different"] == []
    assert len(found["kills"]) == 3
