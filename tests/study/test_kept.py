"""Work that was stopped goes on from its last epoch, block or check, and ends as if there had been no break."""

import io

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from tests.study.helpers import SPEC, quiet, stages_of, tiny

from palpate.core import rows
from palpate.core.run_folder import RunFolder
from palpate.study.engines.engine import Stopped
from palpate.study.run import run
from palpate.study.stages import kept as module
from palpate.study.stages.context import Context
from palpate.study.stages.kept import Kept, KeptState

FOUR = {**SPEC["training"], "epochs": 4, "schedule": "one-cycle", "augment": "flips"}


@pytest.fixture
def always(monkeypatch):
    """Every part is kept, however little work it took."""
    monkeypatch.setattr(module, "EVERY", -1.0)
    monkeypatch.setattr(module, "SHARE", 0)


def test_values_come_back_as_they_were(tmp_path):
    kept = Kept(tmp_path / "stage" / "inputs")
    image = torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last)
    values = {
        "a": (1, 2.5, float("inf"), None, True),
        3: [image, torch.tensor([1, 2], dtype=torch.uint8)],
        "nan": np.float64(0.1),
    }
    with kept.put("part-1", values) as folder:
        (folder / "other.txt").write_text("x")
    place, found = kept.get("part-1")
    assert (place / "other.txt").read_text() == "x"
    assert found["a"] == values["a"]
    assert type(found["a"]) is tuple
    assert torch.equal(found[3][0], image)
    assert found[3][0].stride() == image.stride()
    assert torch.equal(found[3][1], values[3][1])
    assert found["nan"] == 0.1
    with pytest.raises(TypeError, match="set cannot be kept"), kept.put("part-2", {1, 2}):
        pass
    assert kept.get("part-2") is None


@pytest.mark.parametrize("name", ["kept.json", "values.pt"])
def test_a_damaged_part_is_dropped_and_the_one_before_taken(tmp_path, name):
    kept = Kept(tmp_path / "stage" / "inputs")
    for done in (1, 2):
        with kept.put(f"epoch-{done}", {"done": torch.tensor(done)}):
            pass
    file = kept.path / "epoch-2" / name
    file.write_bytes(file.read_bytes()[:-3] + b"abc")
    assert KeptState(kept, "epoch").load()["done"] == 1
    assert kept.names("epoch") == ["epoch-1"]


def test_only_what_is_in_no_block_is_made(tmp_path, always):
    kept, seen = Kept(tmp_path / "stage" / "inputs"), []

    def pieces(gap, carry):
        seen.append((gap, dict(carry)))
        for place in range(gap.start, gap.stop, 2):
            carry["seen"] = place
            yield slice(place, min(place + 2, gap.stop)), place

    def write(made, folder):
        (folder / "made.txt").write_text(" ".join(map(str, made)))

    kept.make_blocks("image", 4, pieces, write)
    kept.make_blocks("image", 10, pieces, write, first=8, after=4)
    kept.make_blocks("image", 9, pieces, write, first=3)  # of another share of the images: what overlaps is made again
    for name in ("image-7", "image-10"):
        (kept.path / name / "made.txt").write_text("damaged")
    blocks = kept.make_blocks("image", 12, pieces, write)
    assert seen == [
        (slice(0, 4), {}),
        (slice(8, 10), {"seen": 2}),
        (slice(3, 8), {}),
        (slice(4, 7), {"seen": 2}),
        (slice(8, 12), {"seen": 7}),
    ]
    assert [int(folder.name.removeprefix("image-")) for folder in blocks] == [2, 4, 6, 7, 8, 10, 12]
    assert [(folder / "made.txt").read_text() for folder in blocks] == ["0", "2", "4", "6", "7", "8", "10"]
    assert kept.make_blocks("image", 12, pieces, write) == blocks


def stopping(monkeypatch, after: int):
    """Stop the run right after so many parts were kept."""
    original, count = Kept.put, 0

    def put(self, name, values=None):
        nonlocal count
        count += 1
        if count > after:
            raise Stopped(143)
        return original(self, name, values)

    monkeypatch.setattr(Kept, "put", put)


def contents(folder, kind: str) -> list:
    """What a reader sees of the stages of a kind."""
    found = []
    for stage in stages_of(folder, kind):
        for file in sorted((folder / stage).iterdir()):
            if file.suffix == ".safetensors":
                found.append({name: tensor.numpy().tobytes() for name, tensor in load_file(file).items()})
            elif file.name == "images.parquet":
                found.append(rows.read(file).write_json())
            elif file.suffix == ".parquet":
                found.append(pl.read_parquet(file).write_json())
            elif file.suffix == ".npz":
                with np.load(file, allow_pickle=False) as arrays:
                    found.append({name: arrays[name].tobytes() for name in arrays.files})
            elif file.name == "verdicts.json":
                found.append(file.read_text())
    return found


def test_a_run_stopped_again_and_again_ends_as_one_that_was_not(tmp_path, monkeypatch, always):
    study = tiny(
        models=[SPEC["models"][0] | {"backbone": "test_resnet"}],
        training=FOUR,
        attacks=[
            {"attack": "foolbox-pgd", "steps": 3, "images": 20, "batch_size": 5},
            {"attack": "fast", "images": 12},
        ],
        corruptions=["gaussian-noise"],
    )
    whole = run(study, tmp_path / "whole", device="cpu", console=quiet())
    folder, stops = tmp_path / "stopped", 0
    while True:
        with monkeypatch.context() as patch:
            stopping(patch, 6)
            try:
                run(study, folder, device="cpu", console=quiet())
                break
            except Stopped:
                stops += 1
                assert stops < 40
    assert stops >= 3
    for kind in ("train", "predict", "attack", "corrupt", "explain", "trust"):
        assert contents(folder, kind) == contents(whole, kind), kind
    assert not list((folder / ".kept").glob("*"))


def test_parts_made_from_other_weights_are_not_taken(finished, monkeypatch):
    study, opened = tiny(), RunFolder(finished)
    context = Context(study, opened, None, torch.device("cpu"))
    stage = next(stage for stage in opened.study().stages if stage.kind == "attack")
    before, made = context.kept(stage).path, opened.stage(stage.parents[0].id)
    assert before == context.kept(stage).path
    files = {name: file.model_copy(update={"sha256": "0" * 64}) for name, file in made.files.items()}
    other = made.model_copy(update={"files": files})
    monkeypatch.setattr(RunFolder, "stage", lambda self, stage_id: other)
    assert context.kept(stage).path != before


def test_progress_without_a_terminal_is_a_line_each_however_long(tmp_path):
    from rich.console import Console

    console = Console(file=io.StringIO(), width=80)
    run(tiny(models=SPEC["models"][:1], trust={"budget": 0}), tmp_path / "run", device="cpu", console=console)
    lines = [line for line in console.file.getvalue().splitlines() if ": maps by" not in line]
    assert [line.split()[:4] for line in lines] == [["done", str(place), "of", "6"] for place in range(1, 7)]
    assert "validation accuracy" in lines[0]
    assert "median radius" in lines[2]
    assert "left for the study" in lines[0]
    assert "left" not in lines[-1]
