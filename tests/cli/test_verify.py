"""`palpate verify` and `palpate status --json`: every kind of damage is named, and repaired by --repair and the study."""

import json
import os
import shutil
from pathlib import Path

import polars
import pytest
from tests.study.helpers import quiet, tiny
from typer.testing import CliRunner

from palpate.cli.main import application
from palpate.core.errors import InputError
from palpate.core.run_folder import RunFolder
from palpate.report.stages import open_tables
from palpate.study.run import run as run_study

STUDY = tiny(models=[{"backbone": "test_resnet", "output_stride": 8}], attacks=[{"attack": "fast", "images": 8}])


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A small finished run; tests must not change it."""
    return run_study(STUDY, tmp_path_factory.mktemp("verify") / "tiny", device="cpu", console=quiet())


@pytest.fixture
def run(finished, tmp_path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def _call(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(application(), list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit | InputError), result.exception
    return result.exit_code, result.stdout


def _look(folder: Path) -> dict[Path, tuple]:
    return {file: (file.stat().st_mtime_ns, file.is_file() and file.read_bytes()) for file in folder.rglob("*")}


def test_a_whole_run_is_whole_and_reading_it_writes_nothing(run):
    os.chmod(run, 0o500)
    before = _look(run.parent)
    assert _call("verify", str(run)) == (0, f"{run}: 5 of 5 stage outputs are complete and as they were written\n")
    assert json.loads(_call("verify", str(run), "--json")[1])["whole"] is True
    assert _call("status", str(run))[0] == 0
    status = json.loads(_call("status", str(run), "--json")[1])
    assert (status["study"], status["complete"]) == ("tiny", 5)
    assert {stage["state"] for stage in status["stages"]} == {"complete"}
    assert _look(run.parent) == before
    os.chmod(run, 0o700)


@pytest.mark.parametrize(
    "name", ["weights.safetensors", "images.parquet", "verdicts.json", "stage.json", "report.html", "results.json"]
)
def test_one_bit_is_named_and_repaired(run, name):
    file = next(path for path in sorted(run.rglob(name)))
    whole = bytearray(file.read_bytes())
    whole[len(whole) // 2] ^= 16
    file.write_bytes(whole)
    status, out = _call("verify", str(run))
    assert status == 1
    assert str(file) in out
    assert _call("verify", str(run), "--repair")[0] == 0
    assert _call("verify", str(run))[0] == 0


def test_a_lost_study_is_written_again_from_the_stage_outputs(run):
    file = run / "study.json"
    before = json.loads(file.read_text())
    for damage in (file.unlink, lambda: file.write_text("{"), lambda: file.write_text("[1]")):
        damage()
        status, out = _call("status", str(run))
        assert status != 0 or "stages complete" not in out
        assert _call("verify", str(run))[0] == 1
        assert _call("verify", str(run), "--repair")[0] == 0
        again = json.loads(file.read_text())
        assert all(again[key] == before[key] for key in before.keys() - {"created", "checksum"})


def test_status_says_what_is_wrong(run):
    stages = {stage.kind: stage for stage in RunFolder(run).study().stages}
    next((run / stages["train"].id).glob("*.safetensors")).write_bytes(b"short")
    shutil.rmtree(run / stages["trust"].id)
    RunFolder(run).record_failure(stages["trust"], "bad [/red] tag", "")
    found = {stage["kind"]: stage for stage in json.loads(_call("status", str(run), "--json")[1])["stages"]}
    assert found["train"]["state"] == "damaged"
    assert "has 5 bytes" in found["train"]["error"]
    assert (found["trust"]["state"], found["trust"]["error"]) == ("failed", "bad [/red] tag")


def test_changed_subgroup_columns_are_named_not_shown_and_written_again_by_the_study(run):
    file = run / "metadata" / "phantom-skin.parquet"
    whole = file.read_bytes()
    polars.DataFrame({"image_id": ["a"], "sex": ["female"]}).write_parquet(file)
    code, text = _call("verify", str(run))
    assert code == 1
    assert f"{file}: was changed after it was written; run the study again" in text
    assert open_tables(run).metadata("phantom-skin").is_empty()
    run_study(STUDY, run, device="cpu", console=quiet())
    assert file.read_bytes() == whole
    assert _call("verify", str(run))[0] == 0
    file.unlink()
    assert f"{file}: is missing" in _call("verify", str(run))[1]
