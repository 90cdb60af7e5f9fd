"""Stages made in other processes: equal rows, progress and failures that come back, and processes that are lost."""

import os
import signal
import socket
import time

import numpy as np
import pytest
import torch
from tests.study.helpers import SPEC, quiet, stages_of, tiny

from palpate.cli.running import stoppable
from palpate.core import rows
from palpate.core.errors import InputError
from palpate.core.run_folder import RunFolder
from palpate.study.engines import work
from palpate.study.engines.choose import EngineChoice
from palpate.study.engines.cluster import Cluster
from palpate.study.engines.engine import InProcess, Setup, Stopped
from palpate.study.engines.local import Local
from palpate.study.run import StudyIncomplete, run
from palpate.study.stages import attack


def same_rows(first, second) -> bool:
    return all(
        rows.read(first / stage / "images.parquet").equals(rows.read(second / stage / "images.parquet"))
        for kind in ("predict", "attack")
        for stage in stages_of(first, kind)
    )


def test_two_workers_give_the_same_rows_and_one_that_is_killed_is_replaced(finished, tmp_path, monkeypatch):
    killed, original = [], Local._hear

    def hear(self, worker):
        if not killed and worker.job.stage.kind == "attack":
            killed.append(worker.job.stage.id)
            os.kill(worker.process.pid, signal.SIGKILL)
        return original(self, worker)

    monkeypatch.setattr(Local, "_hear", hear)
    console = quiet()
    threads = torch.get_num_threads()
    folder = run(tiny(), tmp_path / "run", device="cpu", console=console, engine="local", workers=2, threads=threads)
    assert killed
    assert same_rows(finished, folder)
    lines = console.export_text().splitlines()
    assert len([line for line in lines if line.startswith("done ")]) == 12
    assert "12 of 12" in lines[-1]
    log = (folder / "logs" / f"{killed[0]}.log").read_text()
    assert log.count("process ") == 2


@pytest.mark.slow
def test_a_failure_comes_back_with_its_reason(tmp_path):
    study = tiny(training={**SPEC["training"], "learning_rate": 1e30}, models=SPEC["models"][:1])
    with pytest.raises(StudyIncomplete, match="learning_rate"):
        run(study, tmp_path / "run", device="cpu", console=quiet(), engine="local", workers=1)
    failures = RunFolder(tmp_path / "run").failures()
    assert any("InputError" in failure.traceback for failure in failures.values())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "dask"}, "engine must be one of 'in-process', 'local', 'ray'"),
        ({"name": "in-process", "workers": 2}, "workers must be left out with the engine 'in-process'"),
        ({"name": "local", "workers": 0}, "workers must be at least 1"),
        ({"name": "local", "workers": 10**6}, "workers must be at most"),
        ({"name": "local", "address": "auto"}, "use --engine ray"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        EngineChoice(**settings)


def test_an_address_at_which_nothing_answers_is_named_at_once(tmp_path):
    pytest.importorskip("ray")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    setup, start = Setup(tiny(), tmp_path, None, "cpu", 1, None), time.monotonic()
    with pytest.raises(InputError, match="nothing answers there"):
        Cluster(setup, print, None, address)
    with pytest.raises(InputError, match="address must be"):
        Cluster(setup, print, None, "nonsense")
    assert time.monotonic() - start < 30


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_with_its_exit_status_and_leaves_the_handlers(number, code, monkeypatch, capsys):
    ended = []
    monkeypatch.setattr("palpate.cli.running.GRACE", 0.2)
    monkeypatch.setattr(os, "_exit", ended.append)
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    with pytest.raises(Stopped) as stopped, stoppable(lambda: "2 stages are kept"):
        os.kill(os.getpid(), number)
        time.sleep(5)
    assert stopped.value.code == code
    os.kill(os.getpid(), number)  # the second time it ends the process at once
    time.sleep(0.5)
    assert ended == [code, code]  # and the seconds of grace are over
    assert "2 stages are kept" in capsys.readouterr().err
    for each, handler in before.items():
        signal.signal(each, handler)


def test_a_large_attack_is_shared(tmp_path, monkeypatch):
    monkeypatch.setattr(attack, "LARGE", 20)
    monkeypatch.setattr(attack, "FIRST", 16)
    monkeypatch.setattr(InProcess, "slots", 2)
    parts, original = [], work.make

    def make(job, context, commit):
        parts.append((job.stage.kind, job.part))
        return original(job, context, commit)

    monkeypatch.setattr(work, "make", make)
    study = tiny(models=SPEC["models"][:1], attacks=[{"attack": "fast"}])
    shared = run(study, tmp_path / "shared", device="cpu", console=quiet())
    assert [part for kind, part in parts if kind == "attack"] == [(0, 16), (16, 21), (21, 24), None]
    monkeypatch.setattr(attack, "LARGE", 1000)
    whole = run(study, tmp_path / "whole", device="cpu", console=quiet())
    one, other = (
        rows.read(folder / stages_of(folder, "attack")[0] / "images.parquet").sort("image_id", "epsilon_index")
        for folder in (shared, whole)
    )
    assert one.select("image_id", "epsilon_index", "correct", "prediction").equals(
        other.select("image_id", "epsilon_index", "correct", "prediction")
    )
    radii = [table["radius"].fill_null(-1).to_list() for table in (one, other)]
    assert radii[0] == pytest.approx(radii[1], rel=1e-4)
    assert contents_of_samples(shared) == contents_of_samples(whole)


def contents_of_samples(folder) -> tuple:
    with np.load(folder / stages_of(folder, "attack")[0] / "samples.npz") as samples:
        return samples["image_ids"].tolist(), samples["adversarial"].shape
