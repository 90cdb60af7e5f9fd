"""Whole networks by name: torchvision, MONAI, functions of one's own and exported programs become classifiers that can be saved and loaded."""

import json
import pickle
import zipfile

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from palpate.core.errors import InputError
from palpate.models.build import build
from palpate.models.networks import code_hash
from palpate.models.weights import load_weights, save_weights

AS_IT_IS = {"value_range": [0, 1]}
IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def comes_back(model, folder, images=IMAGES) -> None:
    """Saved and loaded, the classifier gives the same logits."""
    save_weights(model.eval(), folder / "saved.safetensors")
    again = load_weights(folder / "saved.safetensors")
    assert torch.equal(model(images), again(images))
    assert again.trained


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    """A module of somebody's own in the working directory."""
    (tmp_path / "their_networks.py").write_text(
        "from torch import nn\n\n"
        "def make(num_classes=3, width=4, channels=3):\n"
        "    return nn.Sequential(nn.Conv2d(channels, width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, num_classes))\n\n"
        "class Holder:\n"
        "    make = staticmethod(make)\n\n"
        "def fails():\n"
        "    raise KeyError('no such width')\n\n"
        "def nothing():\n"
        "    return {'logits': 1}\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "their_networks", raising=False)
    return tmp_path


def test_a_function_of_ones_own_makes_the_network(theirs):
    torch.manual_seed(0)
    model = build("their_networks:make", num_classes=2, size=64, normalization=AS_IT_IS, arguments={"width": 8})
    assert (model.num_classes, model.trained, model.backbone[0].out_channels) == (2, False, 8)
    torch.testing.assert_close(model(IMAGES), model.backbone(IMAGES))
    comes_back(model, theirs)
    assert build("their_networks:Holder.make", size=64, normalization=AS_IT_IS).num_classes == 3
    with pytest.raises(InputError, match=r"expected a float tensor \(N, 1, H, W\)"):
        build("their_networks:make", size=64, channels=1, normalization=AS_IT_IS, arguments={"channels": 1})(IMAGES)


def test_weights_of_a_function_of_ones_own(theirs):
    state = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    ).state_dict()
    torch.save({"state_dict": {f"model.{name}": tensor for name, tensor in state.items()}}, "last.ckpt")
    model = build("their_networks:make", weights="last.ckpt", size=64, normalization=AS_IT_IS)
    assert torch.equal(model.backbone[4].weight, state["4.weight"])
    assert model.trained
    with pytest.raises(
        InputError,
        match=r"than their_networks:make: 2 tensors differ in shape \(4\.weight \[3, 4\] instead of \[2, 4\]",
    ):
        build("their_networks:make", num_classes=2, weights="last.ckpt", size=64, normalization=AS_IT_IS)


@pytest.mark.parametrize(
    ("backbone", "arguments", "message"),
    [
        ("their_networks:fails", {}, "their_networks:fails raised KeyError for {}: 'no such width'"),
        ("their_networks:nothing", {}, "returned dict, not a torch.nn.Module"),
        ("their_networks:absent", {}, "has no attribute 'absent'"),
        ("their_networks:make", {"depth": 3}, "unexpected keyword argument 'depth'"),
        ("torchvison:resnet18", {}, "neither a model source .* nor a Python module.*did you mean 'torchvision'"),
        ("no.such.module:make", {}, "neither a model source"),
    ],
)
def test_functions_that_make_no_network_are_named(theirs, backbone, arguments, message):
    with pytest.raises(InputError, match=message):
        build(backbone, size=64, normalization=AS_IT_IS, arguments=arguments)


def test_what_a_source_does_not_know_must_be_stated(theirs):
    with pytest.raises(
        InputError, match="'their_networks:make' does not say what it takes; give mean and std, value_range"
    ):
        build("their_networks:make", size=64)


def test_the_code_counts_by_its_content(theirs):
    first = code_hash("their_networks:make")
    with open("their_networks.py", "a") as file:
        file.write("# changed\n")
    assert first is not None
    assert code_hash("their_networks:make") not in (first, None)
    assert code_hash("timm:resnet18") is None
    assert code_hash("resnet18") is None
    with pytest.raises(InputError, match="which is not there"):
        code_hash("file:absent.pt2")


def test_torchvision_networks_are_whole(tmp_path):
    torch.manual_seed(0)
    model = build("torchvision:resnet18", num_classes=5, size=64).eval()
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    torch.testing.assert_close(model(IMAGES), model.backbone((IMAGES - mean) / std))
    assert (model.num_classes, model.trained) == (5, False)
    comes_back(model, tmp_path)


def test_published_torchvision_weights_get_a_new_classifier_where_classes_differ(tmp_path):
    torch.manual_seed(0)
    published = torchvision.models.get_model("squeezenet1_1", weights=None).state_dict()
    torch.save(published, tmp_path / "squeezenet1_1-00000000.pth")
    whole = build("torchvision:squeezenet1_1", weights=tmp_path / "squeezenet1_1-00000000.pth", size=64)
    assert (whole.num_classes, whole.trained) == (1000, True)
    new = build("torchvision:squeezenet1_1", num_classes=2, weights=tmp_path / "squeezenet1_1-00000000.pth", size=64)
    assert (new.num_classes, new.trained) == (2, False)
    assert torch.equal(new.backbone.features[0].weight, published["features.0.weight"])


def test_torchvision_refusals(monkeypatch, tmp_path):
    with pytest.raises(InputError, match=r"no classifier 'resnet81'; near matches: .*resnet18"):
        build("torchvision:resnet81", size=64)
    with pytest.raises(InputError, match="torchvision's networks take 3, got 1"):
        build("torchvision:resnet18", size=64, channels=1)
    with pytest.raises(InputError, match="resnet18 does not take"):
        build("torchvision:resnet18", size=64, arguments={"depth": 3})
    monkeypatch.setattr("palpate.models.hub.unreachable", lambda _: "no network")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(InputError, match=r"needs resnet18-f37072fd\.pth.*\(no network\).*pass its path as weights"):
        build("torchvision:resnet18", size=64, weights="imagenet")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"attention": "full"},
            "attention: is of a backbone that ends in a feature map, and 'torchvision:resnet18' is a whole network",
        ),
        ({"output_stride": 16}, "output_stride: is of a backbone"),
        ({"dropout": 0.2}, "dropout: is of a backbone"),
        ({"head": "new"}, "head: 'torchvision:resnet18' is a whole network"),
        ({"heads": 4}, "heads: is of soft attention, but attention is None"),
        ({"order": ["a", "b"]}, "the network's own names are not known; state them, to put them into the order a, b"),
    ],
)
def test_settings_that_a_whole_network_ignores_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        build("torchvision:resnet18", num_classes=2, size=64, **arguments)


def test_classes_come_in_the_order_asked_for_and_stay_in_it(tmp_path):
    names = {"classes": ["nv", "mel", "bcc"], "order": ["bcc", "nv", "mel"]}
    torch.manual_seed(0)
    model = build("torchvision:squeezenet1_1", num_classes=3, size=64, **names).eval()
    torch.testing.assert_close(model(IMAGES), model.backbone(model.normalize(IMAGES))[:, [2, 0, 1]])
    comes_back(model, tmp_path)


def test_a_whole_timm_network_keeps_its_classifier(tmp_path):
    torch.manual_seed(0)
    fine_tuned = timm.create_model("resnet10t", num_classes=3).eval()
    torch.save(
        {"state_dict": {f"model.{name}": tensor for name, tensor in fine_tuned.state_dict().items()}},
        tmp_path / "best.ckpt",
    )
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    for asked in ({}, {"num_classes": 3}, {"head": "own", "num_classes": 3}):
        model = build("resnet10t", weights=tmp_path / "best.ckpt", size=64, **asked).eval()
        torch.testing.assert_close(model(IMAGES), fine_tuned((IMAGES - mean) / std))
        assert (model.num_classes, model.trained) == (3, True)
    comes_back(model, tmp_path)
    new = build("resnet10t", weights=tmp_path / "best.ckpt", size=64, num_classes=2)
    assert (new.num_classes, new.trained) == (2, False)
    attended = build("resnet10t", "full", weights=tmp_path / "best.ckpt", size=64, num_classes=3, output_stride=16)
    assert not attended.trained
    with pytest.raises(InputError, match="another architecture than timm:resnet10t: 2 tensors differ in shape"):
        build("resnet10t", weights=tmp_path / "best.ckpt", size=64, num_classes=2, head="own")


def test_the_classifier_of_published_timm_weights_is_replaced(tmp_path):
    save_file(timm.create_model("resnet10t", num_classes=1000).state_dict(), tmp_path / "model.safetensors")
    assert not build("resnet10t", weights=tmp_path / "model.safetensors", size=64).trained
    assert build("resnet10t", weights=tmp_path / "model.safetensors", size=64, num_classes=1000).trained


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))


@pytest.fixture
def exported(tmp_path):
    program = torch.export.export(Plain().eval(), (IMAGES,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, tmp_path / "plain.pt2")
    return tmp_path / "plain.pt2"


def test_an_exported_program_is_a_classifier(exported, tmp_path):
    model = build(f"file:{exported}", size=64, normalization={"value_range": [-1, 1]})
    torch.testing.assert_close(model(IMAGES), Plain()(2 * IMAGES - 1))
    assert (model.num_classes, model.trained) == (2, True)
    assert code_hash(f"file:{exported}") is not None
    comes_back(model, tmp_path)


def test_a_program_of_one_batch_size_says_how_to_export_it(tmp_path):
    torch.export.save(torch.export.export(Plain().eval(), (IMAGES[:1],)), tmp_path / "one.pt2")
    with pytest.raises(InputError, match=r"failed on images \(2, 3, 64, 64\).*export it with a batch of any size"):
        build(f"file:{tmp_path / 'one.pt2'}", size=64, normalization=AS_IT_IS)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning", "ignore:.*torch.jit.*:DeprecationWarning")
def test_torchscript_is_a_classifier(tmp_path):
    torch.jit.save(torch.jit.trace(Plain().eval(), IMAGES, check_trace=False), tmp_path / "plain.pt")
    model = build(f"file:{tmp_path / 'plain.pt'}", size=64, normalization=AS_IT_IS)
    torch.testing.assert_close(model(IMAGES), Plain()(IMAGES))
    comes_back(model, tmp_path)
    with pytest.raises(InputError, match="is a TorchScript program; give it as backbone='file:"):
        build("resnet10t", weights=tmp_path / "plain.pt", size=64)


def test_programs_that_would_run_code_or_are_none_are_refused(exported, tmp_path):
    def altered(name: str, change) -> str:
        path = tmp_path / f"{name}.pt2"
        with zipfile.ZipFile(exported) as old, zipfile.ZipFile(path, "w") as new:
            for member in old.namelist():
                new.writestr(member, change(member, old.read(member)))
        return f"file:{path}"

    def pickled(member, content):
        if not member.endswith("constants_config.json"):
            return content
        return json.dumps(
            {"config": {"x": {"path_name": "opaque_0", "is_param": False, "use_pickle": True, "tensor_meta": None}}}
        )

    class Sneaky:
        def __reduce__(self):
            return (exec, ("raise AssertionError('code ran')",))

    for backbone in (
        altered("constants", pickled),
        altered("inputs", lambda member, content: pickle.dumps(Sneaky()) if "sample_inputs" in member else content),
    ):
        with pytest.raises(InputError, match="needs code to load; export it again"):
            build(backbone, size=64, normalization=AS_IT_IS)
    torch.save(Plain().state_dict(), tmp_path / "weights.pt")
    (tmp_path / "text.pt2").write_text("not a program")
    for path, message in (
        (
            tmp_path / "weights.pt",
            "is no program of torch.export.save or torch.jit.save; weights alone are given as weights=",
        ),
        (tmp_path / "text.pt2", "is no program"),
        (tmp_path / "absent.pt2", "no file at"),
    ):
        with pytest.raises(InputError, match=message):
            build(f"file:{path}", size=64, normalization=AS_IT_IS)
    with pytest.raises(InputError, match="a program has its own; leave them out"):
        build(f"file:{exported}", size=64, weights="imagenet", normalization=AS_IT_IS)
