"""Moved copies: as hard to attack as the images, unless the images were memorised."""

import pytest
import torch
from tests.verdicts.linear import context_of
from torch import nn

from palpate.verdicts.check import NotRun
from palpate.verdicts.copies import MOVES, moved_copies


class Brightness(nn.Module):
    """Class 1 above half: the radius is the mean's distance from it, wherever the pixels are."""

    def forward(self, x):
        score = 20 * (x.flatten(1).mean(1) - 0.5)
        return torch.stack([torch.zeros_like(score), score], 1)


class Remembering(Brightness):
    """The same, with a bonus for the class of a memorised image within .05 of it."""

    def __init__(self, images, labels):
        super().__init__()
        self.images, self.labels = images, labels

    def forward(self, x):
        distance, which = (x.detach()[:, None] - self.images[None]).abs().flatten(2).amax(2).min(1)
        return super().forward(x) + 50 * (distance < 0.05)[:, None] * nn.functional.one_hot(self.labels[which], 2)


def _images(count: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 2
    texture = 0.4 * (torch.rand(count, 3, 16, 16, generator=generator) - 0.5)
    texture = texture - texture.mean((1, 2, 3), keepdim=True)
    return 0.5 + 0.02 * (2.0 * labels.view(-1, 1, 1, 1) - 1) + texture, labels


def test_copies_of_honest_images_are_as_hard_to_attack():
    x, y = _images()
    finding = moved_copies(context_of(Brightness(), x, y, (0.01, 0.045)), 40.0)
    assert finding.status == "pass"
    assert finding.figure <= 10


def test_copies_of_memorised_images_are_easy():
    x, y = _images()
    finding = moved_copies(context_of(Remembering(x, y), x, y, (0.01, 0.045)), 40.0)
    assert finding.status == "fail"
    assert finding.figure >= 90
    assert "memorised" in finding.advice


def test_the_copy_farthest_from_the_image_is_attacked_since_memory_reaches_to_the_others():
    """Smooth images hardly change when they are shifted: those copies are within reach of the memory, the mirrored ones are not."""
    y = torch.arange(20) % 2
    side = y.view(-1, 1, 1, 1)
    x = 0.5 + 0.02 * (2.0 * side - 1) + (0.4 - 0.15 * side) * torch.linspace(-1, 1, 16).expand(20, 3, 16, 16)

    class Wide(Remembering):
        def forward(self, points):
            nearest, which = (points[:, None] - self.images[None]).flatten(2).square().mean(2).min(1)
            bonus = 50 * (nearest < 0.15**2)[:, None] * nn.functional.one_hot(self.labels[which], 2)
            return Brightness.forward(self, points) + bonus

    model = Wide(x, y)
    known = [(model(move(x)) - Brightness()(move(x))).abs().amax(1) > 1 for move in MOVES]
    assert [bool(each.any()) for each in known] == [True, True, False]
    finding = moved_copies(context_of(model, x, y, (0.01, 0.045)), 40.0)
    assert finding.status == "fail"
    assert finding.figure >= 90


def test_a_model_that_gets_all_copies_wrong_cannot_be_checked():
    x, y = _images()

    class Only(Brightness):
        def forward(self, points):
            known = (points[:, None] == x[None]).flatten(2).all(2).any(1)
            return super().forward(points) * torch.where(known, 1.0, -1.0)[:, None]

    with pytest.raises(NotRun, match="moved copies wrong"):
        moved_copies(context_of(Only(), x, y, (0.01,)), 40.0)


def test_moves_keep_shape_and_range_and_change_every_image():
    x, _ = _images(3)
    for move in MOVES:
        moved = move(x)
        assert moved.shape == x.shape
        assert moved.min() >= 0
        assert moved.max() <= 1
        assert ((moved - x).abs().flatten(1).amax(1) > 0.05).all()


def test_copies_that_are_merely_easier_are_no_sign_of_memory():
    """A mirrored image has two thirds of the margin: PGD fools every copy in a ball in which it fools no image, and none in half of that ball."""

    class Lopsided(Brightness):
        def forward(self, x):
            left, right = x[..., :8].mean((1, 2, 3)), x[..., 8:].mean((1, 2, 3))
            score = 20 * (1.2 * left + 0.8 * right - 1)
            return torch.stack([torch.zeros_like(score), score], 1)

    x, y = _images()
    tilt = torch.cat([torch.ones(8), -torch.ones(8)]) * 0.02 * (2.0 * y.view(-1, 1, 1, 1) - 1)
    model = Lopsided()
    finding = moved_copies(context_of(model, x + tilt, y, (0.021,)), 40.0)
    assert finding.status == "pass"
    assert finding.figure <= 10
