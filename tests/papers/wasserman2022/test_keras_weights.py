"""Keras' files refused plainly, and their numbers put where the same function needs them (test_keras.py has Keras itself)."""

import sys

import numpy as np
import pytest
import torch

from palpate.core.errors import InputError
from palpate.models.build import build
from palpate.models.networks import make_network
from palpate.papers.wasserman2022.keras_weights import inception_state, read_h5, resnet50_state


@pytest.fixture(scope="module")
def layers():
    """Every layer of Keras' ResNet50 with random numbers, from our own network's shapes."""
    random = np.random.default_rng(0)
    network = make_network("keras:resnet50", 64).module.get_submodule("network")
    found = []

    def add(keras, ours, norm):
        out, into, height, width = network.get_parameter(f"{ours}.weight").shape
        found.append((f"{keras}_conv", [random.normal(size=(height, width, into, out)), random.normal(size=out)]))
        found.append((f"{keras}_bn", [random.uniform(0.5, 2, size=out) for _ in range(4)]))
        assert network.get_parameter(f"{norm}.weight").shape == (out,)

    add("conv1", "conv1", "bn1")
    for stage, blocks in ((1, 3), (2, 4), (3, 6), (4, 3)):
        for block in range(blocks):
            name, ours = f"conv{stage + 1}_block{block + 1}", f"layer{stage}.{block}"
            for number in (1, 2, 3):
                add(f"{name}_{number}", f"{ours}.conv{number}", f"{ours}.bn{number}")
            if block == 0:
                add(f"{name}_0", f"{ours}.downsample.0", f"{ours}.downsample.1")
    return found


def test_a_convolutions_bias_goes_into_the_mean_behind_it(layers):
    module = make_network("keras:resnet50", 64).module.double().eval()
    module.load_state_dict(resnet50_state(layers, flip=False))
    found = dict(layers)
    kernel, bias = found["conv3_block1_2_conv"]
    scale, shift, mean, variance = found["conv3_block1_2_bn"]
    x = torch.randn(1, 128, 6, 6, dtype=torch.double)
    block = module.get_submodule("network.layer2.0")
    ours = block.get_submodule("bn2")(block.get_submodule("conv2")(x))
    plain = torch.nn.functional.conv2d(
        x, torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()), torch.from_numpy(bias), padding=1
    )
    by_hand = (plain - torch.from_numpy(mean)[:, None, None]) / torch.sqrt(
        torch.from_numpy(variance)[:, None, None] + 1.001e-5
    )
    by_hand = by_hand * torch.from_numpy(scale)[:, None, None] + torch.from_numpy(shift)[:, None, None]
    torch.testing.assert_close(ours, by_hand)


def test_the_flip_makes_a_bgr_network_take_rgb(layers):
    x = torch.rand(1, 3, 64, 64, dtype=torch.double)
    bgr, rgb = (make_network("keras:resnet50", 64).module.double().eval() for _ in range(2))
    bgr.load_state_dict(resnet50_state(layers, flip=False))
    rgb.load_state_dict(resnet50_state(layers, flip=True))
    with torch.no_grad():
        ours, theirs = (part(image).log1p() for part, image in ((rgb, x), (bgr, x.flip(1))))
    torch.testing.assert_close(ours, theirs)


def test_a_file_of_another_network_is_refused(layers):
    with pytest.raises(InputError, match="expected ResNet50 of Keras with a layer conv4_block6_3_bn"):
        resnet50_state([layer for layer in layers if layer[0] != "conv4_block6_3_bn"], flip=True)
    with torch.device("meta"):
        cut = make_network("keras:inception_resnet_v2", 224).module
    with pytest.raises(InputError, match="expected InceptionResNetV2 of Keras"):
        inception_state(layers, cut, flip=True)


def test_without_h5py_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(InputError, match=r"needs h5py; install palpate\[keras\]"):
        build("keras:resnet50", weights=tmp_path / "resnet50_notop.h5", size=64)


@pytest.mark.keras
def test_h5_files_absent_cut_short_or_of_another_kind_are_told_apart(tmp_path):
    h5py = pytest.importorskip("h5py", reason="h5py is an extra")
    path = tmp_path / "weights.h5"
    with pytest.raises(InputError, match="no file at"):
        read_h5(path)
    with h5py.File(path, "w") as file:
        file.create_group("layers/conv2d/vars")
    with pytest.raises(InputError, match="Keras 3's other format"):
        read_h5(path)
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(InputError, match="cut short"):
        read_h5(path)


@pytest.mark.keras
def test_names_cut_into_pieces_are_read_whole(tmp_path):
    h5py = pytest.importorskip("h5py", reason="h5py is an extra")
    path = tmp_path / "weights.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names0"], file.attrs["layer_names1"] = [b"a", b"b"], [b"c"]
        for number, name in enumerate("abc"):
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}/kernel".encode()] if name != "b" else np.array([], dtype="S1")
            if name != "b":
                group[f"{name}/kernel"] = np.full(2, number)
    assert [(name, arrays[0].tolist()) for name, arrays in read_h5(path)] == [("a", [0, 0]), ("c", [2, 2])]
