"""Corruptions of a study: rows that agree with direct calls, a plug-in's fault that stops one stage only, and the report."""

import json

import numpy as np
import polars as pl
import pytest
import torch
from tests.study.helpers import SPEC, quiet, stages_of, tiny

import palpate
from palpate.core import rows
from palpate.core.errors import InputError
from palpate.core.registry import CORRUPTIONS, Entry
from palpate.core.run_folder import RunFolder
from palpate.corruptions.corruption import Corruption
from palpate.data.dataset import load
from palpate.models.weights import load_weights
from palpate.report import verdicts
from palpate.report.page.page import write_report
from palpate.report.run_data import read
from palpate.report.viewer.scenes import scenes
from palpate.study.run import StudyIncomplete, run

ASKED = ["jpeg", {"corruption": "gaussian-noise", "severities": [0.1, 0.4], "draws": 2, "images": 10}, "odd"]
ATTACKS = [{"attack": "fast", "images": 24}, {"attack": "patch", "epsilons": [4, 8], "images": 12, "steps": 3}]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A study of one model and two seeds with three corruptions, of which a plug-in's gives values above 1."""
    odd = Corruption("odd", lambda x, s, g: x + s, "units", 1.0, "a plug-in")
    CORRUPTIONS["jpeg"]
    CORRUPTIONS._entries["odd"] = Entry("odd", odd, "elsewhere", False)
    folder = tmp_path_factory.mktemp("runs") / "corrupted"
    spec = {"models": SPEC["models"][:1], "seeds": [0, 1], "attacks": ATTACKS}
    try:
        with pytest.raises(
            StudyIncomplete, match=r"2 of 18 stages failed.*\n.*'odd' at severity 0.0625 must give values in"
        ):
            run(
                tiny(**spec, corruptions=ASKED, trust={"images": 4, "budget": 50}),
                folder,
                device="cpu",
                console=quiet(),
            )
        yield folder
    finally:
        del CORRUPTIONS._entries["odd"]


def test_rows_agree_with_a_direct_call(made):
    data = load("phantom-skin", size=32, train_images=48, val_images=16, test_images=24)
    labels = torch.as_tensor(np.asarray(data.test.labels))
    train, corrupt = stages_of(made, "train")[0], stages_of(made, "corrupt")
    model = load_weights(made / train / "weights.safetensors").eval()
    table = rows.read(made / corrupt[0] / "images.parquet")
    found = palpate.corrupt(model, data.test.images[:24], labels[:24], "jpeg")
    assert table.filter(epsilon_index=1)["radius"].to_list() == found.radius.tolist()
    for index, severity in enumerate(found.epsilons, 1):
        part = table.filter(epsilon_index=index)
        assert set(part["epsilon"]) == {severity}
        assert part["correct"].mean() == pytest.approx(found.robust_accuracy(severity))
    assert set(table["attack_id"]) == {"none", "jpeg"}
    assert set(table["norm"].drop_nulls()) == {"severity"}
    assert table["passes_forward"].max() <= 12
    searched = pl.read_parquet(made / corrupt[1] / "severities.parquet")
    assert len(searched) == 10
    assert searched["flips"].list.len().to_list() == [2] * 10
    facts = RunFolder(made).stage(corrupt[1]).facts
    assert facts["draws"] == 2
    assert facts["anchors"]["dermamnist-c"] == [0.04, 0.08, 0.12, 0.18, 0.26]


def test_the_viewer_shows_the_corrupted_images_and_what_the_rows_say_of_them(made):
    data = load("phantom-skin", size=32, train_images=48, val_images=16, test_images=24)
    (scene,) = [one for one in scenes([read(made)]) if one.title.endswith(", jpeg")]
    assert (scene.axis, scene.ids) == ("severity (steps of quality below 100)", tuple(data.test.ids[:8]))
    assert scene.factors[-1] >= 1
    table = rows.read(made / stages_of(made, "corrupt")[0] / "images.parquet").sort("image_id", "epsilon_index")
    labels = torch.as_tensor(np.asarray(data.test.labels)[:8])
    model = load_weights(made / stages_of(made, "train")[0] / "weights.safetensors").eval()
    found = palpate.corrupt(model, data.test.images[:8], labels, "jpeg")
    view = scene.views[0]
    for step, severity in enumerate(scene.epsilons):
        images = found.images_at(severity) if step else data.test.images[:8]
        for place, name in enumerate(scene.ids):
            assert np.abs(view.image(step, place) - np.asarray(images[place])).max() <= 0.51 / 255
            row = table.filter(image_id=name, epsilon_index=step)
            assert view.samples.predictions[step, place] == row["prediction"].item()
    assert view.check == verdicts.read(read(made).complete("corrupt")[0])[0] != "not run"
    assert list(view.radius) == [None if np.isnan(one) else one for one in found.radius.tolist()]
    assert (made / stages_of(made, "corrupt")[0] / "samples.npz").stat().st_size < 200_000


def test_a_patch_has_sides_for_epsilons(made):
    table = rows.read(made / stages_of(made, "attack")[1] / "images.parquet").filter(pl.col("epsilon_index") > 0)
    assert set(table["epsilon"]) == {4, 8}
    assert set(table["norm"]) == {"px"}
    assert table["in_ball"].all()


def test_checks_are_written(made):
    verdicts = json.loads((made / stages_of(made, "corrupt")[0] / "verdicts.json").read_text())
    assert [each["name"] for each in verdicts] == [
        "severity 0", "repeats", "range", "reaches the network", "severity still grows",
    ]  # fmt: skip
    assert {each["status"] for each in verdicts[:3]} == {"pass"}


def test_the_report_has_one_table_over_everything(made):
    page = write_report(made).read_text()
    assert "How much until half of the correct images are misclassified" in page
    task = read(made).results.tasks["phantom-skin"]
    assert [one.name for one in task.corruptions] == ["jpeg", "gaussian-noise"]
    table = (made / "tables" / "phantom-skin-severities.csv").read_text().splitlines()
    assert len(table) == 1 + 4
    assert "odd" in page
    assert "left out: " not in " ".join(read(made).problems)


@pytest.mark.parametrize(
    ("corruptions", "words"),
    [
        (["jpg"], "did you mean 'jpeg'"),
        (["jpeg", "jpeg"], "corruptions must differ in name, given twice: jpeg"),
        ([{"corruption": "jpeg", "severities": [120]}], "must lie in"),
        ([{"corruption": "jpeg", "seed": 3}], "draws nothing"),
        ([{"corruption": "jpeg", "draws": 3}], "draws nothing"),
        ([{"corruption": "dust", "severities": ["3 mm"]}], "needs pixel_spacing"),
        ([{"corruption": "dust", "pixel_spacing": 0.5}], "severities in mm"),
        ([{"corruption": "jpeg", "severity": [3]}], "unknown key; did you mean `severities`"),
    ],
)
def test_bad_corruptions_are_refused_before_any_work(corruptions, words):
    with pytest.raises(InputError, match=words):
        tiny(corruptions=corruptions)


def test_a_study_without_corruptions_keeps_its_stages(finished):
    assert not stages_of(finished, "corrupt")
