"""Weights that are trained already, attacked as they are."""

import json

import pytest
import torch

import palpate
from palpate.core.errors import InputError
from palpate.core.run_folder import RunFolder
from palpate.models.weights import load_weights, save_weights
from palpate.study.from_weights import study_of_network
from palpate.study.run import run
from palpate.study.spec import Study

LIMITS = {"train_images": 8, "val_images": 4, "test_images": 8}


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    model = palpate.build("test_resnet", attention="full", size=32, output_stride=8)
    save_weights(
        model, tmp_path / "mine.safetensors", {"classes": palpate.load("phantom-chest", size=32, **LIMITS).classes}
    )
    return tmp_path / "mine.safetensors"


def few(study):
    return study.model_copy(update={"tasks": (study.tasks[0].model_copy(update=LIMITS),)})


def test_the_weights_are_attacked_as_they_came(weights, tmp_path):
    study = few(study_of_network(str(weights), "phantom-chest", ["1/255", "4/255"], {"attack": "fast", "images": 4}))
    folder = run(study, tmp_path / "run", device="cpu")
    (train,) = folder.glob("train-*")
    kept, given = load_weights(train / "weights.safetensors").state_dict(), load_weights(weights).state_dict()
    assert all(torch.equal(kept[name], given[name]) for name in given)
    facts = json.loads((train / "stage.json").read_text())["facts"]
    assert (facts["epochs"], facts["training_passes"]) == (0, 0)
    assert study.models[0].name == "test_resnet+full"
    assert {stage.kind for stage in RunFolder(folder).study().stages} == {
        "train",
        "predict",
        "attack",
        "explain",
        "trust",
    }


def test_other_weights_are_other_stages(weights, tmp_path):
    before = study_of_network(str(weights), "phantom-chest", ["1/255"], {"attack": "standard"})
    folder = run(few(before), tmp_path / "run", device="cpu")
    (old,) = folder.glob("attack-*")
    torch.manual_seed(1)
    again = palpate.build("test_resnet", attention="full", size=32, output_stride=8)
    save_weights(again, weights, json.loads(weights.with_suffix(".json").read_text())["extra"])
    run(few(before), tmp_path / "run", device="cpu")
    assert len(list(folder.glob("attack-*"))) == 2
    assert old.is_dir()


def test_weights_of_other_classes_are_refused(weights, tmp_path):
    told = json.loads(weights.with_suffix(".json").read_text())
    weights.with_suffix(".json").write_text(json.dumps(told | {"extra": {"classes": ["nv", "mel"]}}))
    with pytest.raises(
        InputError, match="was trained on the classes nv, mel, and the task has skin fold, pleural line"
    ):
        run(few(study_of_network(str(weights), "phantom-chest", ["1/255"], {"attack": "fast"})), tmp_path / "run")


def test_a_study_without_training_or_weights_names_the_fault(tmp_path):
    study = Study.read(
        {
            "name": "x",
            "tasks": [{"name": "phantom-chest", "size": 32} | LIMITS],
            "models": [{"backbone": "test_resnet", "output_stride": 8}],
            "epsilons": ["1/255"],
            "training": {"epochs": 0},
        },
        "test",
    )
    with pytest.raises(InputError, match=r"model test_resnet: weights: epochs = 0 trains nothing, and .* are random"):
        run(study, tmp_path / "run", device="cpu")


def test_the_file_s_own_faults_are_named(weights, tmp_path):
    with pytest.raises(InputError, match="no file at"):
        study_of_network(str(tmp_path / "none.safetensors"), "phantom-chest", ["1/255"], {"attack": "standard"})
    told = json.loads(weights.with_suffix(".json").read_text())
    weights.with_suffix(".json").write_text(json.dumps(told | {"spec": None}))
    with pytest.raises(InputError, match="wrapped network"):
        study_of_network(str(weights), "phantom-chest", ["1/255"], {"attack": "standard"})


def test_the_command_refuses_a_typo_before_it_runs(weights, capsys, monkeypatch):
    from palpate.cli.main import main

    monkeypatch.setattr("sys.argv", ["palpate", "attack", str(weights), "phantom-chest", "--attack", "strong"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert "attacks[1]: attack must be one of" in capsys.readouterr().err
