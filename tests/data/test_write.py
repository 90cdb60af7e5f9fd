"""Adversarial images in the unit of their files: the radius of a linear model in closed form, and files that still fool when they are read again."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.data.test_dicom import ramp, write
from torch import nn

import palpate
from palpate.core.epsilon import Scale, parse_epsilon
from palpate.core.errors import InputError
from palpate.data.dataset import Dataset

SIDE = 16
MARGIN = 24.0  # HU by which every pixel must move before the linear model changes its answer


def ct(root: Path, kind: str = "MONOCHROME2") -> Path:
    """Four 12-bit images in Hounsfield units, in two classes; noise round 40 HU above and below a ramp."""
    rng = np.random.default_rng(0)
    tags = {"RescaleSlope": 1, "RescaleIntercept": -1024, "RescaleType": "HU", "PhotometricInterpretation": kind}
    for place in range(4):
        pixels = ramp(1000, 1200) + rng.integers(-40, 41, (SIDE, SIDE))
        write(root / "ab"[place % 2] / f"{place}.dcm", pixels.astype(np.uint16), PatientID=f"P{place}", **tags)
    return root


def linear(dataset: Dataset) -> nn.Module:
    """logit = Σ ±HU / N − c, with c so that the image nearest to it is fooled by exactly `MARGIN` HU per pixel."""
    low, high = dataset.value_range
    signs = torch.from_numpy(np.random.default_rng(1).choice([-1.0, 1.0], SIDE * SIDE)).double()
    values = dataset.test.images[:].double().flatten(1) * (high - low) + low  # HU
    scores = values @ signs / SIDE**2
    network = nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 1)).double()
    with torch.no_grad():
        network[1].weight.copy_((signs / SIDE**2 * (high - low))[None])
        network[1].bias.fill_(float(low * signs.sum() / SIDE**2 - scores.min() + MARGIN))
    return Sizes(network).eval()


class Sizes(nn.Module):
    """Images in any precision to a logit in float64."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network(images.double())


@pytest.mark.parametrize("kind", ["MONOCHROME2", "MONOCHROME1"])
def test_a_radius_in_hounsfield_units_is_the_closed_form_and_its_dicom_file_fools(tmp_path: Path, kind: str) -> None:
    dataset = Dataset.from_folder(ct(tmp_path / "ct", kind), size=SIDE, test_only=True)
    model, images = linear(dataset), dataset.test.images
    labels = np.ones(4, np.int64)  # all above c
    assert (dataset.scale, dataset.levels) == (Scale(-1024, 3071, "HU", 4096), 4096)
    free = palpate.sweep(model, images, labels, ["4 HU", "100 HU"])
    exact = model(images[:])[:, 0] / 4095  # every pixel moves by the radius, so the logit, in HU, falls by it
    assert exact.min().item() * 4095 == pytest.approx(MARGIN)
    torch.testing.assert_close(free.radius, exact, rtol=0.01, atol=0)
    assert (free.robust_accuracy("23 HU"), free.robust_accuracy("100 HU")) == (1.0, 0.0)
    assert "(100 HU)" in str(free)
    held = palpate.sweep(model, images, labels, ["100 HU"], {"attack": "standard", "levels": 4096})
    assert ((held.radius * 4095).round() - (exact * 4095).ceil()).abs().max() <= 1
    assert held.adversarials is not None
    again = dataset.write(held.adversarials, tmp_path / "out")
    assert torch.allclose(again[:], held.adversarials, atol=1e-6)
    assert (model(again[:]) < 0).all()
    table = Dataset.from_table(tmp_path / "out" / "images.csv", size=SIDE, test_only=True)
    assert table.scale == dataset.scale
    assert (model(table.test.images[:]) < 0).all()


def test_the_header_is_kept_and_the_identifier_is_new(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    dataset = Dataset.from_folder(ct(tmp_path / "ct"), size=SIDE, test_only=True)
    dataset.write(dataset.test.images[:2], tmp_path / "out")
    for place in range(2):
        before, after = (
            pydicom.dcmread(dataset.test.files[place]),
            pydicom.dcmread(tmp_path / "out" / f"0000{place}.dcm"),
        )
        assert np.array_equal(before.pixel_array, after.pixel_array)
        assert (before.PatientID, before.RescaleIntercept) == (after.PatientID, after.RescaleIntercept)
        assert before.SOPInstanceUID != after.SOPInstanceUID
        assert "not for diagnosis" in after.DerivationDescription


@pytest.mark.parametrize(
    ("kind", "top", "value_range"),
    [(np.uint8, 256, None), (np.uint16, 4096, (0, 4095)), (np.uint16, 65536, None), (np.float32, 0, None)],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_png_files_read_as_they_were_written(tmp_path: Path, kind, top: int, value_range, channels: int) -> None:
    rng = np.random.default_rng(2)
    shape = (6, 8, 8, channels)
    pixels = rng.integers(0, top, shape, kind) if top else rng.random(shape, np.float32)
    names = ["b", "a"] * 3
    dataset = Dataset.from_arrays(pixels, names, test_only=True, value_range=value_range)
    again = dataset.write(1 - dataset.test.images[:], tmp_path / "out")
    assert torch.allclose(again[:], 1 - dataset.test.images[:], atol=1e-6 if top else 1 / 65535)
    assert sorted(path.name for path in (tmp_path / "out").iterdir())[:2] == ["00000.png", "00001.png"]
    stated = (0, 4095) if top == 4096 else None
    table = Dataset.from_table(tmp_path / "out" / "images.csv", size=8, test_only=True, value_range=stated)
    assert (table.classes, len(table.test), table.channels) == (dataset.classes, 6, channels)


def test_grey_served_as_colour_is_written_grey_and_what_became_coloured_is_refused(tmp_path: Path) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (4, 8, 8), np.uint8)
    dataset = Dataset.from_arrays(pixels, ["a", "b"] * 2, test_only=True, channels=3)
    images = dataset.test.images[:]
    assert torch.equal(dataset.write(images, tmp_path / "grey")[:], images)
    images[1, 0, 0, 0] += 0.5
    with pytest.raises(
        InputError, match=r"has one channel in its file and differs between channels; attack with channels"
    ):
        dataset.write(images.clamp(0, 1), tmp_path / "colour")


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (4, 8, 8), np.uint8)
    dataset = Dataset.from_arrays(pixels, ["a", "b"] * 2, test_only=True)
    for images in (torch.zeros(5, 1, 8, 8), torch.zeros(2, 3, 8, 8), torch.zeros(0, 1, 8, 8), torch.zeros(1, 8, 8)):
        with pytest.raises(InputError, match=r"images must be 1 to 4 of \(C, H, W\) = \(1, 8, 8\), given"):
            dataset.write(images, tmp_path / "out")
    dataset.write(dataset.test.images[:1], tmp_path / "out")
    with pytest.raises(InputError, match="holds files already; name a new folder"):
        dataset.write(dataset.test.images[:1], tmp_path / "out")


def test_an_epsilon_in_a_unit_needs_images_that_know_it(tmp_path: Path) -> None:
    hounsfield = Scale(-1024, 3071, "HU", 4096)
    assert parse_epsilon("8 hu", scale=hounsfield) == parse_epsilon("8HU", scale=hounsfield) == 8 / 4095
    with pytest.raises(InputError, match=r"epsilon is in HU and the unit of these images is not known; write a share"):
        palpate.sweep(nn.Flatten(), torch.rand(2, 1, 1, 2), [0, 1], ["8 HU"])
    with pytest.raises(InputError, match=r'epsilon is in mm and the unit of these images is HU; write "8 HU"'):
        parse_epsilon("8 mm", scale=hounsfield)
    with pytest.raises(InputError, match=r"epsilon must lie in \[0, 1\]"):
        parse_epsilon("5000 HU", scale=hounsfield)
    values = np.random.default_rng(4).random((4, 8, 8), np.float32) * 2000 - 1000
    dataset = Dataset.from_arrays(values, ["a", "b"] * 2, test_only=True, value_range=(-1024, 1024), unit="HU")
    assert dataset.epsilon("8 HU") == 8 / 2048
