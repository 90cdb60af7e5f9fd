"""The example of a plug-in: installed from its folder, it adds a task, an attack, a check, an explainer and a section to palpate."""

import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.sources import ROOT

from palpate.core.registry import registries

EXAMPLE = ROOT / "examples" / "plugin"
ADDED = {
    "task": "example-stripes",
    "attack": "example-momentum",
    "check": "example repeated images",
    "explainer": "example-gradient-times-input",
    "report section": "example-smallest-changes",
}
STUDY = """
name = "example"
seeds = [0]
epsilons = ["4/255", "16/255"]

[[tasks]]
name = "example-stripes"
size = 32

[[models]]
backbone = "test_resnet"
output_stride = 8

[training]
epochs = 1
batch_size = 8

[[attacks]]
attack = "example-momentum"
steps = 5
images = 6

[explain]
method = "example-gradient-times-input"
images = 4

[trust]
images = 6
budget = 300
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of an environment in which the example is installed, from its folder and without a network."""
    target = tmp_path_factory.mktemp("site-packages")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    done = subprocess.run(
        [*pip, "--no-deps", "--no-build-isolation", "--target", str(target), str(EXAMPLE)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return {
        **os.environ,
        "PYTHONPATH": str(target),
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "200",
    }


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with 40 images in class folders, of 20 patients."""
    root = tmp_path_factory.mktemp("data")
    generator = np.random.default_rng(0)
    for name in ("plain", "striped"):
        folder = root / "example-stripes" / name
        folder.mkdir(parents=True)
        for number in range(20):
            pixels = generator.integers(90, 130, (40, 40, 3), dtype=np.uint8)
            if name == "striped":
                pixels[:, ::4] += 100
            assert cv2.imwrite(str(folder / f"{name[0]}{number // 2}_{number % 2}.png"), pixels)
    return root


def palpate(environment: dict[str, str], *arguments: str | Path) -> str:
    done = subprocess.run(
        [Path(sys.executable).with_name("palpate"), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_doctor_names_all_five_and_their_package(environment):
    lines = palpate(environment, "doctor").splitlines()
    for name in ADDED.values():
        assert any(name in line and "palpate-example-plugin" in line for line in lines), (name, lines)


def test_nothing_of_it_without_the_package():
    named = [name for registry in registries() for name in registry]
    assert len(named) > 30
    assert not set(named) & set(ADDED.values())


def test_a_study_shows_all_five_in_its_report(environment, images, tmp_path):
    study, out = tmp_path / "study.toml", tmp_path / "run"
    study.write_text(STUDY)
    palpate(environment, "study", study, "--data", images, "--out", out)
    page = (out / "report.html").read_text(encoding="utf-8")
    for shown in (
        "Example: plain and striped squares",
        "example-momentum",
        "example repeated images",
        "example-gradient-times-input",
        "Smallest changes",
    ):
        assert shown in page, shown


def test_the_guide_shows_the_files_as_they_are():
    guide = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"^`(examples/plugin/[^`]+)`:\n\n```\w+\n(.*?)```$", guide, re.MULTILINE | re.DOTALL))
    files = [EXAMPLE / "pyproject.toml", *sorted((EXAMPLE / "src" / "palpate_example").glob("*.py"))]
    assert sorted(shown) == sorted(path.relative_to(ROOT).as_posix() for path in files)
    for path in files:
        assert shown[path.relative_to(ROOT).as_posix()] == path.read_text(encoding="utf-8"), path.name
