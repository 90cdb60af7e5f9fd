"""Networks from anywhere in a study: their keys in TOML, what is refused while planning, and what a stage records of them."""

import json
import sys

import numpy as np
import pytest
import torch
from tests.study.helpers import SPEC, quiet, stages_of
from torch import nn

import palpate
from palpate.core.epsilon import Scale
from palpate.core.errors import InputError
from palpate.models.weights import load_weights
from palpate.report.page.page import write_report
from palpate.study.classifier import check_model
from palpate.study.network import ModelSpec
from palpate.study.plan import plan
from palpate.study.run import run
from palpate.study.spec import Study

MODULE = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=2, channels=3, width=8):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(channels, width, 3, 2, 1), nn.Linear(width, num_classes)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))


def make(num_classes=2, **arguments):
    return Net(num_classes, **arguments)


def trained(num_classes=2):
    torch.manual_seed(0)
    return Net(num_classes)


def half():
    return trained().half()


def broken():
    net = trained()
    net.fc.weight.data[0, 0] = float("nan")
    return net


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(1, 2)

    def forward(self, image, age):
        return self.fc(age)


def two():
    return Two()


def raises():
    raise RuntimeError("no such file: best.ckpt")


def nothing():
    return {"net": 1}
"""
AS_IT_IS = {"value_range": [0, 1]}
TASK = {"name": "phantom-chest", "size": 32, "train_images": 8, "val_images": 4, "test_images": 4}


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    (tmp_path / "study_networks.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "study_networks", raising=False)
    return tmp_path


def study(*models: dict, **changes) -> Study:
    return Study.read(SPEC | {"tasks": [TASK], "models": list(models)} | changes, "study")


@pytest.fixture(scope="module")
def chest():
    limits = {key: value for key, value in TASK.items() if key.endswith("images")}
    return palpate.load("phantom-chest", size=32, **limits)


def test_every_setting_of_a_source_can_be_stated_and_names_the_model():
    spec = ModelSpec.read(
        {
            "backbone": "my_networks:make",
            "weights": "last.ckpt",
            "channels": 1,
            "normalization": {"value_range": [-1024, 1024], "mean": 0.0, "std": [1.0]},
            "arguments": {"width": 8},
            "output": "out",
            "findings": ["Mass", "Edema"],
        },
        "model",
    )
    assert spec.name == "make"
    assert spec.build_arguments() == {
        "backbone": "my_networks:make",
        "weights": "last.ckpt",
        "output_stride": 32,
        "channels": 1,
        "normalization": {"value_range": (-1024, 1024), "mean": 0.0, "std": (1.0,)},
        "arguments": {"width": 8},
        "output": "out",
        "classes": ("Mass", "Edema"),
    }
    assert ModelSpec.read(spec.to_dict(), "again") == spec


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"value_range": [0, 255]}, r"value_range: is part of normalization; write normalization = \{ value_range"),
        ({"normalization": {"range": [0, 255]}}, "normalization"),
        ({"classes": ["a", "b"], "findings": ["a"]}, "classes and findings are both given"),
        ({"chanels": 1}, "chanels: unknown key; did you mean `channels`"),
        ({"channels": 0}, "channels: .*given 0"),
        ({"name": "a#b"}, "name"),
    ],
)
def test_keys_that_do_not_fit_are_refused(keys, message):
    with pytest.raises(InputError, match=message):
        study({"backbone": "resnet18"} | keys)


@pytest.mark.parametrize(
    ("keys", "trains", "message"),
    [
        ({"backbone": "study_networks:raises"}, True, "raised RuntimeError for .*no such file: best.ckpt"),
        ({"backbone": "study_networks:nothing"}, True, "returned dict, not a torch.nn.Module"),
        ({"backbone": "study_networks:two"}, False, r"needs 2 inputs \(image, age\)"),
        ({"backbone": "study_networks:broken"}, False, r"1 tensor\(s\) that hold NaN or infinity \(fc.weight\)"),
        ({"backbone": "study_networks:broken"}, True, r"1 tensor\(s\) that hold NaN or infinity \(fc.weight\)"),
        (
            {"backbone": "study_networks:make", "channels": 1, "arguments": {"channels": 1}},
            True,
            "channels: the network takes 1, and the images of phantom-chest have 3",
        ),
        (
            {"backbone": "study_networks:make", "arguments": {"channels": 1}},
            True,
            r"its first convolution takes 1 channel\(s\): state channels=1",
        ),
        (
            {"backbone": "study_networks:make", "arguments": {"num_classes": 5}},
            True,
            "num_classes: 'study_networks:make' has 5 logits, not 2",
        ),
        ({"backbone": "study_networks:make"}, False, "epochs = 0 trains nothing, and 4 of 6 tensors are random"),
        ({"backbone": "study_networks:half"}, True, "it cannot be trained, because its weights are torch.float16"),
        (
            {"backbone": "study_networks:trained", "findings": ["a", "b", "c"]},
            False,
            "make answers|trained answers for a, b, c, and the task is about 'pleural line'",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_it_is_trained(theirs, chest, keys, trains, message):
    with pytest.raises(InputError, match=message):
        check_model(ModelSpec.read({"normalization": AS_IT_IS} | keys, "model"), 0, chest, trains)


def test_a_map_of_one_position_is_refused_before_training(tmp_path):
    with pytest.raises(
        InputError, match=r"explain, model resnet18 on phantom-chest: layer: the map of 'backbone' has one position"
    ):
        run(study({"backbone": "resnet18"}), tmp_path / "run", device="cpu", console=quiet())
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="expected 'backbone', 'attention' or the name of a module, given 'bckbone'"):
        run(study({"backbone": "test_resnet"}, explain={"layer": "bckbone"}), tmp_path / "run", console=quiet())


def test_one_logit_has_two_classes_and_a_finding_its_own_logit(theirs, chest):
    torch.manual_seed(0)
    images = torch.as_tensor(chest.test.images[:4])
    arguments = {"backbone": "study_networks:trained", "normalization": AS_IT_IS}
    one = check_model(ModelSpec.read(arguments | {"arguments": {"num_classes": 1}}, "model"), 0, chest, False)
    logit = one.model(images)
    torch.testing.assert_close(one(images), torch.cat([torch.zeros_like(logit), logit], 1))
    findings = ["Mass", chest.finding, "Edema"]
    many = check_model(ModelSpec.read(arguments | {"findings": findings}, "model"), 0, chest, False)
    torch.testing.assert_close(many(images)[:, 1], many.model(images)[:, 1])


def test_logits_come_in_the_order_of_the_task_by_name(theirs, chest):
    named = {"backbone": "study_networks:trained", "normalization": AS_IT_IS}
    plain = check_model(ModelSpec.read(named, "model"), 0, chest, False)
    turned = check_model(ModelSpec.read(named | {"classes": chest.classes[::-1]}, "model"), 0, chest, False)
    images = torch.as_tensor(chest.test.images[:4])
    torch.testing.assert_close(turned(images), plain(images).flip(1))
    one = named | {"arguments": {"num_classes": 1}}
    same = check_model(ModelSpec.read(one | {"classes": chest.classes}, "model"), 0, chest, False)
    other = check_model(ModelSpec.read(one | {"classes": chest.classes[::-1]}, "model"), 0, chest, False)
    torch.testing.assert_close(other(images)[:, 1], -same(images)[:, 1])
    with pytest.raises(InputError, match="classes: the network knows a, b, and asked for are"):
        check_model(ModelSpec.read(named | {"classes": ["a", "b"]}, "model"), 0, chest, False)


class Data:
    identity, scale, findings = "x", Scale(), ()


def test_files_and_code_count_by_their_content(theirs):
    def first(keys) -> str:
        return plan(study(keys), {"phantom-chest": Data()})[0].fingerprint

    torch.save(nn.Linear(1, 1).state_dict(), "w.pt")
    keys = {"backbone": "study_networks:make", "weights": "w.pt", "arguments": {"config": "study_networks.py"}}
    before = first(keys)
    (theirs / "w.pt").rename(theirs / "v.pt")
    assert first(keys | {"weights": "v.pt"}) == before
    torch.save(nn.Linear(1, 1).state_dict(), "v.pt")
    assert first(keys | {"weights": "v.pt"}) != before
    (theirs / "study_networks.py").write_text(MODULE + "# changed\n")
    assert first({"backbone": "study_networks:make"}) != first({"backbone": "resnet18"})
    with_code = plan(study({"backbone": "study_networks:make"}), {"phantom-chest": Data()})[0]
    assert with_code.spec["model"]["code"].startswith("sha256:")
    (theirs / "study_networks.py").write_text(MODULE)
    assert first({"backbone": "study_networks:make"}) != with_code.fingerprint


def test_the_function_that_lays_out_a_map_counts_by_its_source(theirs):
    def kinds() -> dict[str, str]:
        asked = study({"backbone": "resnet18"}, explain={"layer": "backbone", "reshape": "study_networks:lay"})
        return {stage.kind: stage.fingerprint for stage in plan(asked, {"phantom-chest": Data()})}

    before = kinds()
    (theirs / "study_networks.py").write_text(MODULE + "def lay(x):\n    return x\n")
    assert {kind for kind, name in kinds().items() if name != before[kind]} == {"explain"}
    with pytest.raises(InputError, match=r"explain.reshape: 'nowhere' is neither a model source"):
        plan(study({"backbone": "resnet18"}, explain={"reshape": "nowhere:lay"}), {"phantom-chest": Data()})
    with pytest.raises(InputError, match="reshape"):
        study({"backbone": "resnet18"}, explain={"reshape": "lay"})


def test_ones_own_network_is_trained_beside_ours_and_one_is_kept_as_it_is(theirs):
    """Explained by two methods side by side; the layer is printed and recorded."""
    asked = study(
        {"backbone": "study_networks:make", "normalization": AS_IT_IS},
        {"backbone": "test_resnet", "output_stride": 8, "attention": "full"},
        {"backbone": "study_networks:trained", "normalization": AS_IT_IS, "training": {"name": "kept", "epochs": 0}},
        training=SPEC["training"] | {"epochs": 1},
        attacks=[{"attack": "fast", "images": 2}],
        explain={"method": ["grad-cam", "integrated-gradients", "soft-attention"], "images": 1},
        trust={"images": 2, "budget": 20},
    )
    console = quiet()
    folder = run(asked, theirs / "run", device="cpu", console=console)
    told = console.export_text()
    assert "make on phantom-chest: maps by grad-cam of " in told
    assert "(8 channels, 16 × 16)" in told
    records = [json.loads((folder / stage / "stage.json").read_text()) for stage in stages_of(folder, "explain")]
    assert [record["facts"]["method"] for record in records] == [
        *("grad-cam", "integrated-gradients"),
        *("grad-cam", "integrated-gradients", "soft-attention"),
        *("grad-cam", "integrated-gradients"),
    ]
    assert "(8 channels, 16 × 16)" in records[0]["facts"]["layer"]
    trained = [json.loads((folder / stage / "stage.json").read_text()) for stage in stages_of(folder, "train")]
    assert [record["facts"]["epochs"] for record in trained] == [1, 1, 0]
    kept = load_weights(folder / stages_of(folder, "train")[2] / "weights.safetensors")
    torch.manual_seed(0)
    assert torch.equal(kept.backbone.conv.weight, nn.Conv2d(3, 8, 3).weight)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_images_of_any_number_of_channels_reach_the_report(theirs, channels, monkeypatch):
    monkeypatch.setattr("palpate.study.run.write_report", write_report)
    pixels = np.random.default_rng(0).integers(0, 256, (12, 32, 32, channels), np.uint8)
    np.savez("mine.npz", images=pixels, labels=np.arange(12) % 2)
    model = {"backbone": "study_networks:make", "normalization": AS_IT_IS, "channels": channels}
    asked = study(
        model | {"arguments": {"channels": channels}},
        tasks=[{"name": "mine", "arrays": "mine.npz", "size": 32}],
        training={"epochs": 1},
        attacks=[{"attack": "fast", "levels": 256}],
        explain={"images": 1},
        trust={"images": 2, "budget": 20},
    )
    folder = run(asked, theirs / "run", device="cpu", console=quiet())
    assert (folder / "report.html").stat().st_size > 100_000
    with np.load(folder / stages_of(folder, "attack")[0] / "samples.npz") as samples:
        assert samples["clean"].shape == (1, channels, 32, 32)
        assert np.isin(np.rint(255 * samples["clean"][0, -1]), pixels[..., -1]).all()
