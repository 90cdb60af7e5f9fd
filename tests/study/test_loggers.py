"""Epochs written to TensorBoard and MLflow: what arrives, and what a logger that fails may not do."""

import importlib.util

import pytest

from palpate.core.errors import InputError
from palpate.study.loggers import EpochLog, check_logger
from palpate.training.history import Epoch


def _epoch(number: int) -> Epoch:
    return Epoch(number, 0.5, 0.75, 0.25, 0.5, 0.5, 0.01, 1.0, 10 * number)


def test_epochs_arrive_at_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EpochLog("tensorboard", tmp_path / "logs", "train-0123456789abcdef", "train a")
    for number in (1, 2):
        log(_epoch(number))
    events = EventAccumulator(str(tmp_path / "logs" / "tensorboard" / "train-0123456789abcdef")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("passes")] == [(1, 10.0), (2, 20.0)]
    assert "val_loss" in events.Tags()["scalars"]


def test_a_logger_that_fails_is_a_warning_and_no_end_of_the_training(tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    log, asked = EpochLog("tensorboard", tmp_path, "train-0123456789abcdef", "train a"), []

    def fail(self):
        asked.append(self.name)
        raise ConnectionError("the server is gone")

    monkeypatch.setattr(EpochLog, "_tensorboard", fail)
    with pytest.warns(UserWarning, match=r"epochs of train a are no longer written there \(the server is gone\)"):
        log(_epoch(1))
    log(_epoch(2))  # without another warning, which would be an error here
    assert asked == ["tensorboard"]


def test_a_logger_that_cannot_be_used_is_refused():
    check_logger(None)
    with pytest.raises(InputError, match="log must be one of 'tensorboard', 'mlflow', given 'wandb'"):
        check_logger("wandb")
    if importlib.util.find_spec("mlflow") is None:
        with pytest.raises(InputError, match=r'not installed; pip install "palpate\[mlflow\]"'):
            check_logger("mlflow")
