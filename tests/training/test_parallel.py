"""Training in several processes: equal to one within rounding, and refused where it cannot be."""

import dataclasses

import numpy as np
import pytest
import torch
from tests.training import test_loop
from torch import nn

from palpate.core.errors import InputError
from palpate.data.images import Images
from palpate.training.loop import fit
from palpate.training.spec import TrainSpec

PLAIN = {"name": "p", "optimizer": "sgd", "learning_rate": 0.05, "batch_size": 16, "augment": "flips"}


@dataclasses.dataclass
class Split:
    images: torch.Tensor
    labels: np.ndarray

    def __len__(self):
        return len(self.labels)


@dataclasses.dataclass
class Data:
    """As `test_loop._dataset`, and it can be sent to another process."""

    train: Split
    val: Split
    classes: tuple[str, ...] = ("a", "b")


def _dataset(train: int) -> Data:
    made = test_loop._dataset(train=train)
    return Data(*(Split(split.images, split.labels) for split in (made.train, made.val)))


def network() -> nn.Sequential:
    """Without batch norm, whose statistics are those of each process's share on a CPU, and without dropout."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 2)
    )


@pytest.mark.slow
def test_two_processes_train_as_one_does():
    dataset, spec = _dataset(train=80), TrainSpec(epochs=4, keep="last", **PLAIN)  # 20 steps
    one, two = network(), network()
    first = fit(one, dataset, spec, device="cpu")
    second = fit(two, dataset, spec, device="cpu", devices=2)
    assert [epoch.passes for epoch in second.epochs] == [80, 160, 240, 320]
    for name, weights in one.state_dict().items():
        torch.testing.assert_close(two.state_dict()[name], weights, atol=1e-4, rtol=0)
    for mine, theirs in zip(first.epochs, second.epochs, strict=True):
        assert mine.train_loss == pytest.approx(theirs.train_loss, abs=1e-4)
        assert mine.val_loss == pytest.approx(theirs.val_loss, abs=1e-4)
        assert mine.val_accuracy == pytest.approx(theirs.val_accuracy)
    assert not two.training


@pytest.mark.slow
def test_a_mistake_found_in_another_process_is_told_as_one():
    spec = TrainSpec(epochs=1, **PLAIN | {"learning_rate": 1e30})
    with pytest.raises(InputError, match="learning_rate must be lower"):
        fit(network(), _dataset(train=64), spec, device="cpu", devices=2)


def test_batches_must_be_large_enough_to_be_shared():
    with pytest.raises(InputError, match="at least 2 for each of 2 devices, given 3"):
        fit(network(), _dataset(train=64), TrainSpec(epochs=1, **PLAIN | {"batch_size": 3}), device="cpu", devices=2)
    with pytest.raises(InputError, match="999 were asked for, and this machine has"):
        fit(network(), _dataset(train=64), TrainSpec(epochs=1, **PLAIN), device="cpu", devices=999)


def test_training_in_bfloat16_learns_too():
    model = network()
    history = fit(model, _dataset(train=96), TrainSpec(epochs=3, precision="bf16-mixed", **PLAIN), device="cpu")
    assert history.epochs[-1].train_loss < history.epochs[0].train_loss
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


def test_a_map_of_a_file_is_pickled_by_its_name(tmp_path):
    import pickle

    pixels = np.random.default_rng(0).integers(0, 256, (50, 16, 16, 3), np.uint8)
    np.save(tmp_path / "pixels.npy", pixels)
    images = Images(np.load(tmp_path / "pixels.npy", mmap_mode="r"), np.arange(7, 20))
    packed = pickle.dumps(images)
    assert len(packed) < 2000
    assert torch.equal(pickle.loads(packed)[:], images[:])
    memory = Images(pixels, np.arange(5))
    assert torch.equal(pickle.loads(pickle.dumps(memory))[:], memory[:])
