"""Range and units: images in [0, 1] pass, and each other range fails by its name."""

import pytest
import torch
from tests.verdicts.linear import Line, context_of, images
from torch import nn

from palpate.verdicts.accuracy import input_range


def test_an_honest_line_passes():
    x, y, _ = images()
    assert input_range(context_of(Line(), x, y), 10.0).status == "pass"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: 255 * x, "outside"),
        (lambda x: 2 * x - 1 - 0.2, "outside"),
        (lambda x: x / 255, "twice"),
        (lambda x: x * torch.nan, "outside"),
    ],
)
def test_images_in_another_range_fail(change, words):
    x, y, _ = images()
    finding = input_range(context_of(Line(), change(x), y), 10.0)
    assert finding.status == "fail"
    assert words in finding.advice


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x / 255, "from 0 to 255"),
        (lambda x: torch.where(x.amin((1, 2, 3), keepdim=True) < 0, (x + 1) / 2, 0.5), "from −1 to 1"),
    ],
)
def test_a_model_for_other_units_is_recognised_by_its_accuracy(change, words):
    class Units(Line):
        def forward(self, x):
            return super().forward(change(x)) + torch.tensor([0.0, 1e-3])

    x, y, _ = images(40)
    finding = input_range(context_of(Units(), x, y), 10.0)
    assert finding.status == "fail"
    assert words in finding.advice
    assert finding.figure == 50.0
    few = input_range(context_of(Units(), x[:12], y[:12]), 10.0)  # six of twelve: p = 5 · 2⁻⁵
    assert few.status == "warn"
    assert "luck (p = 0.16)" in few.advice


def test_a_model_that_guesses_is_not_accused_of_another_range():
    """Right 10 points more often in another range, with many images gained and many lost, is what luck brings."""

    class Guess(nn.Module):
        def forward(self, x):
            answer = (
                (x[:, 0, 0, 0] * 1000).round().long() % 2 if float(x.amax()) <= 1 else (x[:, 0, 0, 1] < 127.5).long()
            )
            return nn.functional.one_hot(answer, 2).float()

    generator = torch.Generator().manual_seed(3)
    x = torch.rand(60, 3, 8, 8, generator=generator)
    y = torch.tensor([0, 1]).repeat(30)
    better = torch.arange(60) < 38  # right in bytes
    x[:, 0, 0, 1] = torch.where((y == 1) == better, 0.2, 0.8)
    right = torch.arange(60) % 4 < 2  # right in [0, 1]: half of them, whatever bytes say
    x[:, 0, 0, 0] = torch.where(right, y, 1 - y) / 1000 + 0.5
    finding = input_range(context_of(Guess(), x, y), 10.0)
    assert finding.figure == pytest.approx(100 * 8 / 60)
    assert finding.status == "warn"


def test_two_images_cannot_fail():
    x, y, _ = images(2)
    assert input_range(context_of(Line(), 255 * x, y), 10.0).status == "warn"
