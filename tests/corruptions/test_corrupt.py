"""`palpate.corrupt`: smallest severities against closed forms, curves that are not monotone, draws, passes and refusals."""

import math

import pytest
import torch
from torch import Tensor, nn

import palpate
from palpate.core.errors import InputError
from palpate.corruptions.corruption import Corruption


class Answer(nn.Module):
    """Two logits, ±half a number per image that a function computes."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: Tensor) -> Tensor:
        value = self.function(images)
        return torch.stack([value / 2, -value / 2], 1)


def linear(images: Tensor, seed: int = 0) -> tuple[Answer, Tensor, float]:
    """A linear margin w·x + b that is positive on all images; gives the model, w and b."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.rand(images[0].shape, generator=generator, dtype=images.dtype) + 0.1
    bias = -0.4 * float((weight * images).flatten(1).sum(1).min())
    return Answer(lambda x: (x * weight).flatten(1).sum(1) + bias), weight, bias


@pytest.fixture
def images() -> Tensor:
    return torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 0.3 + 0.2


def test_brightness_of_a_linear_model_equals_the_closed_form(images):
    model, weight, bias = linear(images)
    found = palpate.corrupt(model, images, torch.zeros(40), "brightness-down")
    exact = 1 + bias / (weight * images).flatten(1).sum(1)  # (1 − s) w·x + b = 0
    assert (found.radius / exact - 1).abs().max() < 1e-3
    assert bool((found.radius >= exact).all()), "the image at the severity must be misclassified"
    assert found.passes[:, 0].max() <= 12
    assert found.passes[:, 1].max() == 0
    assert bool((found.crossings == 1).all())


def test_contrast_of_a_linear_model_equals_the_closed_form(images):
    grey = torch.tensor([0.2989, 0.587, 0.114], dtype=torch.float64).view(3, 1, 1)  # torchvision's luminance
    middle = (images * grey).sum(1).mean((1, 2)).view(-1, 1, 1, 1)
    generator = torch.Generator().manual_seed(2)
    weight = torch.randn(images[0].shape, generator=generator, dtype=torch.float64)
    weight += 0.002 - weight.mean()  # else the mean brightness decides, which contrast keeps
    slope = (weight * (images - middle)).flatten(1).sum(1)
    model = Answer(lambda x: (x * weight).flatten(1).sum(1))
    labels = (slope + middle.flatten() * weight.sum() < 0).long()
    found = palpate.corrupt(model, images, labels, "contrast-down")
    exact = 1 + middle.flatten() * weight.sum() / slope  # m·Σw + (1 − s)(w·(x − m)) = 0
    exact = torch.where((exact > 0) & (exact < 1), exact, float("inf"))
    assert bool((exact.isfinite() == found.radius.isfinite()).all())
    there = exact.isfinite()
    assert int(there.sum()) > 5
    assert (found.radius[there] / exact[there] - 1).abs().max() < 1e-3


def test_the_angle_of_a_rotation_is_found():
    """A bright wedge at 0 degrees, and a network that asks how far its bright mass has turned."""
    side = 65
    line = torch.arange(side, dtype=torch.float64) - side // 2
    down, across = line[:, None], line[None]
    inside = (down**2 + across**2).sqrt() < 20
    wedge = (torch.exp(-((torch.atan2(-down, across) / 0.25) ** 2)) * inside)[None, None]

    def angle(x: Tensor) -> Tensor:
        return torch.rad2deg(torch.atan2((-down * x[:, 0]).sum((1, 2)), (across * x[:, 0]).sum((1, 2))))

    for limit in (3.7, 11.3, 31.2):
        model = Answer(lambda x, limit=limit: limit - angle(x))
        found = palpate.corrupt(model, wedge, [0], "rotation")
        assert float(found.radius[0]) == pytest.approx(limit, abs=0.1)
        assert palpate.corrupt(model, wedge, [0], "rotation-clockwise").radius[0] == math.inf


def test_the_first_of_several_crossings_is_reported(images):
    """Wrong between severities .3 and .5 and from .8 on."""
    wave = Corruption("wave", lambda x, s, g: (x * 0 + s / 2).clamp(0, 1), "units", 1.0, "test")

    def margin(x: Tensor) -> Tensor:
        level = 2 * x.flatten(1).mean(1)
        return (level - 0.3) * (level - 0.5) * (0.8 - level)

    model = Answer(lambda x: torch.where(x.flatten(1).std(1) > 1e-9, 1.0, margin(x)))
    found = palpate.corrupt(model, images[:2], [0, 0], wave, [0.2, 0.4, 0.6, 0.9])
    assert found.radius.tolist() == pytest.approx([0.3, 0.3], rel=1e-3)
    assert found.crossings.tolist() == [3, 3]
    assert found.flips[:, 0].tolist() == [0, 1, 0, 1]
    assert torch.equal(model(found.adversarials).argmax(1), torch.tensor([1, 1]))


def test_wrong_images_have_severity_0_and_failures_none(images):
    model, _, _ = linear(images)
    found = palpate.corrupt(model, images[:3], [0, 1, 0], "gamma-up")
    assert found.radius[1] == 0
    assert torch.equal(found.adversarials[1], images[1])
    broken = Answer(lambda x: torch.where(x.flatten(1).mean(1) < 0.3, float("nan"), 1.0))
    given = torch.stack([torch.full((3, 8, 8), 0.5), torch.full((3, 8, 8), 1.0)])
    result = palpate.corrupt(broken, given, [0, 0], "brightness-down", [0.2, 0.5])
    assert result.status == ("failed", "ok")
    assert result.radius.isnan().tolist() == [True, False]
    assert result.robust_accuracy(0.5) == 0.5


def test_whole_steps_are_found_exactly(images):
    """JPEG qualities are whole numbers: the smallest that flips is one step above one that does not."""
    steps = Corruption("steps", lambda x, s, g: x * 0 + s / 100, "steps", 100, "test", step=1)
    model = Answer(lambda x: torch.where(x.flatten(1).std(1) > 1e-9, 1.0, 0.365 - x.flatten(1).mean(1)))
    assert palpate.corrupt(model, images[:1], [0], steps).radius.tolist() == [37]


def test_draws_are_counted_and_the_middle_one_reported():
    shift = Corruption(
        "shift", lambda x, s, g: x * (1 - s * torch.rand((), generator=g).item()), "share", 1, "test", stochastic=True
    )
    images = torch.full((30, 1, 4, 4), 1.0, dtype=torch.float64)
    model = Answer(lambda x: x.flatten(1).mean(1) - 0.7)
    every = [palpate.corrupt(model, images, [0] * 30, shift, [0.5, 1], draws=1).radius]
    found = palpate.corrupt(model, images, [0] * 30, shift, [0.5, 1])
    assert found.how["draws"] == 3
    assert found.passes[:, 0].max() <= 1 + 3 * 11
    assert set(found.flips[1].mul(3).round().int().tolist()) <= {0, 1, 2, 3}
    never = found.flips[1] < 0.5
    assert bool((found.radius.isinf() == never).all())
    assert bool((found.radius != every[0]).any())
    again = palpate.corrupt(model, images, [0] * 30, shift, [0.5, 1], batch_size=7)
    assert torch.equal(found.radius, again.radius)
    assert not torch.equal(found.radius, palpate.corrupt(model, images, [0] * 30, shift, [0.5, 1], seed=1).radius)


def test_the_result_is_saved_and_read_and_printed(images, tmp_path):
    model, _, _ = linear(images)
    found = palpate.corrupt(model, images, [0] * 40, "brightness-down", [0.25, 0.5, 0.75])
    read = type(found).load(found.save(tmp_path / "a.npz"), images)
    assert torch.equal(read.flips, found.flips)
    assert torch.equal(read.crossings, found.crossings)
    assert read.how == found.how
    assert "severity, below 1" in str(found)
    assert torch.equal(found.first(3).flips, found.flips[:, :3])
    assert palpate.corrupt(model, images, [0] * 40, "brightness-down", keep="radius").adversarials is None


def plugin(function) -> Corruption:
    return Corruption("odd", function, "units", 1.0, "a plug-in")


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (
            lambda x, s, g: x[:, :, 1:],
            r"'odd' at severity 0.0625 must give images \(1, 3, 8, 8\), it gave \(1, 3, 7, 8\)",
        ),
        (lambda x, s, g: x.float(), "must give torch.float64, as it was given, it gave torch.float32"),
        (lambda x, s, g: x + 1, r"must give values in \[0, 1\], it gave 1.2.* clamp them"),
        (lambda x, s, g: x * float("nan"), "it gave nan"),
        (lambda x, s, g: x.numpy(), "it gave ndarray"),
        (lambda x, s, g: 1 / 0, r"raised ZeroDivisionError for images \(1, 3, 8, 8\): division by zero"),
    ],
)
def test_what_a_plugin_does_wrong_is_named(images, function, words):
    with pytest.raises(InputError, match=words):
        palpate.corrupt(linear(images)[0], images, [0] * 40, plugin(function))


def test_a_plugin_may_change_what_it_is_given(images):
    model, given = linear(images)[0], images.clone()
    found = palpate.corrupt(model, images, [0] * 40, plugin(lambda x, s, g: x.mul_(1 - s)))
    assert torch.equal(images, given)
    expected = palpate.corrupt(model, images, [0] * 40, plugin(lambda x, s, g: x * (1 - s)))
    assert torch.equal(found.radius, expected.radius)


@pytest.mark.parametrize(
    ("corruption", "options", "words"),
    [
        ("jpg", {}, "did you mean 'jpeg'"),
        ("brightness-down", {"severities": [1.5]}, r"must lie in \[0, 1\]"),
        ("brightness-down", {"draws": 3}, "draws nothing"),
        ("gaussian-noise", {"draws": 0}, "draws must be a whole number of at least 1"),
        ("gaussian-noise", {"draws": "3"}, "draws must be a whole number"),
        ("gaussian-noise", {"over": "most"}, "over: .*'half' or 'worst'"),
        ("brightness-down", {"over": "worst"}, "no draw is the worst"),
        ("dust", {"severities": ["1 mm"]}, "needs pixel_spacing"),
        ("jpeg", {}, "needs images of 256 grey levels"),
        ("hair", {"keep": "some"}, "keep must be one of"),
    ],
)
def test_bad_arguments_are_refused(images, corruption, options, words):
    with pytest.raises(InputError, match=words):
        palpate.corrupt(linear(images)[0], images, [0] * 40, corruption, **options)


def test_colour_needs_three_channels(images):
    model = Answer(lambda x: x.flatten(1).mean(1))
    with pytest.raises(InputError, match="needs three channels, given 1 channel"):
        palpate.corrupt(model, images[:, :1], [0] * 40, "colour-warm")


def test_the_worst_of_many_draws_is_found(images):
    """A margin that falls with brightness and contrast: the worst direction is known, and a search of 200 draws comes near it."""
    grey = images[:6, :1]
    model = Answer(lambda x: 0.3 - (x.flatten(1).mean(1) - 0.35))
    given = grey - grey.mean((1, 2, 3), keepdim=True) + 0.35
    found = palpate.corrupt(model, given, [0] * 6, "exposure", draws=200, over="worst")
    half = palpate.corrupt(model, given, [0] * 6, "exposure", draws=3)
    assert bool((found.radius < half.radius).all())
    assert found.passes[:, 0].max() <= 1 + 200 * 11
    assert found.how["name"] == "exposure-worst-of-200"
    top = found.epsilons[-1]
    assert found.robust_accuracy(top) == 0
    assert torch.equal(model(found.images_at(top)).argmax(1), torch.ones(6).long()), (
        "the images shown are the worst draws"
    )
    # Brightest is factor 1 + s/2 and gamma e^(−.7 s): of a flat image .35 it gives (.35 (1 + s/2))^(e^−.7s) = .65
    flat = palpate.corrupt(model, torch.full_like(given, 0.35), [0] * 6, "exposure", draws=200, over="worst")
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if (0.35 * (1 + middle / 2)) ** math.exp(-0.7 * middle) > 0.65 else (middle, high)
    assert bool((flat.radius >= high * (1 - 1e-9)).all())
    assert flat.radius.max() < 1.25 * high


def test_a_search_of_positions_finds_the_angle():
    """Of the family of positions only the turn matters to this network, so the worst draw is the one that turns most for its size."""
    side = 33
    line = torch.arange(side, dtype=torch.float64) - side // 2
    bar = torch.exp(-((line[:, None] / 2) ** 2)).expand(side, side)[None, None].contiguous()

    def upright(x: Tensor) -> Tensor:
        mass = x[:, 0] / x[:, 0].sum((1, 2), keepdim=True)
        down, across = line[:, None] * mass, line[None] * mass
        centred = [part - part.sum((1, 2), keepdim=True) * mass for part in (down, across)]
        return (centred[0] * line[None]).sum((1, 2)).abs()

    limit = float(
        upright(palpate.corrupt(Answer(lambda x: x.flatten(1).sum(1)), bar, [0], "rotation", [12]).images_at(12))
    )
    model = Answer(lambda x: limit - upright(x))
    exact = palpate.corrupt(model, bar, [0], "rotation").radius
    assert float(exact[0]) == pytest.approx(12, abs=0.1)
    found = palpate.corrupt(model, bar, [0], "position", draws=100, over="worst")
    assert (
        0.3 < float(found.radius[0]) < 0.5
    )  # 12 degrees are .4 of the range, and a shift or scale changes the measure a little


def test_an_attack_and_a_corruption_combine_in_either_order(images):
    """What one leaves, the other needs no longer: after half of the l∞ radius half of the brightness is left."""
    model, weight, bias = linear(images)
    labels, epsilon = [0] * 40, 0.02
    attacked = palpate.sweep(model, images, labels, [epsilon], attack="max-loss").images_at(epsilon)
    assert torch.allclose(attacked, images - epsilon)
    alone = palpate.corrupt(model, images, labels, "brightness-down")
    after = palpate.corrupt(model, attacked, labels, "brightness-down")
    exact = 1 + bias / (weight * (images - epsilon)).flatten(1).sum(1)
    assert (after.radius / exact - 1).abs().max() < 1e-3
    assert bool((after.radius < alone.radius).all())
    darker = palpate.corrupt(model, images, labels, "brightness-down", [0.2]).images_at(0.2)
    before = palpate.sweep(model, darker, labels, [0.3])
    radius = ((weight * darker).flatten(1).sum(1) + bias) / weight.sum()
    assert (before.radius / radius - 1).abs().max() < 1e-2
