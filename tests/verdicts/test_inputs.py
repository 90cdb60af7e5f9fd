"""Range and units, mode and logits, the same answer twice: each passes on an honest line and fails on its own mistake."""

import pytest
import torch
from tests.verdicts.linear import Line, context_of, images
from torch import nn

from palpate.verdicts.check import NotRun
from palpate.verdicts.inputs import deterministic, input_range, mode_and_logits


class Wrapped(nn.Module):
    def __init__(self, change, line=None):
        super().__init__()
        self.change, self.line = change, line or Line()

    def forward(self, x):
        return self.change(self.line(x))


def test_an_honest_line_passes():
    x, y, _ = images()
    for check, threshold in ((input_range, 10.0), (mode_and_logits, 0.05), (deterministic, 0.05)):
        assert check(context_of(Line(), x, y), threshold).status == "pass"


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
    few = input_range(context_of(Units(), x[:12], y[:12]), 10.0)  # six of twelve: p = 2 · 2⁻⁵
    assert few.status == "warn"
    assert "luck (p = 0.062)" in few.advice


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
    assert mode_and_logits(context_of(Wrapped(lambda z: z.softmax(1)), x, y), 0.05).status == "warn"
    with pytest.raises(NotRun, match="2 images"):
        deterministic(context_of(Line(), x, y), 0.05)


def test_probabilities_are_told_from_logits():
    x, y, _ = images()
    for model, status in (
        (Wrapped(lambda z: z.softmax(1)), "fail"),
        (Wrapped(lambda z: z.log_softmax(1)), "pass"),
        (Wrapped(lambda z: z.clamp(0, 1)), "pass"),
        (Wrapped(lambda z: (z[:, 1] - z[:, 0]).sigmoid()), "fail"),
        (Wrapped(lambda z: z[:, 1] - z[:, 0]), "pass"),
        (Wrapped(lambda z: (z[:, 1] - z[:, 0]) / 100), "pass"),
    ):
        assert mode_and_logits(context_of(model, x, y), 0.05).status == status


def test_train_mode_fails_only_where_it_changes_the_answer_and_leaves_no_trace():
    x, y, _ = images()
    for layer, status in ((nn.Dropout(0.5), "fail"), (nn.BatchNorm1d(2), "fail"), (nn.Identity(), "pass")):
        model = Wrapped(nn.Sequential(layer)).train()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        finding = mode_and_logits(context_of(model, x, y), 0.05)
        assert finding.status == status
        assert not any(module.training for module in model.modules())  # as `trust` keeps it during the checks
        for name, value in model.state_dict().items():
            assert torch.equal(value, before[name])


@pytest.mark.parametrize(("deviation", "status"), [(0.0, "pass"), (0.02, "warn"), (5.0, "fail")])
def test_noise_in_the_answers_fails_where_classes_change(deviation, status):
    torch.manual_seed(0)
    x, y, _ = images(12, (0.02, 0.06))  # margins from 3.8 up
    model = Wrapped(lambda z: z + deviation * torch.randn_like(z))
    assert deterministic(context_of(model, x, y), 0.05).status == status
