"""What all tests share: one thread per worker, no hub, and where real images lie, if anywhere."""

import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory):
    """Decoded stores go to a folder of the test run's own."""
    before = os.environ.get("PALPATE_CACHE")
    os.environ["PALPATE_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    os.environ.pop("PALPATE_CACHE") if before is None else os.environ.__setitem__("PALPATE_CACHE", before)


@pytest.fixture(scope="session")
def real_images() -> Path:
    """The folder of real images: PALPATE_DATA, or `shared/data` beside the checkout; skips when neither is there."""
    found = Path(os.environ.get("PALPATE_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not (found / "ham10000").is_dir():
        pytest.skip(f"no real images: {found} is absent; set PALPATE_DATA to run these tests")
    return found
