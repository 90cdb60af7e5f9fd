"""`palpate doctor`, `explain` and `compare` on a network and images of one's own, and the messages of mistakes."""

import sys

import cv2
import numpy as np
import pytest
import torch
from tests.cli import matrix

import palpate
from palpate.cli.main import main
from palpate.cli.network import read_settings
from palpate.core.errors import InputError

SMALL = ["--size", "32", "--set", "task.train_images=4", "--set", "task.val_images=2", "--set", "task.test_images=4"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "their_networks.py").write_text(matrix.MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.delitem(sys.modules, "their_networks", raising=False)
    return tmp_path


@pytest.fixture
def call(monkeypatch, capsys):
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["palpate", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        printed = capsys.readouterr()
        return int(stop.value.code or 0), printed.out, printed.err

    return run


def test_doctor_says_what_it_understood(here, call):
    given = matrix.make("findings-14", here)
    arguments, images = matrix.write("dicom", here, 1)
    command = ["doctor", "--model", *given.arguments, *arguments, "--size", str(matrix.SIZE)]
    status, out, err = call(*command)
    assert status == 0, err
    with torch.no_grad():
        logits = given.reference(torch.stack(list(images.values())))
    right = (logits.argmax(1) == torch.arange(matrix.COUNT) % 2).double().mean()
    for text in (
        "their_networks:Net, 918 parameters (float32)",
        "8, 1 × 64 × 64, of 1 channels to the network",
        "-1024 to 1024 HU are 0 to 1",
        "the network gets -10",
        "14 logits, of which 6 answers for f5",
        "0 absent, 1 present",
        "grad-cam of ",
        "(8 channels, 8 × 8)",
        f"{100 * right:.0f}%",
    ):
        assert text in out, (text, out)


@pytest.mark.filterwarnings("always::palpate.study.classifier.ValueRangeWarning")  # which main prints
def test_doctor_doubts_what_contradicts_itself(here, call):
    given = matrix.make("one-logit", here)
    arguments, _ = matrix.write("folders", here, 3)
    wrong = [*given.arguments, "--value-range=0,1", "--mean", "123.7,116.3,103.5", "--std", "58.4,57.1,57.4"]
    status, out, err = call("doctor", "--model", *wrong, *arguments, "--size", "64")
    assert status == 0, err
    assert "mean 123.7, 116.3, 103.5 does not lie among pixels of 0 to 1; give the value_range that it is of" in err
    assert "every answer is " in out
    hounsfield = matrix.make("findings-14", here)
    arguments, _ = matrix.write("dicom", here, 1)
    wider = ["--size", "64", "--set", "task.value_range=[-1024, 3071]"]
    status, _, err = call("doctor", "--model", *hounsfield.arguments, *arguments, *wider)
    assert status == 0, err
    assert "the network takes -1024 to 1024, and black to white is -1024 to 3071 HU in the files" in err


def test_doctor_takes_columns_of_other_names_several_findings_and_a_window(here, call):
    folder = here / "pictures"
    folder.mkdir()
    for row in range(4):
        cv2.imwrite(str(folder / f"{row}.png"), np.full((40, 32), 60 * row, np.uint8))
    (here / "t.csv").write_text("file|edema|mass\n" + "".join(f"{row}.png|{row % 2}|{row // 2}\n" for row in range(4)))
    columns = ["--set", "task.columns.path=file", "--set", 'task.columns.findings=["edema", "mass"]']
    import their_networks as theirs

    torch.save(theirs.Net().state_dict(), here / "w.pt")
    network = ["--model", "their_networks:Net", "--weights", "w.pt", "--value-range=0,255"]
    network += ["--set", "model.normalization.window=[100, 80]"]
    images = ["--images", str(folder), "--labels", str(here / "t.csv"), "--size", "32", "--set", "task.test_only=true"]
    status, out, err = call("doctor", *network, "--set", 'model.findings=["edema", "mass"]', *images, *columns)
    assert status == 0, err
    for text in ("edema, mass; what follows is of edema", "the network gets 0 to 1", "4 images were not square"):
        assert text in out, (text, out)


def test_attack_has_options_for_what_users_change_most(here, monkeypatch):
    asked = []
    monkeypatch.setattr("palpate.cli.attack.run_study", lambda study, *_: asked.append(study))
    own = ["--norm", "l2", "--epsilons", "0.5,1", "--target", "1", "--seed", "3", "--at-most", "5", "--expect", "0.9"]
    monkeypatch.setattr(sys, "argv", ["palpate", "attack", "resnet18", "phantom-skin", "--attack", "fast", *own])
    with pytest.raises(SystemExit):
        main()
    (attack,), study = asked[0].attacks, asked[0]
    assert (attack.attack.norm, attack.attack.seed, attack.target, attack.images) == ("l2", 3, "1", 5)
    assert (attack.attack.strength, study.epsilons, study.trust.expect) == ("fast", (0.5, 1.0), 0.9)


def test_explain_writes_a_picture_and_the_raw_maps(here, call):
    given = matrix.make("logits-object", here)
    arguments, images = matrix.write("folders", here, 3)
    methods = ["--method", "grad-cam", "--method", "integrated-gradients"]
    status, out, err = call("explain", *given.arguments, *arguments, "--size", "64", *methods, "--at-most", "3")
    assert status == 0, err
    assert "grad-cam of " in out
    with np.load(here / "maps" / "maps.npz") as file:
        found = {name: file[name] for name in file.files}
    pictures = torch.stack([images[name] for name in found["image_ids"]])
    sys.path.insert(0, str(here))
    reference = matrix.Reference(given.reference)
    for method in ("grad-cam", "integrated-gradients"):
        expected = palpate.explain(reference, pictures, method, classes=found["predictions"])
        torch.testing.assert_close(torch.from_numpy(found[method]), expected, rtol=1e-3, atol=1e-4)
    shown = cv2.imread(str(here / "maps" / "0000.png"))
    assert shown.shape == (64, 3 * 64, 3)
    np.testing.assert_array_equal(shown[:, :64, ::-1], np.rint(255 * pictures[0].permute(1, 2, 0).numpy()))


def test_sweeps_and_their_files_are_compared(here, call):
    torch.manual_seed(0)
    images, labels = torch.rand(40, 3, 16, 16), torch.arange(40) % 2
    nets = [torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(768, 2)) for _ in range(2)]
    found = [palpate.sweep(net, images, labels, ["1/255", "4/255"], attack="fast") for net in nets]
    compared = palpate.compare(*found)
    for place, epsilon in enumerate((0, 1 / 255, 4 / 255)):
        assert compared.points[place].accuracy_a == pytest.approx(found[0].robust_accuracy(epsilon))
        assert compared.points[place].accuracy_b == pytest.approx(found[1].robust_accuracy(epsilon))
    for name, each in zip(("first", "second"), found, strict=True):
        each.save(here / f"{name}.npz")
    status, out, err = call("compare", "first.npz", "second.npz", "--out", "found.json")
    assert status == 0, err
    assert "a: first; b: second" in out
    assert (here / "found.json").is_file()
    again = palpate.compare(here / "first.npz", found[1])
    assert [point.points for point in again.points] == [point.points for point in compared.points]
    other = palpate.sweep(nets[1], images, 1 - labels, ["1/255", "4/255"], attack="fast")
    with pytest.raises(InputError, match="an image has one label"):
        palpate.compare(found[0], other)
    with pytest.raises(InputError, match="b must be rows, a sweep, or a saved file of either"):
        palpate.compare(found[0], 3)
    (here / "bad.npz").write_bytes(b"PK")
    assert call("compare", "first.npz", "bad.npz")[0] == 2
    assert "is not a saved sweep" in call("compare", "first.npz", "bad.npz")[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["attack", "weights.safetensors", "--images", "x"], "model: no file at weights.safetensors"),
        (["attack", "resnet18"], "give a task, or --images DIR"),
        (
            ["attack", "resnet18", "--images", "x", "--value-range", "a,b"],
            "--value-range: expected numbers with commas",
        ),
        (["attack", "resnet18", "--images", "x", "--set", "channels=1"], "--set: expected PART.KEY=VALUE"),
        (
            ["attack", "resnet18", "phantom-skin", "--set", "model.chanels=1"],
            "chanels: unknown key; did you mean `channels`",
        ),
        (["attack", "test_resnet", "phantom-skin", *SMALL], "epochs = 0 trains nothing, and"),
        (["attack", "no.module:make", "phantom-skin", *SMALL], "neither a model source"),
        (["doctor", "--images", "x"], "--model: name the network"),
        (["attack", "resnet18", "--images", "x", "--value-range", "0"], "--value-range: expected two numbers"),
        (["attack", "resnet18", "--images", "x", "--mean", "nan"], "--mean: expected numbers"),
        (["attack", "resnet18", "phantom-skin", "--norm", "l2"], "--epsilons: give the radii in l2"),
        (["attack", "resnet18", "phantom-skin", "--expect", "93"], "trust.expect: Input should be less than or equal"),
        (["attack", "resnet18", "phantom-skin", "--write-images", "their_networks.py"], "their_networks.py: is a file"),
        (
            ["explain", "resnet18", "phantom-skin", "--method", "integrated-gradients", "--layer", "x"],
            "integrated-gradients look at no layer",
        ),
        (["attack", "resnet18", ""], "tasks[1].name: "),
        (["explain", "resnet18", "--images", "absent"], "absent: is no folder"),
    ],
)
def test_mistakes_end_in_one_message(here, call, arguments, message):
    status, _, err = call(*arguments)
    assert (status, "Traceback" in err) == (2, False)
    assert message in err


def test_settings_are_read_as_toml_or_as_words():
    assert read_settings(["model.head=own", "explain.images=4", 'task.columns={ label = "dx" }']) == {
        "model": {"head": "own"},
        "explain": {"images": 4},
        "task": {"columns": {"label": "dx"}},
    }
