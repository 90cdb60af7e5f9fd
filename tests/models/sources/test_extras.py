"""Sources that need packages which are extras: MONAI, transformers; and what is said where they are absent."""

import json
import sys

import pytest
import torch

import palpate
from palpate.core.errors import InputError
from palpate.explainers.layers import find_layer
from palpate.models import hub
from palpate.models.build import build
from palpate.models.networks import code_hash
from palpate.models.weights import load_weights, save_weights

CT = {"value_range": [-1024, 1024]}
GREY = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))


def test_absent_packages_are_named_with_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "monai.networks.nets", None)
    with pytest.raises(InputError, match=r"source monai needs MONAI .*install palpate\[monai\]"):
        build("monai:DenseNet121", num_classes=2, size=64, normalization=CT)
    monkeypatch.setitem(sys.modules, "transformers", None)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    with pytest.raises(InputError, match=r"needs transformers .*install palpate\[transformers\]"):
        build(f"hf-hub:{tmp_path}", size=64)


@pytest.fixture
def monai():
    return pytest.importorskip("monai.networks.nets", reason="MONAI is an extra")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("DenseNet121", {}),
        ("resnet18", {}),
        ("EfficientNetBN", {"model_name": "efficientnet-b0"}),
        ("ViT", {"patch_size": 16, "hidden_size": 48, "mlp_dim": 64, "num_layers": 2, "num_heads": 4}),
    ],
)
def test_monai_networks_of_one_channel(monai, tmp_path, name, arguments):
    torch.manual_seed(0)
    model = build(f"monai:{name}", num_classes=14, size=64, channels=1, normalization=CT, arguments=arguments).eval()
    theirs = model.backbone(2048 * GREY - 1024)
    torch.testing.assert_close(model(GREY), theirs[0] if isinstance(theirs, tuple) else theirs)
    assert (model.num_classes, model.channels) == (14, 1)
    save_weights(model, tmp_path / "saved.safetensors")
    assert torch.equal(load_weights(tmp_path / "saved.safetensors")(GREY), model(GREY))
    assert palpate.explain(model, GREY).shape == (2, 64, 64)


@pytest.mark.filterwarnings("ignore")
def test_maps_equal_monais_own_grad_cam(monai):
    visualize = pytest.importorskip("monai.visualize")
    torch.manual_seed(0)
    network = monai.DenseNet121(spatial_dims=2, in_channels=1, out_channels=3).eval()
    network.class_layers.relu.inplace = False  # which MONAI's hooks do not take
    assert find_layer(network, GREY[0]).name == "class_layers.relu"  # the ReLU that feeds the pooling
    for layer in ("features", None):
        ours = palpate.explain(network, GREY, classes=[0, 2], layer=layer)
        cam = visualize.GradCAM(network, layer or "class_layers.relu", postprocessing=lambda maps: maps)
        theirs = torch.cat([cam(GREY[[index]], class_idx=cls) for index, cls in enumerate((0, 2))])[:, 0]
        torch.testing.assert_close(ours, theirs.clamp_min(0), rtol=1e-3, atol=1e-6)


def test_monai_refusals(monai):
    with pytest.raises(InputError, match=r"MONAI has no network 'DenseNet122'; near matches: .*DenseNet121"):
        build("monai:DenseNet122", num_classes=2, size=64, normalization=CT)
    with pytest.raises(InputError, match="has no number of classes of its own; state it"):
        build("monai:DenseNet121", size=64, normalization=CT)
    with pytest.raises(InputError, match="'monai:DenseNet121' does not say what it takes"):
        build("monai:DenseNet121", num_classes=2, size=64)
    with pytest.raises(InputError, match=r"monai:DenseNet121 raised TypeError for .*'width'"):
        build("monai:DenseNet121", num_classes=2, size=64, normalization=CT, arguments={"width": 3})


@pytest.fixture
def repository(tmp_path):
    """A folder as the hub has them: a small ViT of three classes and how its images are prepared."""
    transformers = pytest.importorskip("transformers", reason="transformers is an extra")
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, image_size=64, patch_size=16,
        num_labels=3, id2label={0: "bcc", 1: "mel", 2: "nv"}, label2id={"bcc": 0, "mel": 1, "nv": 2},
    )  # fmt: skip
    network = transformers.ViTForImageClassification(config).eval()
    network.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({"do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.25] * 3, "rescale_factor": 1 / 255})
    )
    return tmp_path, network


@pytest.mark.filterwarnings("ignore")
def test_a_classifier_of_transformers(repository):
    folder, network = repository
    images = torch.rand(2, 3, 64, 64)
    model = build(f"hf-hub:{folder}", weights="hub", size=64, order=["nv", "mel", "bcc"]).eval()
    expected = network((images - 0.5) / 0.25).logits
    torch.testing.assert_close(model(images), expected[:, [2, 1, 0]])
    assert (model.num_classes, model.classes, model.trained) == (3, ("nv", "mel", "bcc"), True)
    save_weights(model, folder / "saved.safetensors")
    assert torch.equal(load_weights(folder / "saved.safetensors")(images), model(images))
    new = build(f"hf-hub:{folder}", num_classes=2, weights="hub", size=64)
    assert (new.num_classes, new.classes, new.trained) == (2, None, False)
    random = build(f"hf-hub:{folder}", size=64)
    assert not random.trained
    assert find_layer(model, images[0]).shape == (32, 4, 4)
    with pytest.raises(InputError, match="doesn't match model"):
        build(f"hf-hub:{folder}", weights="hub", size=32)


def test_a_timm_network_of_the_hub(tmp_path):
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(0)
    network = timm.create_model("resnet10t", num_classes=3).eval()
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    config = {"architecture": "resnet10t", "num_classes": 3, "pretrained_cfg": {"mean": [0.5] * 3, "std": [0.25] * 3}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    images = torch.rand(2, 3, 64, 64)
    before = code_hash(f"hf-hub:{tmp_path}")
    (tmp_path / "config.json").write_text(json.dumps(config | {"note": "changed"}))
    assert before not in (None, code_hash(f"hf-hub:{tmp_path}"))
    model = build(f"hf-hub:{tmp_path}", weights="hub", size=64).eval()
    torch.testing.assert_close(model(images), network((images - 0.5) / 0.25))


def test_repositories_that_are_absent_or_unsafe_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        InputError,
        match=r"'nobody/nothing' is no folder.*HF_HUB_OFFLINE is set.*config\.json, preprocessor_config\.json",
    ):
        build("hf-hub:nobody/nothing", size=64)
    with pytest.raises(InputError, match=r"has no readable config\.json"):
        build(f"hf-hub:{tmp_path}", size=64)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match=r"has no model\.safetensors, and pickles of a hub are not opened"):
        build(f"hf-hub:{tmp_path}", size=64, weights="hub")
    with pytest.raises(InputError, match="expected None or 'hub', got 'imagenet'"):
        build(f"hf-hub:{tmp_path}", size=64, weights="imagenet")
