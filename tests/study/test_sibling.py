"""Another model of the task serves one check of a trust stage, and nothing else waits for it."""

import json
import shutil

import pytest
from tests.study.helpers import quiet, tiny

from palpate.core.run_folder import RunFolder
from palpate.study.engines.work import MAKERS
from palpate.study.run import StudyIncomplete, run


def test_where_the_sibling_failed_only_the_check_of_transfer_is_not_run(finished, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    stages = RunFolder(folder).study().stages
    examined = next(stage for stage in stages if stage.kind == "trust" and stage.parent("sibling"))
    sibling = examined.parent("sibling").id
    for stage in stages:
        if stage.id in (examined.id, sibling) or (stage.model_id != examined.model_id and stage.kind != "train"):
            shutil.rmtree(folder / stage.id)
    original = MAKERS["train"]

    def sometimes(stage, context, path, facts):
        if stage.id == sibling:
            raise RuntimeError("out of memory")
        original(stage, context, path, facts)

    monkeypatch.setitem(MAKERS, "train", sometimes)
    with pytest.raises(StudyIncomplete, match="out of memory"):
        run(tiny(), folder, device="cpu", console=quiet())
    made = RunFolder(folder)
    assert made.complete(examined.id)
    assert not made.complete(sibling)
    verdicts = {each["name"]: each for each in json.loads((folder / examined.id / "verdicts.json").read_text())}
    before = {each["name"]: each for each in json.loads((finished / examined.id / "verdicts.json").read_text())}
    assert verdicts["transfer"]["status"] == "not run"
    assert "no sibling" in verdicts["transfer"]["advice"]
    others = [name for name, each in before.items() if each["status"] != "not run" and name != "transfer"]
    assert all(verdicts[name]["status"] != "not run" for name in others)
