"""Images of one's own, from the files to the report: in class folders, in a table, and under the attack of weights trained already."""

import json
import re
import sys
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
import torch
from tests.study.helpers import SPEC, quiet, stages_of

import palpate
from palpate.cli.main import main
from palpate.core.errors import InputError
from palpate.core.run_folder import RunFolder
from palpate.models.weights import save_weights
from palpate.report.page.page import write_report
from palpate.study.estimate import estimate
from palpate.study.run import run
from palpate.study.spec import Study, TaskSpec

SHORT = {"attacks": [{"attack": "fast", "images": 4}], "explain": {"images": 2}, "trust": {"images": 4, "budget": 60}}
MODEL = {"backbone": "test_resnet", "output_stride": 8}


def write(path: Path, seed: int, ill: bool) -> None:
    """A tiny picture; ill ones have a bright corner."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 128, (36, 40, 3), dtype=np.uint8)
    pixels[:12, :12] += np.uint8(120 * ill)
    assert cv2.imwrite(str(path), pixels)


@pytest.fixture
def class_folders(tmp_path: Path) -> Path:
    for i in range(40):
        write(tmp_path / "my images" / ("ill" if i % 2 else "healthy") / f"p{i // 2}_{i}.png", i, bool(i % 2))
    return tmp_path / "my images"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    lines = ["file,dx,patient,age"]
    for i in range(40):
        write(tmp_path / "scans" / f"s{i}.png", i, bool(i % 2))
        lines.append(f"s{i},{'ill' if i % 2 else 'healthy'},P{i // 2 % 10},{40 + i}")
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "t.csv"


def study(task: dict) -> Study:
    return Study.read(SPEC | SHORT | {"tasks": [{"name": "mine", "size": 32} | task], "models": [MODEL]}, "study")


def test_a_study_of_class_folders_ends_in_a_report(class_folders: Path, tmp_path: Path) -> None:
    asked = study({"folder": str(class_folders), "group": "(p[0-9]+)_", "classes": ["ill", "healthy"]})
    folder = run(asked, tmp_path / "run", device="cpu", console=quiet())
    write_report(folder)
    page = (folder / "report.html").read_text()
    assert "mine" in page
    (record,) = RunFolder(folder).study().tasks.values()
    assert (record.classes, sum(record.images.values()), record.kind) == (("ill", "healthy"), 40, "real")
    assert sum(record.groups.values()) == 20
    attacked = pl.read_parquet(folder / stages_of(folder, "attack")[0] / "images.parquet")
    assert set(attacked["group_id"]) <= {f"p{i}" for i in range(20)}
    (costs,) = estimate(asked, folder, None, torch.device("cpu"))
    assert (costs.present, costs.complete) == (True, 5)
    moved = class_folders.rename(tmp_path / "elsewhere")
    console = quiet()
    run(study({"folder": str(moved), "group": "(p[0-9]+)_", "classes": ["ill", "healthy"]}), folder, console=console)
    assert "Everything is complete" in console.export_text()


def test_a_study_of_a_table_with_groups_and_metadata_ends_in_a_report(table: Path, tmp_path: Path) -> None:
    columns = {"path": "file", "label": "dx", "group": "patient"}
    task = {
        "table": str(table),
        "images": str(tmp_path / "scans"),
        "columns": columns,
        "finding": "lesion",
        "channels": 1,
    }
    folder = run(study(task), tmp_path / "run", device="cpu", console=quiet())
    write_report(folder)
    assert (folder / "report.html").is_file()
    (record,) = RunFolder(folder).study().tasks.values()
    assert (record.finding, record.classes) == ("lesion", ("healthy", "ill"))
    assert sum(record.groups.values()) == 10
    spec = json.loads((folder / stages_of(folder, "train")[0] / "weights.json").read_text())["spec"]
    assert spec["channels"] == 1


def test_of_several_findings_a_study_takes_the_one_that_it_names_or_all(tmp_path: Path) -> None:
    lines = ["path,edema,mass"]
    for i in range(40):
        write(tmp_path / f"s{i}.png", i, bool(i % 2))
        lines.append(f"s{i},{i % 2},{int(i % 4 == 0)}")
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    task = {"table": str(tmp_path / "t.csv"), "columns": {"findings": ["edema", "mass"]}}
    from palpate.study.stages.context import open_dataset

    few = study({"folder": "x"})
    dataset = open_dataset(few, TaskSpec.read({"name": "mine", "size": 32, "finding": "mass"} | task, "task"), None)
    assert (dataset.classes, dataset.test.labels.ndim) == (("absent", "present"), 1)
    every = open_dataset(few, TaskSpec.read({"name": "mine", "size": 32} | task, "task"), None)
    assert (every.findings, every.test.labels.ndim) == (("edema", "mass"), 2)
    with pytest.raises(InputError, match="finding must be one of 'edema', 'mass', given 'oedema'"):
        open_dataset(few, TaskSpec.read({"name": "mine", "size": 32, "finding": "oedema"} | task, "task"), None)


@pytest.mark.parametrize("labels", [False, True])
def test_weights_are_attacked_on_one_s_own_images(
    labels: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    weights = tmp_path / "mine.safetensors"
    model = palpate.build("test_resnet", size=32, output_stride=8)
    save_weights(model, weights, {"classes": ["ill", "healthy"]})
    new = tmp_path / "new-images"
    for i in range(6):
        write(new / ("flat" if labels else ("ill", "healthy")[i % 2]) / f"n{i}.png", 100 + i, i % 2 == 0)
    arguments = ["--images", str(new), "--write-images", str(tmp_path / "written"), "--set", "attack.levels=256"]
    if labels:
        (tmp_path / "new.csv").write_text(
            "path,label\n" + "".join(f"n{i},{('ill', 'healthy')[i % 2]}\n" for i in range(6))
        )
        arguments += ["--labels", str(tmp_path / "new.csv")]
    monkeypatch.setattr("palpate.study.run.write_report", write_report)
    monkeypatch.setattr(sys, "argv", ["palpate", "attack", str(weights), *arguments, "--attack", "fast"])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main()
    printed = capsys.readouterr()
    assert stop.value.code == 0, printed
    (folder,) = (tmp_path / "runs").iterdir()
    assert len(list((tmp_path / "written").glob("*.png"))) == 6
    said = re.search(
        r"written: 6 images written, and read again (\d) of (\d) images? that fooled the model still do", printed.out
    )
    assert said is not None
    assert said[1] == said[2]
    assert folder.name == ("attack-new" if labels else "attack-new-images")
    (record,) = RunFolder(folder).study().tasks.values()
    assert (record.images, record.classes) == ({"train": 0, "val": 0, "test": 6}, ("ill", "healthy"))
    attacked = pl.read_parquet(folder / stages_of(folder, "attack")[0] / "images.parquet")
    assert attacked["image_id"].n_unique() == 6


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"fodler": "x"}, r"tasks\[1\].fodler: unknown key; did you mean `folder`"),
        ({"folder": "x", "chanels": 1}, r"tasks\[1\].chanels: unknown key; did you mean `channels`"),
        ({"table": "x", "columns": {"lable": "dx"}}, r"tasks\[1\].columns.lable: unknown key; did you mean `label`"),
        ({"folder": "x", "table": "y"}, "folder and table are both given"),
        (
            {"classes": ["a", "b"]},
            "classes is given without a folder or table or arrays; give that too, or leave classes out",
        ),
        ({"folder": "x", "columns": {"label": "dx"}}, "columns is given without a table or arrays"),
        ({"table": "x", "group": "p[0-9]+"}, "group is given without a folder"),
        ({"folder": "x", "fractions": [0.5, 0.1, 0.1]}, r"tasks\[1\].fractions: three shares"),
        ({"folder": "x", "value_range": [1, 0]}, "the value of black comes first"),
    ],
)
def test_keys_that_do_not_fit_are_refused(keys: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        study(keys)


@pytest.mark.parametrize("arguments", [[], ["phantom-skin", "--images", "x"], ["phantom-skin", "--labels", "x"]])
def test_the_command_needs_a_task_or_images(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(sys, "argv", ["palpate", "attack", "w.safetensors", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert "give a task, or --images DIR" in capsys.readouterr().err
