"""The sound files that benchmarks/fuzz.py damages: a small finished run, a study, tables, images and weights."""

import io
from pathlib import Path

import numpy as np
import polars as pl
import torch
from PIL import Image
from rich.console import Console

from palpate.models.build import build
from palpate.models.weights import save_weights
from palpate.study.run import run
from palpate.study.spec import Study

TOML = """name = "first"
title = "a study"
seeds = [0, 1]
epsilons = ["1/255", 0.01]
[[tasks]]
name = "phantom-skin"
size = 32
train_images = 8
val_images = 4
test_images = 4
training = { epochs = 1, batch_size = 8, optimizer = "adamw", learning_rate = 1e-3 }
[[models]]
backbone = "test_resnet"
attention = "full"
output_stride = 8
[[attacks]]
attack = "standard"
images = 4
[explain]
images = 2
[trust]
budget = 100
"""


class Workshop:
    """The sound files that are damaged, made once in a folder, and `outside`, which nobody may touch."""

    def __init__(self, folder: Path):
        self.folder, self.outside, self.run = folder, folder / "outside", folder / "sound"
        self.outside.mkdir()
        (self.outside / "mine.txt").write_text("years of work")
        (self.outside / "stage.json").write_text("{}")
        study = {
            "name": "sound", "epsilons": ["1/255", "8/255"], "training": {"name": "t", "epochs": 1},
            "tasks": [{"name": "phantom-skin", "size": 32, "train_images": 16, "val_images": 8, "test_images": 8}],
            "models": [{"backbone": "test_resnet", "output_stride": 8}], "attacks": [{"attack": "fast", "images": 8}],
            "explain": {"images": 2}, "trust": {"images": 4, "budget": 50},
        }  # fmt: skip
        run(Study.read(study, "fuzz"), self.run, device="cpu", console=Console(quiet=True))
        pixels = np.random.default_rng(0).integers(0, 255, (24, 24, 3), np.uint8)
        self.images = {}
        for suffix in ("png", "jpg", "tif", "bmp", "webp"):
            stream = io.BytesIO()
            Image.fromarray(pixels).save(stream, {"jpg": "jpeg", "tif": "tiff"}.get(suffix, suffix))
            self.images[suffix] = stream.getvalue()
        (folder / "images").mkdir()
        for number in range(6):
            (folder / "images" / f"{number}.png").write_bytes(self.images["png"])
        table = pl.DataFrame(
            {
                "path": [f"{n}.png" for n in range(6)],
                "label": ["a", "b"] * 3,
                "group": list("xxyyzz"),
                "split": ["test"] * 6,
            }
        )
        self.tables = {"csv": table.write_csv().encode(), "tsv": table.write_csv(separator="\t").encode()}
        stream = io.BytesIO()
        table.write_parquet(stream)
        self.tables["parquet"] = stream.getvalue()
        stream = io.BytesIO()
        np.savez_compressed(
            stream, images=np.stack([pixels] * 6), labels=np.arange(6) % 2, group=np.array(list("xxyyzz"))
        )
        self.tables["npz"] = stream.getvalue()
        with torch.random.fork_rng():
            model = build("test_resnet", num_classes=2, size=32, output_stride=8)
        save_weights(model, folder / "w.safetensors")
        stream = io.BytesIO()
        torch.save({"state_dict": model.state_dict()}, stream)
        self.weights = {
            "safetensors": (folder / "w.safetensors").read_bytes(),
            "json": (folder / "w.json").read_bytes(),
            "pt": stream.getvalue(),
        }
        self.state = model.state_dict()
        self.rows = next(self.run.glob("attack-*/images.parquet")).read_bytes()
