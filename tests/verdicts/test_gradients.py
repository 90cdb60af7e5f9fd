"""The gradient's checks: zero, not a number, or not the model's."""

import pytest
import torch
from tests.verdicts.linear import EPSILONS, Line, context_of, images
from torch import nn

from palpate.verdicts.check import NotRun
from palpate.verdicts.gradients import along_a_path, finite_differences, local_lipschitz, repeatable, sharpness, usable


class Front(Line):
    """A line behind a step."""

    def __init__(self, step, factor=1.0):
        super().__init__(factor)
        self.step = step

    def forward(self, x):
        return super().forward(self.step(x))


def test_an_honest_line_passes():
    x, y, _ = images()
    assert usable(context_of(Line(), x, y), 0.05).status == "pass"
    finding = finite_differences(context_of(Line(), x, y), 0.5)
    assert finding.status == "pass"
    assert finding.figure == pytest.approx(0, abs=1e-5)


def test_a_network_that_clamps_its_input_is_warned_of_and_not_accused():
    """At its ends torch.clamp has no gradient, and images of black and white pixels have no others; a random start has one."""
    x, _, _ = images()
    line = Front(lambda x: x.clamp(0, 1), 0.01)
    black = (x > 0.5).float()
    finding = usable(context_of(line, black, line(black).argmax(1)), 0.05)
    assert finding.status == "warn"
    assert finding.figure == 1.0
    assert "clamps its input" in finding.advice


def test_a_saturated_head_is_named_with_its_median_margin():
    x, y, exact = images()
    finding = usable(context_of(Line(1000.0), x, y), 0.05)
    assert finding.status == "fail"
    assert finding.figure == 1.0
    assert "saturates" in finding.advice
    expected = float((1000 * 192 * exact).quantile(0.5))
    assert f"{expected:.4g} logits" in finding.advice
    assert finite_differences(context_of(Line(1000.0), x, y), 0.5).status == "pass"  # the margin's gradient is sound


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (lambda x: (x * 255).round() / 255, "cannot be differentiated"),
        (lambda x: x.detach(), "cannot be differentiated"),
        (lambda x: x + (x - x.detach()).abs().sqrt(), "not a number"),
    ],
)
def test_a_missing_gradient_is_named(step, words):
    x, y, _ = images()
    finding = usable(context_of(Front(step), x, y), 0.05)
    assert finding.status == "fail"
    assert words in finding.advice


def test_a_few_images_without_a_gradient_are_a_warning():
    """Units that are off on some images: the attack stands still there, which says nothing about the rest."""
    x, y, _ = images(40)

    def dead(points):
        return torch.where(
            (points[:, :1, :1, :1] == x[:3, :1, :1, :1].view(1, 3, 1, 1)).any(1, keepdim=True), points.detach(), points
        )

    finding = usable(context_of(Front(dead), x, y), 0.2)
    assert finding.status == "warn"
    assert finding.figure == pytest.approx(3 / 40)
    assert "3 of 40" in finding.advice


@pytest.mark.parametrize(("share", "status"), [(0.0, "pass"), (0.05, "pass"), (1.0, "fail")])
def test_a_gradient_that_changes_when_asked_again_is_noise(share, status):
    """w plus noise of length s‖w‖: the expected cosine of two draws is 1 / (1 + s²), give or take 1 / √192; the least of 15 is smaller."""
    torch.manual_seed(0)
    noisy = Front(lambda x: x + share * (x - x.detach()) * torch.randn_like(x))
    x, y, _ = images(20)
    finding = repeatable(context_of(noisy, x, y), 0.4)
    assert finding.status == status
    assert 0 <= finding.figure - (1 - 1 / (1 + share**2)) <= 0.15
    assert "again" in finding.advice


def test_no_gradient_cannot_be_compared_with_itself():
    x, y, _ = images()
    with pytest.raises(NotRun, match="zero"):
        repeatable(context_of(Front(lambda x: x.detach()), x, y), 0.5)


def test_a_gradient_of_something_else_is_not_the_models():
    x, y, _ = images()
    other = torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(5))
    hidden = Front(lambda x: x.detach() + (x - x.detach()) * other)
    assert usable(context_of(hidden, x, y), 0.05).status == "pass"
    finding = finite_differences(context_of(hidden, x, y), 0.5)
    assert finding.status == "fail"
    assert finding.figure > 0.5
    reversed_sign = Front(lambda x: 2 * x.detach() - x)
    assert finite_differences(context_of(reversed_sign, x, y), 0.5).figure == pytest.approx(2, abs=1e-4)


def test_the_noise_of_torch_is_held_and_other_noise_is_said_to_forbid_the_check():
    x, y, _ = images()
    torch.manual_seed(3)
    before = torch.get_rng_state()
    noisy = Front(lambda x: x + 0.02 * torch.randn_like(x))
    assert finite_differences(context_of(noisy, x, y), 0.5).status == "pass"
    state = torch.get_rng_state()
    torch.set_rng_state(before)
    context_of(noisy, x, y).right  # noqa: B018 — the one forward whose noise is not held
    assert torch.equal(torch.get_rng_state(), state)
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(NotRun, match="seed does not hold"):
        finite_differences(context_of(Front(lambda x: x + 0.1 * torch.randn(x.shape, generator=generator)), x, y), 0.5)


def test_a_constant_model_and_a_broken_gradient_are_not_measured():
    x, y, _ = images()

    class Constant(Line):
        def forward(self, x):
            return torch.nn.functional.one_hot((super().forward(x)[:, 1] > 0).long(), 2) * 5.0

    with pytest.raises(NotRun, match="does not move"):
        finite_differences(context_of(Constant(), x, y), 0.5)
    with pytest.raises(NotRun, match="not a number"):
        finite_differences(context_of(Front(lambda x: x + (x - x.detach()).abs().sqrt()), x, y), 0.5)


def test_the_lipschitz_estimate_of_a_line_is_its_weights_sum():
    x, y, _ = images(12, (0.05, 0.06))
    figure = local_lipschitz(context_of(Line(), x, y), 0.0).figure
    assert figure == pytest.approx(192 / 255, rel=1e-3)  # ‖w‖₁ per grey level, at the corner of the ball


def test_sharpness_is_the_loss_that_the_attack_adds():
    x, y, exact = images(12, (0.02, 0.06))
    found = sharpness(context_of(Line(), x, y), 0.0).figure
    margins = 192 * exact
    loss = nn.functional.softplus
    epsilon = EPSILONS[0] * 1.0
    tested = context_of(Line(), x, y).tested[0]
    assert tested >= epsilon
    expected = (loss(192 * tested - margins) - loss(-margins)).mean()
    assert found == pytest.approx(float(expected), rel=1e-3)


class Stored(Line):
    """A line with a bonus for the class of the images that it has memorised, within a distance of them."""

    def __init__(self, images, labels, distance, bonus=20.0):
        super().__init__()
        self.images, self.labels, self.distance, self.bonus = images, labels, distance, bonus

    def forward(self, x):
        distance, which = (x.detach()[:, None] - self.images[None]).abs().flatten(2).amax(2).min(1)
        near = (distance <= self.distance)[:, None]
        return super().forward(x) + self.bonus * near * nn.functional.one_hot(self.labels[which], 2)


@pytest.mark.parametrize("distance", [0.0, 1e-6, 1e-4])
def test_an_image_whose_answer_is_stored_is_memorised(distance):
    x, y, _ = images()
    finding = finite_differences(context_of(Stored(x, y, distance), x, y), 0.5)
    assert finding.status == "fail"
    assert "memorised" in finding.advice
    assert finite_differences(context_of(Stored(x + 0.1, y, distance), x, y), 0.5).status == "pass"


def test_the_gradient_of_a_line_accounts_for_every_change():
    x, y, _ = images(20)
    finding = along_a_path(context_of(Line(), x, y), 0.2)
    assert (finding.status, finding.figure) == ("pass", pytest.approx(0, abs=1e-4))


def test_a_lookup_changes_without_a_gradient():
    """Between two memorised images the logits change by twice the bonus more than the line: 2b / (2b + 192 · (r₁ + r₂))."""
    x, y, exact = images(12, (0.02, 0.06))
    for distance in (1e-6, 0.01):
        finding = along_a_path(context_of(Stored(x, y, distance), x, y), 0.2)
        assert finding.status == "fail"
        assert "memorised" in finding.advice
        line = 2 * 192 * float(exact.mean())
        assert finding.figure == pytest.approx(40 / (40 + line), abs=0.1)


def test_a_path_needs_two_classes():
    x, y, _ = images()
    with pytest.raises(NotRun, match="second class"):
        along_a_path(context_of(Line(), x[::2], y[::2]), 0.2)
