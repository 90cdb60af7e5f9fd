"""Every registered corruption: identity, growth, repeatability, depth, channels, and the published forms and levels."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from torch import Tensor
from torchvision.transforms import functional as V1

from palpate.core.errors import InputError
from palpate.core.registry import CORRUPTIONS
from palpate.corruptions.corruption import apply, check_fits, find_corruption, severity_grid
from palpate.data.synthetic.generate import generate

SIDE = 64
KIND = {"general": "skin", "dermatoscopy": "skin", "x-ray": "chest", "fundus": "fundus"}
NAMES = sorted(name for name, value in CORRUPTIONS.items() if value.function.__module__.startswith("palpate."))


@pytest.fixture(scope="module")
def phantoms() -> dict[str, Tensor]:
    """Two images (2, C, 64, 64) of each kind; chests have one channel."""
    found = {}
    for kind in ("skin", "chest", "fundus"):
        pixels = torch.from_numpy(generate(kind, 2, SIDE, 0).images).permute(0, 3, 1, 2)
        found[kind] = (pixels[:, :1] if kind == "chest" else pixels).float() / 255
    return found


def images_for(name: str, phantoms: dict[str, Tensor]) -> Tensor:
    return phantoms[KIND[CORRUPTIONS[name].modality]]


def test_there_are_corruptions_of_four_modalities():
    kinds = {CORRUPTIONS[name].modality for name in NAMES}
    assert len(NAMES) >= 25
    assert kinds == {"general", "dermatoscopy", "x-ray", "fundus"}


@pytest.mark.parametrize("name", NAMES)
def test_each_states_its_unit_and_source(name):
    found = CORRUPTIONS[name]
    assert found.unit
    assert found.source
    assert found.function.__doc__
    assert found.largest > 0
    for levels in found.anchors(224).values():
        assert all(0 < level <= found.range_of(224) * (1 + 1e-9) for level in levels), levels


@pytest.mark.parametrize("name", NAMES)
def test_severity_0_is_the_image_to_the_bit(name, phantoms):
    images = images_for(name, phantoms)
    for precision in (torch.float32, torch.float64):
        assert torch.equal(apply(CORRUPTIONS[name], images.to(precision), 0.0), images.to(precision))


@pytest.mark.parametrize("name", NAMES)
def test_the_distance_to_the_clean_image_grows_with_severity(name, phantoms):
    found, images = CORRUPTIONS[name], images_for(name, phantoms)
    shares = (0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
    severities = [found.rounded(found.range_of(SIDE) * share) for share in shares]
    lengths = [float((apply(found, images, severity) - images).norm()) for severity in severities]
    assert lengths == sorted(lengths), lengths
    assert lengths[-1] > 0.1, "the largest severity changes next to nothing"


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_repeats_whatever_the_batch(name, phantoms):
    found, images = CORRUPTIONS[name], images_for(name, phantoms)
    severity = found.rounded(found.range_of(SIDE) / 2)
    together = apply(found, images, severity, seed=3, start=7)
    assert torch.equal(together, apply(found, images, severity, seed=3, start=7))
    assert torch.equal(together[1:], apply(found, images[1:], severity, seed=3, start=8))
    assert torch.equal(together.flip(0), apply(found, images.flip(0), severity, seed=3, start=torch.tensor([8, 7])))
    others = [apply(found, images, severity, seed=4, start=7), apply(found, images, severity, draws=1, seed=3, start=7)]
    for other in others:
        assert torch.equal(together, other) != found.stochastic, "stochastic is stated wrongly"


@pytest.mark.parametrize("name", NAMES)
def test_one_channel_and_sixteen_bits_stay_what_they_are(name, phantoms):
    found, grey = CORRUPTIONS[name], phantoms["chest"].double()
    if found.colour:
        with pytest.raises(InputError, match="needs three channels, given 1 channel;"):
            check_fits(found, grey)
        with pytest.raises(InputError, match="given grey images"):
            check_fits(found, grey.expand(-1, 3, -1, -1))
        return
    fine = ((grey * 65535 + torch.arange(SIDE)).clamp(0, 65535).round()) / 65535
    if found.eight_bit:
        with pytest.raises(InputError, match="holds 16 bits, or round the images first"):
            check_fits(found, fine)
        return
    check_fits(found, fine)
    severity = found.rounded(found.range_of(SIDE) / 50)
    made = apply(found, fine, severity)
    assert made.shape == fine.shape
    assert made.dtype == fine.dtype
    off_grid = (made * 255 - (made * 255).round()).abs() > 1e-3
    assert off_grid.double().mean() > 0.5, "values were rounded to 8 bits"
    three = apply(found, fine.expand(-1, 3, -1, -1), severity)
    assert torch.equal(three, made.expand(-1, 3, -1, -1)), "a grey image of three channels is corrupted as a grey one"


MEDMNIST = {
    "jpeg": ("dermamnist-c", (30, 20, 15, 10, 7)),
    "pixelate": ("pneumoniamnist-c", (0.8, 0.7, 0.6, 0.5, 0.4)),
    "gaussian-noise": ("dermamnist-c", (0.04, 0.08, 0.12, 0.18, 0.26)),
    "speckle-noise": ("retinamnist-c", (0.1, 0.15, 0.2, 0.25, 0.3)),
    "impulse-noise": ("chestmnist-c", (0.01, 0.03, 0.06, 0.09, 0.17)),
    "quantum-noise": ("pneumoniamnist-c", tuple(count**-0.5 for count in (300, 200, 150, 100, 80))),
    "defocus": ("dermamnist-c", (4, 5, 6, 7, 8)),
    "motion-blur": ("retinamnist-c", (5, 5, 8, 12, 15)),
    "gaussian-blur": ("chestmnist-c", tuple(0.15 * k + 0.35 for k in (3, 5, 7, 9, 11, 13))),
    "brightness-up": ("dermamnist-c", (1.1, 1.2, 1.3, 1.4, 1.5)),
    "brightness-down": ("retinamnist-c", (0.9, 0.8, 0.7, 0.6, 0.5)),
    "contrast-up": ("chestmnist-c", (1.1, 1.2, 1.3, 1.4, 1.6)),
    "contrast-down": ("dermamnist-c", (0.8, 0.7, 0.6, 0.5, 0.4)),
    "gamma-up": ("pneumoniamnist-c", (1.1, 1.2, 1.3, 1.4, 1.6)),
    "gamma-down": ("chestmnist-c", (0.9, 0.8, 0.7, 0.6, 0.4)),
    "black-corners": ("dermamnist-c", (1.1, 1.05, 1.0, 0.95, 0.9)),
}


@pytest.mark.parametrize("name", MEDMNIST)
def test_levels_are_the_published_parameters(name):
    benchmark, parameters = MEDMNIST[name]
    found = CORRUPTIONS[name]
    assert [found.published(level) for level in found.anchors(224)[benchmark]] == pytest.approx(parameters)


def test_lengths_scale_with_the_image():
    found = CORRUPTIONS["defocus"]
    assert found.range_of(64) == pytest.approx(found.largest * 64 / 224)
    assert found.anchors(112)["dermamnist-c"][0] == 2


def test_forms_equal_the_references(phantoms):
    """Pillow's enhancers and resampling, which MedMNIST-C calls, and torchvision's blur, on 8-bit pictures."""
    image = phantoms["skin"][:1]
    picture = Image.fromarray((image[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy())

    def same(name: str, severity: float, reference: Image.Image | Tensor, tolerance: float) -> None:
        expected = (
            reference if isinstance(reference, Tensor) else torch.from_numpy(np.array(reference)).permute(2, 0, 1) / 255
        )
        made = apply(CORRUPTIONS[name], image, severity)[0]
        assert float((made - expected).abs().mean()) < tolerance, name
        assert float((made - image[0]).abs().mean()) > 3 * tolerance, f"{name}: the test could not fail"

    same("brightness-up", 0.2, ImageEnhance.Brightness(picture).enhance(1.2), 0.004)
    same("brightness-down", 0.4, ImageEnhance.Brightness(picture).enhance(0.6), 0.004)
    same("contrast-up", 0.4, ImageEnhance.Contrast(picture).enhance(1.4), 0.004)
    same("contrast-down", 0.5, ImageEnhance.Contrast(picture).enhance(0.5), 0.004)
    same("gamma-up", 0.4, V1.adjust_gamma(picture, 1.4), 0.004)
    half = picture.resize((32, 32), Image.Resampling.BOX).resize((SIDE, SIDE), Image.Resampling.BOX)
    same("pixelate", 0.5, half, 0.004)
    uneven = picture.resize((25, 25), Image.Resampling.BOX).resize((SIDE, SIDE), Image.Resampling.BOX)
    same("pixelate", 0.6, uneven, 0.004)
    same("gaussian-blur", 1.7, V1.gaussian_blur(image[0], [11, 11], [1.7, 1.7]), 1e-4)
    size = np.arange(-8, 9)
    disc = ((size[:, None] ** 2 + size**2) <= 9).astype(np.float32)
    whole = cv2.GaussianBlur(disc / disc.sum(), (3, 3), 0.5)
    blurred = torch.from_numpy(cv2.filter2D(image[0].permute(1, 2, 0).numpy(), -1, whole)).permute(2, 0, 1)
    same("defocus", 3.2, blurred, 0.004)


def test_noise_has_the_stated_moments():
    flat = torch.full((1, 1, 256, 256), 0.5, dtype=torch.float64)
    for name, severity, spread in (
        ("gaussian-noise", 0.1, 0.1),
        ("speckle-noise", 0.2, 0.1),
        ("electronic-noise", 0.1, 0.1),
    ):
        made = apply(CORRUPTIONS[name], flat, severity)
        assert float(made.mean()) == pytest.approx(0.5, abs=0.01)
        assert float(made.std()) == pytest.approx(spread, rel=0.05)
    for photons, level in ((60, 0.5), (25, 0.5), (10, 0.5)):
        made = apply(CORRUPTIONS["quantum-noise"], torch.full_like(flat, level), photons**-0.5)
        drawn = torch.poisson(torch.full((400_000,), photons * level), torch.Generator().manual_seed(0)) / photons
        drawn = drawn.clamp(0, 1)
        assert float(made.mean()) == pytest.approx(float(drawn.mean()), rel=0.02)
        assert float(made.std()) == pytest.approx(float(drawn.std()), rel=0.04)
    share = apply(CORRUPTIONS["impulse-noise"], flat, 0.2)
    assert float((share != 0.5).double().mean()) == pytest.approx(0.2, abs=0.01)
    assert float((share == 1).double().mean()) == pytest.approx(0.1, abs=0.01)


def test_jpeg_is_the_file_format(phantoms, tmp_path):
    image = phantoms["skin"][:1]
    made = apply(CORRUPTIONS["jpeg"], image, 70)[0]
    Image.fromarray((image[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()).save(
        tmp_path / "a.jpg", quality=30
    )
    read = torch.from_numpy(np.array(Image.open(tmp_path / "a.jpg"))).permute(2, 0, 1) / 255
    assert float((made - read).abs().mean()) < 0.004
    assert float((made - image[0]).abs().mean()) > 0.012


def test_jpeg_2000_keeps_sixteen_bits():
    fine = torch.from_numpy(cv2.GaussianBlur(np.random.default_rng(0).random((64, 64)), (0, 0), 3))[None, None]
    fine = ((fine - fine.min()) / (fine.max() - fine.min()) * 65535).round() / 65535
    made = apply(CORRUPTIONS["jpeg2000"], fine, 3.0)
    assert 0 < float((made - fine).abs().max()) < 0.5 / 255


@pytest.mark.parametrize(
    ("name", "severities", "spacing", "words"),
    [
        ("jpeg", [100], None, r"must lie in \[0, 99\] \(steps of quality below 100\), given 100"),
        ("jpeg", [-1], None, "must lie in"),
        ("jpeg", [10.5], None, "multiples of 1, given 10.5"),
        ("jpeg", [float("nan")], None, "must be numbers"),
        ("jpeg", [0], None, "at least one above 0"),
        ("jpeg", ["2 mm"], 1.0, "not a length"),
        ("dust", ["2 mm"], None, "needs pixel_spacing, the millimetres per pixel"),
        ("dust", ["2 cm"], 1.0, "numbers, or lengths such as"),
        ("dust", ["2 mm"], 0.0, "pixel_spacing must be above 0"),
        ("dust", ["2 mm"], "1", "pixel_spacing must be above 0"),
        ("dust", [2], 1.0, "without severities in mm"),
        ("dust", None, 1.0, "without severities in mm"),
        ("dust", ["1.2.3"], None, "numbers, or lengths such as"),
    ],
)
def test_bad_severities_are_refused(name, severities, spacing, words):
    with pytest.raises(InputError, match=words):
        severity_grid(CORRUPTIONS[name], severities, SIDE, spacing)


def test_severities_may_be_an_array_or_a_tensor():
    for severities in (torch.tensor([0.5, 1.0]), np.array([1.0, 0.5], np.float32)):
        assert severity_grid(CORRUPTIONS["gamma-up"], severities, SIDE) == (0.5, 1)


@pytest.mark.parametrize(
    "name", ["brightness-up", "contrast-down", "exposure", "gamma-up", "defocus", "hair", "rotation"]
)
def test_images_of_any_number_of_channels_are_corrupted(name):
    images = torch.rand(2, 5, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    severity = CORRUPTIONS[name].rounded(CORRUPTIONS[name].range_of(SIDE) / 2)
    assert not torch.equal(apply(CORRUPTIONS[name], images, severity), images)


def test_what_a_codec_does_not_take_is_named():
    images = (torch.rand(1, 4, SIDE, SIDE) * 255).round() / 255
    with pytest.raises(
        InputError, match=r"'jpeg' at severity 50 raised OSError for images \(1, 4, .*cannot write mode RGBA"
    ):
        apply(CORRUPTIONS["jpeg"], images, 50)
    with pytest.raises(InputError, match=r"jpeg2000: its codec does not take images \(8, 8, 3\)"):
        apply(CORRUPTIONS["jpeg2000"], images[:, :3, :8, :8], 50.0)


def test_millimetres_become_pixels():
    assert severity_grid(CORRUPTIONS["dust"], ["2 mm", 3], SIDE, 0.5) == (3, 4)


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match="did you mean 'pixelate'"):
        find_corruption("pixellate")
