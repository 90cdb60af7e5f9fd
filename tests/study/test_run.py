"""A study end to end: rows that agree with one another and with direct calls, resuming, failing, refusing."""

import errno
import json
import shutil

import foolbox
import numpy as np
import polars as pl
import pytest
import torch
from tests.runs import edit
from tests.study.helpers import SPEC, quiet, stages_of, tiny

from palpate.core import rows
from palpate.core.errors import DiskFull, InputError
from palpate.core.run_folder import RunFolder
from palpate.data.dataset import load
from palpate.models.weights import load_weights
from palpate.study.engines.work import MAKERS
from palpate.study.run import StudyIncomplete, run


def _table(folder, kind: str, which: int = 0) -> pl.DataFrame:
    return rows.read(folder / stages_of(folder, kind)[which] / "images.parquet")


def test_every_stage_is_there_and_its_files_are_whole(finished):
    opened = RunFolder(finished)
    for stage in opened.study().stages:
        assert opened.complete(stage.id)
        opened.verify(stage.id)
    assert len(opened.study().stages) == 2 * 6
    assert not list(finished.glob(".*.part"))
    assert (finished / "report.html").is_file()


def test_running_again_makes_nothing_and_says_so(finished):
    console = quiet()
    before = {file: file.stat().st_mtime_ns for file in finished.glob("*-*/*")}
    run(tiny(), finished, device="cpu", console=console)
    assert "Everything is complete: 12 stages" in console.export_text()
    assert before == {file: file.stat().st_mtime_ns for file in finished.glob("*-*/*")}


def test_the_same_study_elsewhere_gives_the_same_rows(finished, tmp_path):
    again = run(tiny(), tmp_path / "again", device="cpu", console=quiet())
    for kind in ("predict", "attack"):
        for stage in stages_of(finished, kind):
            first, second = (rows.read(folder / stage / "images.parquet") for folder in (finished, again))
            assert first.equals(second)


def test_foolbox_rows_equal_a_direct_call_of_foolbox(finished):
    task = tiny().tasks[0]
    data = load(task.name, size=32, train_images=48, val_images=16, test_images=24)
    images, labels = data.test.images[:12], torch.as_tensor(data.test.labels[:12])
    for which, stage in enumerate(stages_of(finished, "train")):
        model = load_weights(finished / stage / "weights.safetensors").to(memory_format=torch.channels_last).eval()
        model.requires_grad_(False)
        table = _table(finished, "attack", 2 * which)
        assert set(table["attack"]) == {"foolbox-pgd", "none"}
        reference = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
        torch.manual_seed(0)
        success = []
        for start in (0, 5, 10):
            place = slice(start, start + 5)
            success.append(
                foolbox.attacks.LinfPGD(steps=5)(
                    reference, images[place], labels[place], epsilons=[1 / 255, 4 / 255, 16 / 255]
                )[2]
            )
        expected = 1 - torch.cat(success, 1).float().mean(1)
        ours = table.filter(pl.col("epsilon_index") > 0).group_by("epsilon_index").agg(pl.col("correct").mean())
        assert ours.sort("epsilon_index")["correct"].to_list() == pytest.approx(expected.tolist(), abs=1e-6)
        assert table["image_id"].unique().sort().to_list() == sorted(data.test.ids[:12])


def test_the_rows_of_an_attack_agree_with_one_another(finished):
    for which in range(4):
        table = _table(finished, "attack", which)
        attacked = table.filter(pl.col("epsilon_index") > 0)
        assert (attacked["in_ball"] & attacked["in_box"]).all()
        assert (attacked["linf"] <= attacked["epsilon"] + 2**-23).all()
        assert ((attacked["margin"] > 0) == attacked["correct"]).all()
        assert (attacked["prediction"] == attacked["label"]).equals(attacked["correct"])
        assert (attacked["survives_rounding"].is_null() == attacked["correct"]).all()
        first = pl.col("epsilon").filter(~pl.col("correct")).min().over("image_id").fill_null(float("inf"))
        smallest = table.with_columns(first=first).filter(pl.col("epsilon_index") > 0)
        grid = np.array([0, 1 / 255, 4 / 255, 16 / 255, np.inf])
        on_grid = grid[np.searchsorted(grid, smallest["radius"].to_numpy())]
        assert on_grid.tolist() == smallest["first"].to_list()


def test_samples_are_made_at_each_epsilon_and_lie_in_the_ball(finished):
    for stage in stages_of(finished, "attack"):
        with np.load(finished / stage / "samples.npz") as samples:
            assert samples["adversarial"].shape == (3, 6, 3, 32, 32)
            distance = np.abs(samples["adversarial"].astype(float) - samples["clean"]).max((2, 3, 4))
            assert (distance <= samples["epsilons"][:, None] + 2**-23).all()
            assert (distance.max(1) > 0.5 * samples["epsilons"]).all()
            assert samples["masks"].shape == (6, 32, 32)


def test_explanations_cover_every_epsilon_and_both_targets(finished):
    for stage in stages_of(finished, "explain"):
        table = pl.read_parquet(finished / stage / "explanations.parquet")
        assert len(table) == 4 * 2 * 6
        clean = table.filter(pl.col("epsilon_index") == 0)
        known = clean["similarity_clean"].drop_nulls()
        assert known.to_list() == pytest.approx([1.0] * len(known))
        assert clean.filter("empty")["similarity_clean"].is_null().all()
        with np.load(finished / stage / "maps.npz") as maps:
            assert maps["maps"].shape == (4, 2, 6, 32, 32)
            assert (maps["maps"] >= 0).all()


def test_a_failing_stage_stops_neither_the_others_nor_the_next_run(finished, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    for kind in ("attack", "explain"):
        for stage in stages_of(finished, kind):
            shutil.rmtree(folder / stage)
    broken = stages_of(finished, "attack")[0]
    original = MAKERS["attack"]

    def sometimes(stage, context, path, facts):
        if stage.id == broken:
            raise RuntimeError("out of memory")
        original(stage, context, path, facts)

    monkeypatch.setitem(MAKERS, "attack", sometimes)
    with pytest.raises(StudyIncomplete, match="2 of 12 stages failed") as caught:
        run(tiny(), folder, device="cpu", console=quiet())
    assert "out of memory" in str(caught.value)
    assert "which failed" in str(caught.value)
    opened = RunFolder(folder)
    assert set(opened.failures()) >= {broken}
    assert sum(opened.complete(stage.id) for stage in opened.study().stages) == 10
    monkeypatch.setitem(MAKERS, "attack", original)
    run(tiny(), folder, device="cpu", console=quiet())
    assert opened.failures() == {}
    for stage in stages_of(finished, "attack"):
        assert rows.read(folder / stage / "images.parquet").equals(rows.read(finished / stage / "images.parquet"))


def test_an_interrupt_keeps_what_is_complete(tmp_path, monkeypatch):
    def interrupted(stage, context, path, facts):
        raise KeyboardInterrupt

    monkeypatch.setitem(MAKERS, "predict", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tiny(), tmp_path / "run", device="cpu", console=quiet())
    opened = RunFolder(tmp_path / "run")
    complete = [stage.kind for stage in opened.study().stages if opened.complete(stage.id)]
    assert complete == ["train"]


def test_damage_is_named_and_remade_to_the_same_bytes(finished, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    weights = folder / stages_of(finished, "train")[0] / "weights.safetensors"
    table = folder / stages_of(finished, "attack")[1] / "images.parquet"
    sweep = folder / stages_of(finished, "attack")[2] / "sweep.npz"
    whole = {file: file.read_bytes() for file in (weights, table)}
    weights.write_bytes(whole[weights][:-1] + b"\x01")
    table.write_bytes(whole[table][:-9])
    sweep.unlink()
    (folder / "study.json").write_text("{")
    console = quiet()
    run(tiny(), folder, device="cpu", console=console)
    said = " ".join(console.export_text().split())
    assert all(file.name in said for file in (weights, table, sweep))
    assert said.count("it is made again") == said.count("done ") == 3
    assert {file: file.read_bytes() for file in whole} == whole
    assert all(RunFolder(folder).state(stage) == ("complete", "") for stage in RunFolder(finished).study().stages)


def test_what_was_made_from_another_parent_is_made_again(finished, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    opened = RunFolder(folder)
    first, second = (
        next(one for one in opened.study().stages if one.id == stage) for stage in stages_of(folder, "train")
    )
    weights = folder / first.id / "weights.safetensors"
    whole, files = weights.read_bytes(), [file.name for file in weights.parent.iterdir()]
    with opened.making(first, "another machine", None) as (draft, _):
        for name in set(files) - {"stage.json"}:
            shutil.copy(folder / second.id / name if name == "history.parquet" else weights.with_name(name), draft)
    assert opened.state(first) == ("complete", "")
    outdated = {stage.id for stage in opened.study().stages if opened.state(stage)[0] == "outdated"}
    assert outdated == {
        stage.id for stage in opened.study().stages if first.id in {parent.id for parent in stage.parents}
    }
    console = quiet()
    run(tiny(), folder, device="cpu", console=console)
    assert " ".join(console.export_text().split()).count("it is made again") == len(outdated) == 6
    assert weights.read_bytes() == whole
    assert all(opened.state(stage) == ("complete", "") for stage in opened.study().stages)


def test_a_study_edited_while_it_runs_is_said(tmp_path, monkeypatch):
    def edited(stage, context, path, facts):
        stages = json.loads((tmp_path / "run" / "study.json").read_text())["stages"]
        edit(tmp_path / "run" / "study.json", stages=stages[:1])
        raise RuntimeError("stop here")

    monkeypatch.setitem(MAKERS, "train", edited)
    console = quiet()
    with pytest.raises(StudyIncomplete, match="stop here"):
        run(tiny(), tmp_path / "run", device="cpu", console=console)
    assert "was written by another process while this study ran" in " ".join(console.export_text().split())


def test_a_full_disk_ends_the_study_at_once(tmp_path, monkeypatch):
    def full(stage, context, path, facts):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setitem(MAKERS, "predict", full)
    with pytest.raises(DiskFull, match=r"was filled while predict .* what is complete is kept"):
        run(tiny(), tmp_path / "run", device="cpu", console=quiet())
    opened = RunFolder(tmp_path / "run")
    assert [stage.kind for stage in opened.study().stages if opened.complete(stage.id)] == ["train"]
    assert not list((tmp_path / "run").glob("*.part")) + list((tmp_path / "run").glob("failed/*"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": [{"backbone": "resnet19"}]}, "resnet19"),
        ({"models": [{"backbone": "test_resnet", "attention": "full", "output_stride": 32}]}, "output_stride"),
        ({"tasks": [{"name": "phantom-skim"}]}, "phantom-skim"),
        ({"tasks": [{"name": "ham10000"}]}, "ham10000"),
        ({"name": "other"}, "belongs to the study `tiny`"),
    ],
)
def test_what_cannot_work_is_refused_before_any_work(finished, tmp_path, monkeypatch, changes, message):
    monkeypatch.delenv("PALPATE_DATA", raising=False)
    folder = tmp_path / "run"
    if "name" in changes:
        folder.mkdir()
        shutil.copy(finished / "study.json", folder)
    with pytest.raises(InputError, match=message):
        run(tiny(**changes), folder, device="cpu", console=quiet())
    assert not list(folder.glob("*-*"))


def test_the_record_states_data_and_plan(finished):
    record = json.loads((finished / "study.json").read_text())
    task = record["tasks"]["phantom-skin"]
    assert task["images"] == {"train": 48, "val": 16, "test": 24}
    assert 0.5 <= task["majority_rate"] <= 1
    kinds = [stage["kind"] for stage in record["stages"]]
    assert kinds == ["train", "predict", "attack", "attack", "explain", "trust"] * 2


def test_verdicts_examine_the_sweep_with_the_other_model_as_sibling(finished):
    trains = stages_of(finished, "train")
    for which, stage in enumerate(stages_of(finished, "trust")):
        record = RunFolder(finished).stage(stage)
        examined = stages_of(finished, "attack")[2 * which + 1]
        read = {parent.role: parent.id for parent in record.parents}
        assert read == {"model": trains[which], "attack": examined, "sibling": trains[1 - which]}
        assert record.facts["passes_forward"] + record.facts["passes_backward"] <= 600
        verdicts = json.loads((finished / stage / "verdicts.json").read_text())
        assert {verdict["status"] for verdict in verdicts} <= {"pass", "warn", "fail", "not run"}
        assert {"model", "result"} == {verdict["subject"] for verdict in verdicts}


def test_a_study_on_grey_levels_holds_images_that_a_file_can_hold(tmp_path):
    study = tiny(
        models=[SPEC["models"][0]], attacks=[{"attack": "fast", "images": 12, "levels": 256}], trust={"budget": 0}
    )
    folder = run(study, tmp_path / "run", device="cpu", console=quiet())
    table = _table(folder, "attack").filter(pl.col("epsilon_index") > 0)
    assert set(table["attack_id"]) == {"fast-8bit"}
    fooled = table.filter(~pl.col("correct"))
    assert len(fooled)
    assert fooled["survives_rounding"].all()
    radius = 255 * table["radius"].filter(table["radius"].is_finite()).to_numpy()
    np.testing.assert_allclose(radius, radius.round(), atol=1e-9)
    with np.load(folder / stages_of(folder, "attack")[0] / "samples.npz") as samples:
        level = 255 * samples["adversarial"].astype(float)
        np.testing.assert_allclose(level, level.round(), atol=1e-4)
