"""Scenes show the images, predictions and maps that the stages stored, at the right place, in the page and from several runs."""

import base64
import json

import numpy as np
import polars as pl
import pytest
from tests.report.conftest import write_run
from tests.runs import rewrite, seal, unmake

from palpate.core import rows
from palpate.report.images import difference, grey_map, photo
from palpate.report.run_data import read
from palpate.report.sections.viewer import section
from palpate.report.stages import open_tables
from palpate.report.viewer.embedded import MODELS, embed
from palpate.report.viewer.scenes import Scene, scenes


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> list[Scene]:
    run = write_run(tmp_path_factory.mktemp("methods") / "run", methods=("grad-cam", "integrated-gradients"))
    return scenes([open_tables(run)])


def test_a_scene_per_task_and_a_view_per_model(found):
    assert [scene.key for scene in found] == ["phantom-skin", "phantom-chest"]
    assert [view.name for view in found[0].views] == ["resnet10t#0", "resnet10t+full#0"]
    assert found[0].epsilons[0] == 0
    assert found[0].factors == (1, 400, 200, 100, 50, 20, 10)
    assert list(found[0].views[0].samples.maps) == ["grad-cam", "integrated-gradients"]
    json.dumps(found[0].to_dict(), allow_nan=False)


def test_the_page_holds_the_right_picture_at_every_place(found):
    scene = found[0]
    data = embed(scene, 10**8)
    assert data is not None
    assert data["ids"] == list(scene.ids)
    for one, record in zip(scene.views, data["views"], strict=True):
        for step in range(7):
            clean, changed = one.samples.clean, one.samples.clean if step == 0 else one.samples.adversarial[step - 1]
            for image in range(4):
                assert data["pictures"][record["photos"][step][image]] == photo(changed[image]).uri
                place = record["differences"][step][image]
                expected = difference(clean[image], changed[image], scene.factors[step])[0].uri
                assert place is None if step == 0 else data["pictures"][place] == expected
                for method, maps in one.samples.maps.items():
                    for target in range(2):
                        place = record["maps"][method][step][target][image]
                        picture = grey_map(maps.values[step, target, image], 28)
                        assert (place is None) == (picture is None)
                        assert picture is None or data["pictures"][place] == picture.uri
        assert record["predictions"] == one.samples.predictions.tolist()
    empty = [place is None for place in data["views"][1]["maps"]["grad-cam"][3][0]]
    assert empty == [True, True, True, False]


def test_a_small_budget_keeps_whole_samples_and_says_so(found):
    data = embed(found[0], 250_000)
    assert data is not None
    kept = len(data["ids"])
    assert 1 <= kept < 4
    assert len(data["views"][0]["predictions"][0]) == kept
    assert f"{kept} of 4 samples" in data["note"]
    assert sum(map(len, data["pictures"])) < 300_000
    assert embed(found[0], 1000) is None


def test_models_are_those_of_the_leaderboards_first_one_run_of_each(make_run):
    models = tuple((f"net{number}", "none") for number in range(3))
    run = make_run(models=models, seeds=(0, 1), tasks={"phantom-skin": ["a", "b"]}, weak=(), samples=1, n=24)
    for stage in read(run).complete("attack"):
        path = stage.folder / "images.parquet"
        kept = 6 + 4 * int(stage.model_id[3])
        rewrite(rows.read(path).with_columns(correct=pl.col("image_id").str.slice(5).cast(pl.Int64) < kept), path)
    found = section(read(run))
    assert found is not None
    data = json.loads(found.html.partition('<script type="application/json">')[2].partition("</script>")[0])
    assert [view["name"] for view in data[0]["views"]] == ["net2#0", "net1#0", "net0#0", "net2#1"][:MODELS]


def test_two_runs_are_matched_by_image_and_by_epsilon(make_run, whole_run):
    run = make_run()
    for stage in read(run).complete("attack", "phantom-skin"):
        with np.load(stage.folder / "samples.npz") as file:
            stored = {name: file[name] for name in file.files}
        order = [2, 0, 3, 1]
        for name in ("clean", "image_ids", "labels"):
            stored[name] = stored[name][order]
        stored["adversarial"] = stored["adversarial"][1::2][:, order]
        stored["epsilons"] = stored["epsilons"][1::2]
        stored["logits"] = stored["logits"][[0, 2, 4, 6]][:, order]
        stored["image_ids"][3] = "another"
        np.savez(stage.folder / "samples.npz", **stored)
    seal(run)
    scene = scenes([open_tables(whole_run), open_tables(run)])[0]
    first, second = scene.views[0], scene.views[2]
    assert first.name.endswith("/run · resnet10t#0")
    assert second.name.endswith("/run · resnet10t#0")
    assert first.name != second.name
    assert scene.ids == ("test_0000", "test_0001", "test_0002", "test_0003", "another")
    assert second.places == (1, None, 0, 2, 3)
    assert second.steps == (0, None, 1, None, 2, None, 3)
    np.testing.assert_array_equal(second.image(2, 2), first.image(2, 2))
    assert second.image(1, 2) is None
    assert second.image(2, 1) is None
    assert first.image(2, 4) is None
    data = scene.to_dict()["views"][2]
    assert data["predictions"][1] == [None] * 5
    assert data["predictions"][2][1] is None


def test_a_radius_is_the_attacks_or_the_first_epsilon_that_changed_the_answer(make_run):
    run = make_run(tasks={"phantom-skin": ["a", "b"]}, models=(("net", "none"),), weak=())
    path = read(run).complete("attack")[0].folder / "images.parquet"
    number, index = pl.col("image_id").str.slice(5).cast(pl.Int64), pl.col("epsilon_index")
    correct = pl.when(number == 0).then(index < 0).when(number == 1).then(index < 3).otherwise(True)
    radius = pl.when((number == 2) & (index > 0)).then(0.0321)
    rewrite(rows.read(path).with_columns(correct=correct, radius=radius), path)
    (view,) = scenes([open_tables(run)])[0].views
    assert view.radius == (0, 0.005, 0.0321, np.inf)
    record = scenes([open_tables(run)])[0].to_dict()["views"][0]
    assert record["radius"] == [0, 0.005, 0.0321, None]
    assert record["found"] == [
        "misclassified when clean",
        "misclassified from 0.005 (1.28/255)",
        "misclassified from 0.0321 (8.19/255)",
        "not misclassified up to 0.04 (10.2/255)",
    ]


def test_subgroups_are_those_of_the_metadata(make_run):
    run = make_run(tasks={"phantom-skin": ["a", "b"]}, models=(("net", "none"),), weak=())
    file = rows.metadata_file(run, "phantom-skin")
    file.parent.mkdir()
    known = {
        "image_id": [f"test_{i:04d}" for i in (3, 1, 0)],
        "sex": ["m", "f", "f"],
        "age": ["20–39", "60–79", "20–39"],
    }
    pl.DataFrame(known).write_parquet(file)
    (scene,) = scenes([open_tables(run)])
    assert scene.to_dict()["groups"] == {"sex": ["f", "f", "", "m"], "age": ["20–39", "60–79", "", "20–39"]}
    data = embed(scene, 10**8)
    assert data is not None
    assert {len(values) for values in data["groups"].values()} == {len(data["ids"])}


def test_a_run_without_samples_has_no_viewer(make_run):
    run = make_run(samples=1)
    for file in run.glob("attack-*/stage.json"):
        unmake(file)
    assert section(read(run)) is None


def test_a_picture_is_what_it_says():
    assert base64.b64decode(photo(np.zeros((3, 2, 2))).uri.split(",")[1]).startswith(b"\x89PNG")
