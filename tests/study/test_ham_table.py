"""HAM10000 read as a plain table gives the rows of the built-in task, and tables of subgroups. Skipped where the images are absent."""

import json
from pathlib import Path

import polars as pl
import pytest
from tests.study.helpers import SPEC, quiet, stages_of

from palpate.report.page.page import write_report
from palpate.study.run import run
from palpate.study.spec import Study

LESIONS = 160


@pytest.fixture
def some_lesions(real_images: Path, tmp_path: Path) -> Path:
    """A folder as the publisher's, with the images of a few lesions of each diagnosis."""
    real = real_images / "ham10000"
    table = pl.read_csv(real / "HAM10000_metadata.csv", infer_schema=False)
    rank = pl.col("lesion_id").rank("dense").over("dx")
    table = table.filter(rank <= LESIONS // 7)
    root = tmp_path / "ham10000"
    root.mkdir()
    table.write_csv(root / "HAM10000_metadata.csv")
    (root / "images").mkdir()
    for image_id in table["image_id"]:
        (found,) = real.glob(f"HAM10000_images_part_*/{image_id}.jpg")
        (root / "images" / found.name).symlink_to(found)
    return root


def test_a_plain_table_gives_the_rows_of_the_built_in_task(some_lesions: Path, tmp_path: Path) -> None:
    short = {
        "models": [{"backbone": "test_resnet", "output_stride": 8}],
        "attacks": [{"attack": "fast", "images": 40}],
        "corruptions": [{"corruption": "brightness-down", "severities": [0.2, 0.6], "images": 30}],
        "explain": {"images": 1},
        "trust": {"images": 2, "budget": 10},
    }
    plain = {
        "name": "ham",
        "table": str(some_lesions / "HAM10000_metadata.csv"),
        "columns": {"path": "image_id", "label": "dx", "group": "lesion_id"},
        "finding": "skin lesion",
        "disease": ["akiec", "bcc", "mel"],
        "subgroups": ["sex", "age", "localization"],
    }
    folders = []
    built_in = {"name": "ham10000", "subgroups": plain["subgroups"], "disease": plain["disease"]}
    for task in (built_in, plain):
        asked = Study.read(SPEC | short | {"tasks": [task | {"size": 32}]}, "study")
        folders.append(run(asked, tmp_path / f"run-{task['name']}", tmp_path, "cpu", quiet()))
        write_report(folders[-1])
    for kind in ("predict", "attack"):
        built_in, table = (
            pl.read_parquet(folder / stages_of(folder, kind)[0] / "images.parquet").drop("task") for folder in folders
        )
        assert built_in.equals(table)
    of_both = [json.loads((folder / "results.json").read_text())["tasks"] for folder in folders]
    built_in, found = (
        pl.DataFrame(tasks[name]["subgroups"]) for tasks, name in zip(of_both, ("ham10000", "ham"), strict=True)
    )
    assert built_in.drop("task").equals(found.drop("task"))
    assert set(found["column"]) == {"sex", "age", "localization"}
    assert set(found["error"]) == {"missed disease", "false alarm"}
    darker = found.filter(attack_id="brightness-down", column="sex")
    assert darker["epsilon"].unique().sort().to_list() == [0, 0.2, 0.6]
    assert darker.filter(epsilon=0.6)["n"].sum() == 30
    clean = found.filter(attack_id="none", column="sex")
    rows = pl.read_parquet(folders[1] / stages_of(folders[1], "predict")[0] / "images.parquet").filter(split="test")
    assert clean["n"].sum() == len(rows)
    assert found.filter(pl.col("n") >= 10)["rate"].null_count() == 0
    assert "Subgroups of the images" in (folders[1] / "report.html").read_text()
