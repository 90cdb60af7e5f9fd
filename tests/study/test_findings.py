"""Several findings to the end: one training, and for each finding rows, verdicts and a part of the report; unknown labels count nowhere."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from tests.data.test_dicom import write
from tests.study.helpers import SPEC, quiet, stages_of

from palpate.core.errors import InputError
from palpate.core.run_folder import RunFolder
from palpate.models.build import build
from palpate.models.weights import load_weights, save_weights
from palpate.study.estimate import estimate
from palpate.study.from_weights import study_of_network
from palpate.study.run import run
from palpate.study.spec import Study
from palpate.study.stages.context import open_dataset
from palpate.training.objective import accuracy, balanced_accuracy, loss, loss_weights
from palpate.training.spec import TrainSpec

pytest.importorskip("pydicom", reason="DICOM files need the extra `dicom`")

N = 72


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12-bit images in Hounsfield units; an effusion is bright below, a nodule bright above; every sixth nodule is uncertain or not looked for."""
    root, rng = tmp_path_factory.mktemp("ct"), np.random.default_rng(0)
    tags = {"RescaleSlope": 1, "RescaleIntercept": -1024, "RescaleType": "HU"}
    lines = ["path;effusion;nodule;patient;sex"]
    for i in range(N):
        effusion, nodule = i % 2, i // 2 % 2
        pixels = rng.integers(0, 1500, (32, 32))
        pixels[20:, :12] += 2000 * effusion
        pixels[:12, 20:] += 2000 * nodule
        write(root / f"{i}.dcm", pixels.astype(np.uint16), **tags)
        lines.append(
            f"{i}.dcm;{effusion};{('-1', '', nodule, nodule, nodule, nodule)[i % 6]};P{i // 2};{'FM'[i % 3 % 2]}"
        )
    (root / "t.csv").write_text("\n".join(lines))
    return root


def study(scans: Path, **changes) -> Study:
    columns = {"findings": ["effusion", "nodule"], "group": "patient"}
    task = {"name": "ct", "table": str(scans / "t.csv"), "columns": columns, "size": 32, "channels": 1} | changes
    return Study.read(
        SPEC
        | {
            "tasks": [task],
            "models": [{"backbone": "test_resnet", "output_stride": 8}],
            "epsilons": ["8 HU", "64 HU", "512 HU"],
            "attacks": [{"attack": "standard", "levels": 4096, "images": 8}],
            "explain": {"images": 2},
            "trust": {"images": 4, "budget": 60},
        },
        "study",
    )


@pytest.fixture(scope="module")
def done(scans: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(study(scans), tmp_path_factory.mktemp("run"), device="cpu", console=quiet())


def test_each_finding_has_its_rows_and_its_part_of_the_report(done: Path) -> None:
    record = RunFolder(done).study()
    assert list(record.tasks) == ["ct.effusion", "ct.nodule"]
    assert [stage.kind for stage in record.stages].count("train") == 1
    assert [(task.finding, task.classes) for task in record.tasks.values()] == [
        ("effusion", ("absent", "present")),
        ("nodule", ("absent", "present")),
    ]
    known = {name: sum(task.images.values()) for name, task in record.tasks.items()}
    assert known == {"ct.effusion": N, "ct.nodule": N - N // 3}
    for kind in ("predict", "attack"):
        rows = pl.concat(pl.read_parquet(done / stage / "images.parquet") for stage in stages_of(done, kind))
        assert (set(rows["task"]), set(rows["finding"])) == ({"ct"}, {"effusion", "nodule"})
        assert set(rows["label"]) == {0, 1}
        assert (rows["logits"].list.len() == 2).all()
    results = json.loads((done / "results.json").read_text())
    assert results["problems"] == []
    for name, found in results["tasks"].items():
        assert found["leaderboards"][0]["finding"] == name.removeprefix("ct.")
        assert {row["error"] for row in found["errors"]} == {"false negative", "false positive"}
        assert len(found["operating_points"]) == 1
        assert {(row["column"], row["value"]) for row in found["subgroups"]} == {("sex", "F"), ("sex", "M")}
        assert {row["decision"] for row in found["subgroups"] if row["attack_id"] != "none"} == {"model"}
    decided = {row["decision"] for row in results["tasks"]["ct.effusion"]["subgroups"] if row["attack_id"] == "none"}
    assert decided == {"threshold"}
    assert {check["task"] for check in results["checks"]} == {"ct.effusion", "ct.nodule"}


def test_epsilons_are_printed_in_hounsfield_units(done: Path) -> None:
    page, results = (done / "report.html").read_text(), json.loads((done / "results.json").read_text())
    scale = {"low": -1024.0, "high": 3071.0, "unit": "HU", "levels": 4096}
    assert all(found["scale"] == scale for found in results["tasks"].values())
    assert "512 HU" in page
    assert "/255" not in page.split("<script>", maxsplit=1)[0]
    rows = pl.read_parquet(done / stages_of(done, "attack")[0] / "images.parquet").filter(pl.col("epsilon_index") > 0)
    assert sorted(set((rows["epsilon"] * 4095).round(6))) == [8, 64, 512]
    radius = rows.filter(pl.col("radius").is_finite())["radius"] * 4095
    assert (radius - radius.round()).abs().max() < 1e-9  # pyright: ignore[reportOperatorIssue]
    assert rows.filter(~pl.col("correct"), pl.col("radius") > 0)["survives_rounding"].all()


def test_a_part_of_one_finding_is_what_a_study_of_that_finding_alone_gives(
    done: Path, scans: Path, tmp_path: Path
) -> None:
    """The weights of the training, made by hand into a model of one finding, give the same rows."""
    train, *_ = stages_of(done, "train")
    network = load_weights(done / train / "weights.safetensors")
    assert network.num_classes == 2
    rows = pl.read_parquet(done / stages_of(done, "predict")[1] / "images.parquet").filter(split="test")
    assert set(rows["finding"]) == {"nodule"}
    dataset = open_dataset(study(scans), study(scans).tasks[0], None)
    place = dataset.test.ids.tolist().index(rows["image_id"][0])
    logit = network.eval()(dataset.test.images[place : place + 1])[0, 1].item()
    assert rows["logits"][0].to_list() == pytest.approx([0.0, logit], abs=1e-5)


def test_weights_of_several_findings_are_attacked_on_a_table(done: Path, scans: Path, tmp_path: Path) -> None:
    train, *_ = stages_of(done, "train")
    own = {"table": str(scans / "t.csv")}
    weights, attack = str(done / train / "weights.safetensors"), {"attack": "fast", "images": 2}
    asked = study_of_network(weights, "mine", ["64 HU"], attack, own=True, settings={"task": own})
    assert asked.tasks[0].findings == ("effusion", "nodule")
    (costs,) = estimate(asked, tmp_path / "none", None, torch.device("cpu"))
    assert costs.stages == 1 + 2 * 4


def test_levels_that_the_files_do_not_have_are_refused_before_training(scans: Path, tmp_path: Path) -> None:
    asked = study(scans)
    wrong = Study.read(asked.to_dict() | {"attacks": [{"attack": "fast", "levels": 256}]}, "study")
    with pytest.raises(
        InputError, match=r"levels = 256, and the files of task ct hold 4096 levels .*; write levels = 4096"
    ):
        run(wrong, tmp_path / "run", device="cpu", console=quiet())
    assert not (tmp_path / "run").exists()
    mm = Study.read(asked.to_dict() | {"epsilons": ["3 mm"]}, "study")
    with pytest.raises(InputError, match="epsilon is in mm and the unit of these images is HU"):
        run(mm, tmp_path / "run", device="cpu", console=quiet())


def test_the_loss_counts_what_is_known_and_nothing_else() -> None:
    logits = torch.tensor([[1.0, -2.0], [0.5, 3.0], [-1.0, 0.0]], requires_grad=True)
    labels = torch.tensor([[1, -1], [0, 1], [-1, -1]])
    expected = np.mean([np.log1p(np.exp(-1.0)), np.log1p(np.exp(0.5)), np.log1p(np.exp(-3.0))])
    found = loss(logits, labels)
    assert found.item() == pytest.approx(expected, rel=1e-5)
    found.backward()
    assert logits.grad is not None
    assert (logits.grad == 0).tolist() == [[False, True], [False, False], [True, True]]
    assert accuracy(logits, labels) == pytest.approx(2 / 3)
    assert balanced_accuracy(logits, labels) == pytest.approx((0.5 + 1) / 2)
    weighted = loss(logits, labels, torch.tensor([[1.0, 2.0], [1.0, 0.0]]))
    assert weighted.item() == pytest.approx((2 * np.log1p(np.exp(-1.0)) + np.log1p(np.exp(0.5))) / 3, rel=1e-5)
    assert loss(logits, torch.full((3, 2), -1)).item() == 0


def test_weights_of_findings_and_settings_that_they_cannot_have() -> None:
    labels, names = torch.tensor([[1, 0], [0, -1], [0, 1], [0, 1]]), ("a", "b")
    assert torch.allclose(
        loss_weights(labels, (), names, TrainSpec(class_weights="inverse"))[0], torch.tensor([2 / 3, 2.0])
    )
    chosen = loss_weights(labels, (), names, TrainSpec(class_weights={"b": 5.0}))
    assert chosen.tolist() == [[1, 1], [1, 5]]
    for settings, fault in (
        ({"sampling": "sqrt-inverse"}, "sampling must be uniform where images have several findings"),
        ({"adversarial": {}}, "adversarial must be left out where images have several findings"),
        ({"class_weights": {"c": 2.0}}, r"class_weights must name classes of the task \(a, b\), given c"),
    ):
        with pytest.raises(InputError, match=fault):
            loss_weights(labels, (), names, TrainSpec(**settings))
    with pytest.raises(InputError, match="every class must have training images, none for: no b"):
        loss_weights(torch.tensor([[1, 1], [0, -1]]), (), names, TrainSpec())


def test_a_finding_of_the_name_of_another_task_is_refused(scans: Path, tmp_path: Path) -> None:
    first = study(scans).tasks[0].to_dict()
    both = Study.read(
        study(scans).to_dict() | {"tasks": [first, first | {"name": "ct.nodule", "finding": "effusion"}]}, "study"
    )
    with pytest.raises(
        InputError, match=r"tasks and findings must differ in name, given twice as a file's name: ct\.nodule"
    ):
        run(both, tmp_path / "run", device="cpu", console=quiet())


def test_random_weights_of_a_file_with_other_findings_are_refused(scans: Path, tmp_path: Path) -> None:
    save_weights(
        build("test_resnet", num_classes=2, size=32, channels=1), tmp_path / "w.safetensors", {"classes": ["a", "b"]}
    )
    asked = study(scans)
    spec = asked.to_dict() | {
        "training": {"epochs": 0},
        "models": [{"backbone": "test_resnet", "weights": str(tmp_path / "w.safetensors")}],
    }
    with pytest.raises(Exception, match="was trained on the classes a, b, and the task has effusion, nodule"):
        run(Study.read(spec, "study"), tmp_path / "run", device="cpu", console=quiet())
