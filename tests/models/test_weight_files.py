"""Other people's weight files: found, renamed, compared; nothing is run to read them."""

import argparse

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from palpate.core.errors import InputError
from palpate.models.checkpoint import fill
from palpate.models.weight_files import read_weights


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


STATE = network().state_dict()
TRACKED = {name: tensor for name, tensor in STATE.items() if "num_batches" not in name}


def under(prefix: str, state=None) -> dict[str, torch.Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in (state or STATE).items()}


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        TRACKED,  # of a torch before num_batches_tracked
        under("module."),
        under("model."),
        under("_orig_mod."),
        under("module._orig_mod."),
        under("model._orig_mod."),
        {name.replace("0.", "0._orig_mod."): tensor for name, tensor in STATE.items()},  # a part was compiled
        {
            "state_dict": under("model.") | {"criterion.weight": torch.ones(2)},
            "epoch": 3,
            "pytorch-lightning_version": "2.5",
        },
        {"model_state_dict": STATE, "optimizer_state_dict": {"state": {}, "param_groups": []}, "loss": 0.1},
        {"model": under("module."), "args": {"lr": 0.1}},
        {"encoder": STATE},
    ],
)
def test_every_usual_way_to_save_a_network_is_read(tmp_path, content):
    torch.save(content, tmp_path / "weights.pth")
    into = network()
    fill(into, read_weights(tmp_path / "weights.pth", into.state_dict()), tmp_path, "it")
    for name, tensor in into.state_dict().items():
        assert torch.equal(tensor, STATE[name]) or "num_batches" in name


def test_safetensors_are_renamed_too(tmp_path):
    save_file(under("net."), tmp_path / "weights.safetensors")
    assert read_weights(tmp_path / "weights.safetensors", STATE).keys() == STATE.keys()


def test_a_prefix_that_the_network_has_stays(tmp_path):
    own = under("model.")
    torch.save({"state_dict": own}, tmp_path / "last.ckpt")
    assert read_weights(tmp_path / "last.ckpt", own).keys() == own.keys()


class Sneaky:
    """A pickle that runs code when it is opened without care."""

    def __reduce__(self):
        return (exec, ("raise AssertionError('code ran')",))


@pytest.mark.parametrize(
    "content", [Sneaky(), {"state_dict": STATE, "hyper_parameters": argparse.Namespace(lr=0.1)}, network()]
)
def test_a_pickle_that_needs_code_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(InputError, match=r"needs code to load.*save its state_dict\(\) alone"):
        read_weights(tmp_path / "weights.pt", STATE)


def test_files_that_hold_no_weights_are_named(tmp_path):
    path = tmp_path / "weights.pt"
    with pytest.raises(InputError, match="no file at"):
        read_weights(path, STATE)
    torch.save({"epoch": 3, "loss": 0.2}, path)
    with pytest.raises(InputError, match="holds no tensors by name, but epoch, loss"):
        read_weights(path, STATE)
    torch.save(torch.ones(2), path)
    with pytest.raises(InputError, match="holds no tensors by name, but Tensor"):
        read_weights(path, STATE)
    torch.save(STATE, path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match="cannot be read"):
        read_weights(path, STATE)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="cannot be read"):
        read_weights(path, STATE)


def test_a_mismatch_says_which_tensors_and_how_many(tmp_path):
    other = {name: tensor for name, tensor in STATE.items() if name != "0.bias"} | {
        "3.weight": torch.ones(5, 4),
        "4.weight": torch.ones(1),
    }
    torch.save(under("module.", other), tmp_path / "weights.pth")
    into = network()
    with pytest.raises(InputError) as caught:
        fill(into, read_weights(tmp_path / "weights.pth", into.state_dict()), tmp_path / "weights.pth", "my network")
    found = str(caught.value).split("another architecture than my network: ")[1]
    assert found.startswith(
        "1 tensors are missing (0.bias); 1 tensors are unknown (4.weight); 1 tensors differ in shape (3.weight [5, 4] instead of [2, 4])"
    )


def test_weights_that_are_no_numbers_are_named(tmp_path):
    torch.save(STATE | {"3.bias": torch.tensor([0, torch.nan])}, tmp_path / "weights.pth")
    into = network()
    with pytest.raises(InputError, match=r"weights\.pth has 1 tensor\(s\) that hold NaN or infinity \(3\.bias\)"):
        fill(into, read_weights(tmp_path / "weights.pth", into.state_dict()), tmp_path / "weights.pth", "it")
