"""The checks' own attacks, against a linear model whose exact radius is known."""

import torch
from tests.verdicts.linear import Line, images
from torch import nn

from palpate.attacks.access import ModelAccess
from palpate.attacks.losses import cross_entropy, margin
from palpate.verdicts.baselines import GreyStaysGrey, fools, grey, noise, pgd, price, random_point, random_search
from palpate.verdicts.minimum_norm import fmn


def _access(model: nn.Module) -> ModelAccess:
    return ModelAccess(model.requires_grad_(False), batch=64)


def _seed(value: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(value)


def test_pgd_fools_exactly_the_images_whose_radius_is_smaller():
    x, y, exact = images()
    for epsilon in (0.01, 0.03, 0.05, 0.07):
        for loss in (cross_entropy, margin):
            run = pgd(_access(Line()), x, y, epsilon, _seed(), loss=loss)
            assert run.fooled.tolist() == (exact < epsilon).tolist()
            assert (run.last.double() - x.double()).abs().max() <= epsilon
            assert torch.equal(run.ever, run.fooled)


def test_pgd_spends_its_price_and_keeps_every_iterate():
    x, y, _ = images(5)
    access = _access(Line())
    run = pgd(access, x, y, 0.03, _seed(), steps=7)
    assert access.budget.forward + access.budget.backward == price(5, 7)
    assert (access.budget.forward, access.budget.backward) == (5 * 8, 5 * 7)
    assert run.margins.shape == (8, 5)
    assert bool((run.margins.diff(dim=0) >= -1e-4).all())  # a line has no bumps


def test_the_best_iterate_is_kept_where_the_last_one_does_not_fool():
    class Late(nn.Module):
        """Fooled only around the middle of the ball; the slope leads on to its edge."""

        def forward(self, x):
            away = (x - 0.5).flatten(1).mean(1)
            score = away + ((away - 0.02).abs() < 0.007).to(x) - 0.5
            return torch.stack([torch.zeros_like(score), score], 1)

    x, y = torch.full((3, 3, 8, 8), 0.5), torch.zeros(3, dtype=torch.long)
    run = pgd(_access(Late()), x, y, 0.04, _seed(), steps=10)
    assert run.ever.all()
    assert not run.fooled.any()
    assert fools(Late()(run.best), y).all()
    assert torch.equal(fools(Late()(run.last), y), run.fooled)


def test_random_points_stay_in_ball_and_box_and_corners_are_corners():
    x = torch.rand(4, 3, 8, 8, generator=_seed())
    for corner in (False, True):
        points = random_point(x, 0.1, _seed(), corner=corner)
        assert (points.double() - x.double()).abs().max() <= 0.1
        assert points.min() >= 0
        assert points.max() <= 1
    moved = (points - x).abs()
    inside = (x > 0.11) & (x < 0.89)
    assert bool((moved[inside] > 0.0999).all())


def test_noise_finds_a_wide_target_and_not_a_narrow_one():
    class Anywhere(nn.Module):
        """Any change of the first pixel fools."""

        def forward(self, x):
            score = (x[:, 0, 0, 0] - 0.5).abs() - 0.01
            return torch.stack([torch.zeros_like(score), score], 1)

    x, y = torch.full((6, 3, 8, 8), 0.5), torch.zeros(6, dtype=torch.long)
    assert fools(Anywhere()(noise(_access(Anywhere()), x, y, 0.05, _seed())), y).all()
    line_x, line_y, _ = images(6, (0.02, 0.03))
    found = noise(_access(Line()), line_x, line_y, 0.031, _seed())
    assert not fools(Line()(found), line_y).any()  # needs 192 pixels to agree


def test_squares_fool_within_the_ball_only_and_stop_asking_about_fooled_images():
    x, y, exact = images(8, (0.005, 0.2))
    access = _access(Line())
    found = random_search(access, x, y, 0.1, _seed(), 300)
    fooled = fools(Line()(found), y)
    assert (found - x).abs().max() <= 0.1 + 1e-6
    assert not (fooled & (exact > 0.1)).any()
    assert int(fooled.sum()) >= int((exact < 0.05).sum())
    assert access.budget.forward < 8 * 300
    assert access.budget.backward == 0


def test_a_gradient_that_is_no_number_moves_nothing():
    class Broken(nn.Module):
        def forward(self, x):
            score = (x - x.detach()).abs().sqrt().flatten(1).sum(1) - 1
            return torch.stack([torch.zeros_like(score), score], 1)

    x, y, _ = images(4)
    run = pgd(_access(Broken()), x, torch.zeros_like(y), 0.05, _seed())
    assert run.last.isfinite().all()


def test_an_answer_that_is_no_number_does_not_fool():
    logits = torch.tensor([[float("nan"), 1.0], [2.0, 1.0]])
    assert fools(logits, torch.tensor([1, 0])).tolist() == [False, False]


def test_a_grey_image_stays_grey_under_every_attack_and_a_coloured_one_may_change_colour():
    """The radius of a grey image is |Σ w (x − ½)| / ‖w summed over channels‖₁, larger than with free channels."""
    x = torch.rand(6, 1, 8, 8, generator=_seed()).expand(6, 3, 8, 8).clone() * 0.2 + 0.4
    x[3:, 0] += 0.01
    y = Line()(x).argmax(1)
    access = ModelAccess(GreyStaysGrey(Line().requires_grad_(False)), batch=64)
    found = [pgd(access, x, y, 0.05, _seed()).last, random_point(x, 0.05, _seed()), fmn(access, x, y)[1]]
    for points in found:
        assert grey(points).flatten().tolist() == [True] * 3 + [False] * 3
    seen = []

    class Watched(GreyStaysGrey):
        def forward(self, points):
            seen.append(grey(points[:3]).all())
            return super().forward(points)

    random_search(ModelAccess(Watched(Line()), batch=64), x[:3], y[:3], 1e-6, _seed(), 20)
    assert all(seen)
