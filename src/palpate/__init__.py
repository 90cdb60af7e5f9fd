"""palpate: measures how robust a medical image classifier is, and whether the measurement can be trusted.

The public names are imported on first use, so that `import palpate` and `palpate --help` stay light.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Torch then asks for large pages for large arrays on the CPU; it looks at this when it makes its first one.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

_PUBLIC = {
    "load": "palpate.data.dataset",
    "Dataset": "palpate.data.dataset",
    "build": "palpate.models.build",
    "wrap": "palpate.models.wrap",
    "Classifier": "palpate.models.classifier",
    "load_weights": "palpate.models.weights",
    "fit": "palpate.training.loop",
    "TrainSpec": "palpate.training.spec",
    "sweep": "palpate.attacks.api",
    "MinimumNorm": "palpate.attacks.minimum_norm",
    "MaxLoss": "palpate.attacks.max_loss",
    "FoolboxPGD": "palpate.attacks.foolbox_pgd",
    "PGD": "palpate.attacks.pgd",
    "APGD": "palpate.attacks.apgd",
    "Square": "palpate.attacks.square",
    "corrupt": "palpate.corruptions.api",
    "trust": "palpate.verdicts.api",
    "explain": "palpate.explainers.api",
    "compare": "palpate.statistics.paired",
    "run": "palpate.study.run",
    "read_study": "palpate.study.spec",
}

__all__ = ["__version__", *_PUBLIC]  # pyright: ignore[reportUnsupportedDunderAll]

if TYPE_CHECKING:
    from palpate.attacks.apgd import APGD
    from palpate.attacks.api import sweep
    from palpate.attacks.foolbox_pgd import FoolboxPGD
    from palpate.attacks.max_loss import MaxLoss
    from palpate.attacks.minimum_norm import MinimumNorm
    from palpate.attacks.pgd import PGD
    from palpate.attacks.square import Square
    from palpate.corruptions.api import corrupt
    from palpate.data.dataset import Dataset, load
    from palpate.explainers.api import explain
    from palpate.models.build import build
    from palpate.models.classifier import Classifier
    from palpate.models.weights import load_weights
    from palpate.models.wrap import wrap
    from palpate.statistics.paired import compare
    from palpate.study.run import run
    from palpate.study.spec import read_study
    from palpate.training.loop import fit
    from palpate.training.spec import TrainSpec
    from palpate.verdicts.api import trust


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'palpate' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
