"""Published weights: found where they lie, fetched when a server answers, and plainly asked for when none does."""

import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import huggingface_hub
import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

import palpate.models.hub as hub
from palpate.core.errors import InputError
from palpate.models.build import build
from palpate.models.hub import hub_file


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """No cache, and a server that refuses."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub, "HUB", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)


@pytest.fixture(scope="module")
def timm_file(tmp_path_factory):
    """What timm's hub holds for a ResNet-10: the whole network, its thousand classes included."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("hub") / "model.safetensors"
    save_file(timm.create_model("resnet10t", num_classes=1000).state_dict(), path)
    return path


@pytest.fixture
def serve():
    """Start a server that answers every path with the given bytes, as the hub would."""
    running = []

    def start(content: bytes) -> str:
        class Answer(BaseHTTPRequestHandler):
            def do_HEAD(self):
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.send_header("ETag", '"1"')
                self.send_header("X-Repo-Commit", "0" * 40)
                self.end_headers()

            def do_GET(self):
                self.do_HEAD()
                self.wfile.write(content)

            def log_message(self, format, *args):
                pass

        server = HTTPServer(("127.0.0.1", 0), Answer)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        running.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("offline", [True, False])
def test_offline_timm_weights_are_named_at_once(nowhere, monkeypatch, offline):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    start = time.monotonic()
    with pytest.raises(InputError, match=r"model\.safetensors of timm/resnet10t\.c3_in1k.*pass its path as weights"):
        build("resnet10t", weights="imagenet", size=64)
    assert time.monotonic() - start < 10


def test_timm_weights_come_from_the_hub(nowhere, serve, monkeypatch, timm_file):
    monkeypatch.setattr(hub, "HUB", serve(timm_file.read_bytes()))
    assert hub_file("resnet10t").read_bytes() == timm_file.read_bytes()


def test_a_timm_file_fills_the_backbone_and_brings_its_normalisation(timm_file, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: str(timm_file))
    for weights in (timm_file, "imagenet"):
        model = build("resnet10t", weights=weights, size=64, num_classes=3).eval()
        network = timm.create_model("resnet10t", pretrained=False, num_classes=1000).eval()
        network.load_state_dict(load_file(timm_file))
        images = torch.rand(2, 3, 64, 64)
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        theirs = network.forward_features((images - mean) / std)  # type: ignore[operator]
        torch.testing.assert_close(model.backbone(model.normalize(images)), theirs)
        assert model.spec is not None
        assert model.spec["normalization"] == "pretrained"


def test_files_of_other_networks_are_refused(timm_file, tmp_path):
    with pytest.raises(InputError, match=r"another architecture than 'resnet18d': 40 of its tensors are missing"):
        build("resnet18d", weights=timm_file, size=64)
    wider = tmp_path / "wider.safetensors"
    save_file(load_file(timm_file) | {"conv1.0.weight": torch.zeros(32, 3, 3, 3)}, wider)
    with pytest.raises(InputError, match=r"another architecture than 'resnet10t': size mismatch for conv1\.0\.weight"):
        build("resnet10t", weights=wider, size=64)
    deeper = tmp_path / "deeper.safetensors"
    save_file(load_file(timm_file) | {"layer1.1.conv1.weight": torch.zeros(64, 64, 3, 3)}, deeper)
    with pytest.raises(InputError, match=r"another architecture.*1 are unknown \(first layer1\.1\.conv1\.weight\)"):
        build("resnet10t", weights=deeper, size=64)
    (tmp_path / "some.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(InputError, match="HDF5 file, which this backbone does not take"):
        build("resnet18", weights=tmp_path / "some.h5", size=64)


def test_a_network_that_timm_has_no_weights_for_says_so(nowhere):
    with pytest.raises(InputError, match="publishes no weights"):
        hub_file("resnet200")
