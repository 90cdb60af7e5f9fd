"""A study of a network through which no gradient reaches the images: attacked without gradients, and mapped from behind what hides them."""

import sys

import polars as pl
from tests.study.helpers import SPEC, quiet, stages_of

from palpate.study.run import run
from palpate.study.spec import Study

MODULE = """
import torch
from torch import nn


class Stored(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc = nn.Conv2d(3, 8, 3, 2, 1), nn.Linear(8, 2)

    def forward(self, x):
        return self.fc(self.conv((x * 255).byte() / 255).relu().mean((2, 3)))


def stored():
    return Stored()
"""


def test_a_network_without_a_gradient_is_attacked_by_square(tmp_path, monkeypatch):
    (tmp_path / "stored_networks.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "stored_networks", raising=False)
    task = {"name": "phantom-chest", "size": 32, "train_images": 8, "val_images": 4, "test_images": 4}
    model = {"backbone": "stored_networks:stored", "normalization": {"value_range": [0, 1]}}
    asked = SPEC | {
        "tasks": [task],
        "models": [model | {"training": {"name": "kept", "epochs": 0}}],
        "attacks": [{"attack": "square", "queries": 5, "images": 3}],
        "explain": {"images": 2},
        "trust": {"images": 3, "budget": 20},
    }
    folder = run(Study.read(asked, "study"), tmp_path / "run", device="cpu", console=quiet())
    (attacked,) = stages_of(folder, "attack")
    rows = pl.read_parquet(folder / attacked / "images.parquet")
    assert set(rows["status"]) == {"ok"}
    (explained,) = stages_of(folder, "explain")
    assert (folder / explained / "stage.json").is_file()
