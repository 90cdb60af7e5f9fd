"""palpate: press on a medical image classifier with growing perturbations and see where it gives, and whether to believe it.

The public names are imported on first use, so that `import palpate` and `palpate --help` stay light.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "build": "palpate.models.classifier",
    "wrap": "palpate.models.classifier",
    "Classifier": "palpate.models.classifier",
    "load": "palpate.data.dataset",
    "fit": "palpate.training",
    "TrainSpec": "palpate.config",
    "sweep": "palpate.attacks.descend",
    "trust": "palpate.verdicts.checking",
    "grad_cam": "palpate.explanation",
    "compare": "palpate.statistics.paired",
    "run": "palpate.study.run",
}

__all__ = ["__version__", *_PUBLIC]  # pyright: ignore[reportUnsupportedDunderAll]

if TYPE_CHECKING:
    from palpate.attacks.descend import sweep
    from palpate.config import TrainSpec
    from palpate.data.dataset import load
    from palpate.explanation import grad_cam
    from palpate.models.classifier import Classifier, build, wrap
    from palpate.statistics.paired import compare
    from palpate.study.run import run
    from palpate.training import fit
    from palpate.verdicts.checking import trust


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'palpate' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
