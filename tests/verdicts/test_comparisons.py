"""Checks of a sweep: on a true one nothing wins, on a false one the attack that is meant to does."""

import pytest
import torch
from tests.verdicts.linear import EPSILONS, Line, claim, context_of, images
from torch import nn

from palpate.attacks.quantize import to_levels
from palpate.verdicts import comparisons
from palpate.verdicts.check import NotRun
from palpate.verdicts.stored import ball_and_box, eight_bits


def _true(x, y, exact):
    """A sweep that found every exact radius, with images just beyond it."""
    step = (1.001 * exact).view(-1, 1, 1, 1) * torch.where(y == 1, -1.0, 1.0).view(-1, 1, 1, 1)
    stored = (x.double() + step * Line().weight.detach().double()).float()
    reached = (stored.double() - x.double()).abs().flatten(1).amax(1)
    fooled = reached <= max(EPSILONS)
    return torch.where(fooled, reached, torch.inf), torch.where(fooled.view(-1, 1, 1, 1), stored, x)


@pytest.fixture
def sample():
    x, y, exact = images(16, (0.012, 0.1))
    return x, y, exact, *_true(x, y, exact)


def test_a_true_sweep_passes_everything(sample):
    x, y, _, radius, stored = sample
    example = context_of(Line(), x, y, swept=claim(x, y, radius, stored), sibling=Line(2.0))
    for check, threshold in (
        (comparisons.noise, 1.0),
        (comparisons.square, 0.2),
        (comparisons.transfer, 1.0),
        (comparisons.independent_attacks, 1.0),
        (ball_and_box, 0.0),
        (eight_bits, 0.25),
    ):
        assert check(example, threshold).status == "pass"
    assert max(epsilon for _, epsilon, *_ in example.attacks()) <= max(EPSILONS)


def test_a_sweep_that_found_nothing_is_beaten_by_all(sample):
    x, y, exact, radius, _ = sample
    example = context_of(
        Line(), x, y, swept=claim(x, y, torch.full_like(radius, torch.inf), x.clone()), sibling=Line(0.5)
    )
    for check, threshold in (
        (comparisons.transfer, 1.0),
        (comparisons.square, 0.2),
        (comparisons.independent_attacks, 1.0),
    ):
        finding = check(example, threshold)
        assert finding.status == "fail"
        assert "that the sweep does not" in finding.advice
    expected = 100 * float((exact < max(EPSILONS)).float().mean())
    assert comparisons.independent_attacks(example, 1.0).figure == pytest.approx(expected)


def test_noise_beats_a_sweep_where_any_change_fools():
    class Brittle(Line):
        def forward(self, x):
            score = 0.01 - (x - 0.5).flatten(1).std(1) * 3
            return torch.stack([torch.zeros_like(score), -score], 1)

    x, y = torch.full((8, 3, 8, 8), 0.5), torch.zeros(8, dtype=torch.long)
    infinite = torch.full((8,), torch.inf, dtype=torch.float64)
    finding = comparisons.noise(context_of(Brittle(), x, y, swept=claim(x, y, infinite, x.clone())), 1.0)
    assert (finding.status, finding.figure) == ("fail", 100.0)


def test_without_a_sweep_or_a_sibling_the_checks_say_so(sample):
    x, y, *_ = sample
    alone = context_of(Line(), x, y)
    for check in (comparisons.independent_attacks, ball_and_box):
        with pytest.raises(NotRun, match="no sweep"):
            check(alone, 1.0)
    with pytest.raises(NotRun, match="no sibling"):
        comparisons.transfer(alone, 1.0)
    assert "baseline PGD" in comparisons.noise(alone, 1.0).advice


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda radius, stored, x: (radius / 2, stored), "outside its ball"),
        (lambda radius, stored, x: (2 * radius, stored), "radii are larger than the stored changes"),
        (lambda radius, stored, x: (radius, stored + 0.6), "outside"),
        (lambda radius, stored, x: (radius, x.clone()), "another unit"),
        (lambda radius, stored, x: (radius, x + (stored - x) / 255), "another unit"),
        (lambda radius, stored, x: (radius, x - (stored - x)), "no longer fool"),
    ],
)
def test_the_audit_finds_what_is_wrong_with_the_stored_images(sample, spoil, words):
    x, y, _, radius, stored = sample
    finite = radius.isfinite()
    new_radius, new_stored = spoil(radius, stored, x)
    new_stored = torch.where(finite.view(-1, 1, 1, 1), new_stored, x)
    finding = ball_and_box(context_of(Line(), x, y, swept=claim(x, y, new_radius, new_stored)), 0.0)
    assert finding.status == "fail"
    assert finding.figure == pytest.approx(100 * float(finite.float().mean()))
    assert words in finding.advice


def test_one_or_two_faulty_images_are_a_warning(sample):
    x, y, _, radius, stored = sample
    stored = stored.clone()
    stored[:2] = x[:2]
    assert ball_and_box(context_of(Line(), x, y, swept=claim(x, y, radius, stored)), 0.0).status == "warn"


def test_images_that_were_not_kept_cannot_be_audited(sample):
    x, y, _, radius, _ = sample
    with pytest.raises(NotRun, match="did not keep"):
        ball_and_box(context_of(Line(), x, y, swept=claim(x, y, radius, None)), 0.0)


class Fine(Line):
    """What a file cannot hold fools: the logit follows where between two grey levels the pixels are."""

    def forward(self, x):
        score = 3 * torch.sin(2 * torch.pi * 255 * x).flatten(1).mean(1) - 1
        return torch.stack([torch.zeros_like(score), score], 1)


def test_images_between_grey_levels_do_not_survive_a_file():
    x = torch.full((6, 3, 8, 8), 100 / 255)
    y = torch.zeros(6, dtype=torch.long)
    example = context_of(Fine(), x, y, (1.2 / 255,))
    assert int(example.baseline(1.2 / 255).fooled.sum()) >= 3
    finding = eight_bits(example, 0.25)
    assert (finding.status, finding.figure) == ("fail", 1.0)
    assert "survives_rounding" in finding.advice
    below = eight_bits(context_of(Fine(), x, y, (0.4 / 255,)), 0.25)
    assert below.status == "warn"  # no file can hold less than a level, which is no fault of the attack


def test_a_sweep_that_claims_grey_levels_is_read_back_from_png():
    x, y, _ = images(16, (0.012, 0.07))
    x = (x * 255).round() / 255
    step = 0.08 * torch.where(y == 1, -1.0, 1.0).view(-1, 1, 1, 1) * Line().weight.detach()
    edge = to_levels(x + step, x, 0.08)
    radius = (edge.double() - x.double()).abs().flatten(1).amax(1)
    kept = eight_bits(context_of(Line(), x, y, swept=claim(x, y, radius, edge, levels=256)), 0.25)
    assert (kept.status, kept.figure) == ("pass", 0.0)
    grey = torch.full((6, 3, 8, 8), 100 / 255)
    zeros, radius = torch.zeros(6, dtype=torch.long), torch.full((6,), 0.25 / 255, dtype=torch.float64)
    between = claim(grey, zeros, radius, grey + 0.25 / 255, levels=256)
    lost = eight_bits(context_of(Fine(), grey, zeros, swept=between), 0.25)
    assert (lost.status, lost.figure) == ("fail", 1.0)
    assert "says that it kept to 256 grey levels" in lost.advice


def test_attacks_that_no_file_can_hold_do_not_beat_a_sweep_of_grey_levels():
    """At 1.2/255 the sweep found nothing among whole levels, and nothing is there; in floating point everything is fooled."""
    x, y, epsilon = torch.full((6, 3, 8, 8), 100 / 255), torch.zeros(6, dtype=torch.long), 1.2 / 255
    infinite = torch.full((6,), torch.inf, dtype=torch.float64)
    for levels, status in ((None, "fail"), (256, "pass")):
        swept = claim(x, y, infinite, x.clone(), levels=levels)
        example = context_of(Fine(), x, y, (epsilon,), swept)
        assert int(example.baseline(epsilon).fooled.sum()) >= 3
        assert comparisons.independent_attacks(example, 1.0).status == status


def test_luck_with_a_random_model_beats_no_sweep():
    """One answer of 30 is wrong, wherever the image is: a search that may ask 150 times meets it, and is asked again."""

    class Lucky(Line):
        def forward(self, x):
            wrong = torch.rand(len(x)) < 1 / 30
            score = torch.where(wrong, 1.0, -1.0) + 0 * x.flatten(1).sum(1)
            return torch.stack([torch.zeros_like(score), score], 1)

    torch.manual_seed(0)
    x, y = torch.full((12, 3, 8, 8), 0.5), torch.zeros(12, dtype=torch.long)
    infinite = torch.full((12,), torch.inf, dtype=torch.float64)
    example = context_of(Lucky(), x, y, swept=claim(x, y, infinite, x.clone()))
    assert comparisons.square(example, 0.2).status in ("pass", "warn")
    assert comparisons.noise(example, 1.0).status in ("pass", "warn")


def test_an_attack_that_wins_on_few_images_is_said_to_be_perhaps_chance(sample):
    x, y, _, radius, stored = sample
    easiest = int(radius.argmin())
    radius[easiest], stored[easiest] = torch.inf, x[easiest]
    finding = comparisons.independent_attacks(context_of(Line(), x, y, swept=claim(x, y, radius, stored)), 1.0)
    assert finding.status == "warn"
    assert finding.advice.endswith("on fewer than 3 images that may be chance.")


def test_a_sweep_that_does_not_see_black_pixels_is_beaten():
    """torch.clamp has no gradient at 0, so that an attack by gradients leaves black pixels as they are, and finds twice the radius."""

    class Light(nn.Module):
        def forward(self, x):
            light = 10 * (x.clamp(0, 1).mean((1, 2, 3)) - 0.03)
            return torch.stack([-light, light], 1)

    x, y = torch.zeros(8, 3, 8, 8), torch.zeros(8, dtype=torch.long)
    blind = claim(x, y, torch.full((8,), 0.07, dtype=torch.float64), x + 0.07)
    finding = comparisons.independent_attacks(context_of(Light(), x, y, swept=blind), 1.0)
    assert (finding.status, finding.figure) == ("fail", 75.0)  # of the 6 images that it is tried on
    assert "FMN" in finding.advice
