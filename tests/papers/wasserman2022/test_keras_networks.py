"""The source "keras": the networks are what Keras has, and its published files are found, fetched, checked or plainly asked for."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import timm
import torch
from safetensors.torch import save_file

from palpate.core.errors import InputError
from palpate.data.download import Download
from palpate.models.build import build
from palpate.models.checkpoint import read_spec
from palpate.models.networks import make_network
from palpate.models.trim import trim
from palpate.models.weights import load_weights, save_weights
from palpate.papers.wasserman2022.keras_networks import KERAS_FILES, InceptionCut, keras_file


def create(name: str, size: int, stride: int = 32):
    return make_network(f"keras:{name}", size, output_stride=stride).module


@pytest.mark.parametrize(("stride", "expected"), [(32, 2), (16, 4), (8, 8)])
def test_output_stride_sets_the_side_of_the_map(stride, expected):
    with torch.device("meta"):
        assert trim(create("resnet50", 64, stride), 64) == (2048, expected, expected)
        with pytest.raises(InputError, match="takes only its own stride"):
            create("inception_resnet_v2", 224, 16)


def test_the_inception_cut_has_192_channels_and_a_flat_head():
    with torch.device("meta"):
        network = make_network("keras:inception_resnet_v2", 192)
    assert network.flat
    assert [trim(network.module, size) for size in (192, 224, 299)] == [(192, 4, 4), (192, 5, 5), (192, 8, 8)]
    with torch.device("meta"), pytest.raises(InputError, match=r"leaves a map of 3×3.*size=192"):
        build("keras:inception_resnet_v2", "full", size=160)


def test_the_inception_cut_is_timms_ninth_block_before_its_relu():
    torch.manual_seed(0)
    network = timm.create_model("inception_resnet_v2", num_classes=0).eval()
    x = torch.rand(1, 3, 192, 192)
    block = network.get_submodule("repeat_2.8")
    seen = []
    block.get_submodule("branch0.bn").register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        network(x)
        bn = dict(block.get_submodule("branch0.bn").state_dict())
        expected = torch.nn.functional.batch_norm(
            seen[0], bn["running_mean"], bn["running_var"], bn["weight"], bn["bias"], eps=1e-3
        )
        cut = InceptionCut(network).eval()
        torch.testing.assert_close(cut(x), expected)
        assert (cut(x) < 0).any()


def test_keras_resnet_has_the_stride_in_the_first_convolution():
    network = create("resnet50", 64).get_submodule("network")
    for stage in (2, 3, 4):
        block = network.get_submodule(f"layer{stage}.0")
        assert (block.conv1.stride, block.conv2.stride) == ((2, 2), (1, 1))
    norms = [part for part in network.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1.001e-5, 0.01)}
    assert len(norms) == 53


def test_keras_inception_trains_no_scale_of_a_batch_norm():
    model = build("keras:inception_resnet_v2", size=192)
    norms = [part for part in model.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    assert not any(norm.weight.requires_grad for norm in norms)
    assert all(norm.bias.requires_grad for norm in norms)
    assert {norm.eps for norm in norms} == {1e-3}


def test_a_classifier_of_this_source_comes_back_from_its_file(tmp_path):
    model = build("keras:resnet50", "full", size=64, output_stride=16).eval()
    save_weights(model, tmp_path / "weights.safetensors")
    again = load_weights(tmp_path / "weights.safetensors")
    images = torch.rand(1, 3, 64, 64)
    assert torch.equal(model(images), again(images))
    spec = read_spec(tmp_path / "weights.safetensors")["spec"]
    assert (spec["backbone"], spec["normalization"]) == ("keras:resnet50", "caffe")


def test_other_names_and_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="source keras has resnet50, inception_resnet_v2; got 'resnet18'"):
        build("keras:resnet18", size=64)
    save_file({"conv1.weight": torch.zeros(1)}, tmp_path / "timm.safetensors")
    with pytest.raises(InputError, match=r"takes Keras' \*_notop\.h5 files"):
        build("keras:resnet50", weights=tmp_path / "timm.safetensors", size=64)


def published(url: str) -> Download:
    return Download(url.rsplit("/", 1)[1], url, f"md5:{hashlib.md5(b'good').hexdigest()}")


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """No cache, no home, and a server that refuses."""
    monkeypatch.setenv("PALPATE_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    file = published("http://127.0.0.1:9/resnet50_notop.h5")
    monkeypatch.setitem(KERAS_FILES, "resnet50", file)
    return tmp_path


@pytest.fixture
def address():
    """A server that answers every path with the same four bytes."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"good")

        def log_message(self, format, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_offline_weights_are_named_with_the_place_for_them(nowhere):
    with pytest.raises(InputError, match=r"resnet50_notop\.h5.*put it at .*/weights/resnet50_notop\.h5"):
        build("keras:resnet50", weights="imagenet", size=64)
    assert not (nowhere / "weights").exists()


def test_weights_are_downloaded_once_and_checked(nowhere, address, monkeypatch):
    file = published(f"{address}/keras/some.h5")
    monkeypatch.setitem(KERAS_FILES, "resnet50", file)
    path = keras_file("resnet50")
    assert path == nowhere / "weights" / "some.h5"
    assert path.read_bytes() == b"good"
    monkeypatch.setitem(KERAS_FILES, "resnet50", published("http://127.0.0.1:9/some.h5"))
    assert keras_file("resnet50") == path
    path.write_bytes(b"goo")
    with pytest.raises(InputError, match="not the file that Keras publishes"):
        keras_file("resnet50")
