"""The tiny study on synthetic images that the tests of this folder run."""

import io
from pathlib import Path
from typing import Any

from rich.console import Console

from palpate.core.run_folder import RunFolder
from palpate.study.spec import Study

SPEC: dict[str, Any] = {
    "name": "tiny",
    "epsilons": ["1/255", "4/255", "16/255"],
    "tasks": [{"name": "phantom-skin", "size": 32, "train_images": 48, "val_images": 16, "test_images": 24}],
    "models": [
        {"backbone": "test_resnet", "output_stride": 8},
        {"backbone": "test_resnet", "output_stride": 8, "attention": "full"},
    ],
    "training": {"name": "t", "optimizer": "adamw", "learning_rate": 0.003, "adam_epsilon": 1e-8, "epochs": 2},
    "attacks": [
        {"attack": "foolbox-pgd", "steps": 5, "images": 12, "batch_size": 5},
        {"attack": "fast", "images": 12},
    ],
    "explain": {"images": 6},
    "trust": {"images": 8, "budget": 600},
}


def tiny(**changes: Any) -> Study:
    """The tiny study with some of its settings replaced."""
    return Study.read(SPEC | changes, "the tiny study")


def quiet() -> Console:
    """A console that shows nothing and keeps what is printed."""
    return Console(record=True, width=200, file=io.StringIO())


def stages_of(folder: Path, kind: str) -> list[str]:
    """The ids of the run's stages of one kind, in the study's order."""
    return [stage.id for stage in RunFolder(folder).study().stages if stage.kind == kind]
