"""Weights come back as they went, and every file that is not theirs is refused by what is wrong with it."""

import json

import pytest
import torch

from palpate.core.errors import InputError
from palpate.models.build import build
from palpate.models.weights import load_into, load_weights, save_weights, spec_path
from palpate.models.wrap import wrap


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build("resnet10t", attention="released", gamma="learned", num_classes=3, size=64, output_stride=16).eval()


@pytest.fixture
def saved(model, tmp_path):
    path = tmp_path / "deep" / "weights.safetensors"
    save_weights(model, path, extra={"epoch": 7})
    return path


def test_a_classifier_comes_back_with_its_logits_and_its_spec(model, saved):
    again = load_weights(saved)
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(model(images), again(images))
    assert again.spec == model.spec
    state = torch.get_rng_state()
    load_weights(saved)
    assert torch.equal(torch.get_rng_state(), state)
    assert not again.training
    assert json.loads(spec_path(saved).read_text())["extra"] == {"epoch": 7}


def test_build_takes_the_file_as_weights(model, saved):
    again = build(
        "resnet10t", attention="released", gamma="learned", num_classes=3, size=64, output_stride=16, weights=saved
    )
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(model(images), again.eval()(images))


def test_channels_last_weights_are_saved_in_plain_layout(saved, tmp_path):
    one = build("resnet10t", size=64).to(memory_format=torch.channels_last).eval()
    save_weights(one, tmp_path / "last.safetensors")
    images = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(load_weights(tmp_path / "last.safetensors")(images), one(images))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backbone": "resnet18"}, r"\(backbone='resnet10t', .* another architecture than backbone='resnet18'"),
        ({"attention": None, "gamma": None}, "unknown"),
        ({"attention": "full"}, "differ in shape"),
        ({"num_classes": 2}, r"head\.dense\.weight \[3, 1024\] instead of \[2, 1024\]"),
    ],
)
def test_weights_of_another_architecture_are_refused(saved, model, arguments, message):
    with pytest.raises(InputError, match=message):
        build(**(model.spec | arguments | {"weights": saved}))


def test_a_file_cut_short_is_called_so(saved):
    saved.write_bytes(saved.read_bytes()[:-1000])
    with pytest.raises(InputError, match="cut short"):
        load_weights(saved)
    saved.write_bytes(b"")
    with pytest.raises(InputError, match="cut short"):
        load_weights(saved)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_is_refused_unopened(saved, model, zipped):
    torch.save(model.state_dict(), saved, _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match="is a pickle"):
        load_weights(saved)


def test_absent_files_and_foreign_json_are_named(saved, tmp_path):
    with pytest.raises(InputError, match=r"no file at .*absent\.safetensors"):
        load_weights(tmp_path / "absent.safetensors")
    spec_path(saved).write_text("[1]")
    with pytest.raises(InputError, match="not what save_weights writes"):
        load_weights(saved)
    spec_path(saved).unlink()
    with pytest.raises(InputError, match=r"weights\.json is missing"):
        load_weights(saved)
    with pytest.raises(InputError, match=r"ending in \.safetensors"):
        save_weights(build("resnet10t", size=64), tmp_path / "weights.pt")


def test_a_wrapped_network_is_loaded_into_itself(tmp_path):
    def network():
        return torch.nn.Sequential(
            torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 2)
        )

    one, other = (wrap(network(), (0.5,) * 3, (0.5,) * 3, size=16) for _ in range(2))
    save_weights(one, tmp_path / "own.safetensors")
    with pytest.raises(InputError, match="wrapped network"):
        load_weights(tmp_path / "own.safetensors")
    load_into(other, tmp_path / "own.safetensors")
    images = torch.rand(2, 3, 16, 16)
    assert torch.equal(one(images), other(images))
