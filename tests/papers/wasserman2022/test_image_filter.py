"""The chest filter to the last bit, by name and in its task."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from palpate.core.registry import IMAGE_FILTERS, TASKS
from palpate.data.preprocess import Preprocess, prepare, resize


def radiograph(height: int, width: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(20, 180, (height // 8 + 1, width // 8 + 1), dtype=np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("shape", [(224, 224), (64, 64), (300, 211)])
def test_uint8_filter_is_opencvs_with_121_taps(shape: tuple[int, int]) -> None:
    image = radiograph(*shape)
    low, high = int(image.min()), int(image.max())
    spread = cv2.convertScaleAbs(image, alpha=255 / (high - low), beta=-low * 255 / (high - low))
    blurred = cv2.GaussianBlur(spread, (121, 121), sigmaX=20, sigmaY=20, borderType=cv2.BORDER_REFLECT_101)
    expected = np.clip(4 * spread.astype(int) - 4 * blurred.astype(int) + 128, 0, 255).astype(np.uint8)
    assert np.array_equal(IMAGE_FILTERS["wasserman2022"](image), expected)
    other = cv2.GaussianBlur(spread, (161, 161), sigmaX=20, sigmaY=20)
    assert not np.array_equal(blurred, other)  # so the number of taps is being tested


def test_float32_filter_is_opencvs_with_161_taps() -> None:
    image = radiograph(224, 224)
    low, high = int(image.min()), int(image.max())
    spread = ((image.astype(np.float64) - low) * 255 / (high - low)).astype(np.float32)
    blurred = cv2.GaussianBlur(spread, (161, 161), sigmaX=20, sigmaY=20)
    exact = 4.0 * spread - 4.0 * blurred + 128
    found = IMAGE_FILTERS["wasserman2022-float32"](image)
    assert found.dtype == np.uint8
    assert np.abs(found - np.clip(exact, 0, 255)).max() <= 0.5 + 1e-3
    assert not np.array_equal(found, IMAGE_FILTERS["wasserman2022"](image))


def test_a_constant_image_becomes_mid_grey() -> None:
    for name in ("wasserman2022", "wasserman2022-float32"):
        assert (IMAGE_FILTERS[name](np.full((50, 60), 77, np.uint8)) == 128).all()


def test_the_task_filters_after_the_resize_and_is_else_the_one_of_core() -> None:
    task, core = TASKS["chestxray14-wasserman2022"], TASKS["chestxray14"]
    assert task.preprocess == Preprocess(grey=True, filter="wasserman2022", filter_at="after")
    assert core.preprocess.filter is None
    assert (task.reader, task.classes, task.folder) == (core.reader, core.classes, core.folder)
    image = radiograph(500, 400)
    assert np.array_equal(
        prepare(image, 64, task.preprocess)[..., 0], IMAGE_FILTERS["wasserman2022"](resize(image, 64))
    )


def test_the_plug_in_imports_nothing_heavy() -> None:
    import subprocess
    import sys

    code = "import sys, palpate.papers.wasserman2022; print([m for m in ('torch', 'cv2', 'numpy', 'polars') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parent)
    assert done.stdout.strip() == "[]", done.stderr
