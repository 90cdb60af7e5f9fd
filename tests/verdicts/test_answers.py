"""Logits, the mode, the same answer twice, in any batch, and always a number: an honest line passes, and each failure is found."""

import pytest
import torch
from tests.verdicts.linear import Line, context_of, images
from torch import nn

from palpate.verdicts.answers import (
    batch,
    deterministic,
    half_a_level,
    mode_and_logits,
    numbers,
    same_at_end,
    same_logits,
)
from palpate.verdicts.check import NotRun
from palpate.verdicts.difference import differ

CHECKS = (
    (mode_and_logits, 0.05),
    (deterministic, 0.05),
    (same_logits, 0.05),
    (batch, 0.05),
    (numbers, 0.0),
    (same_at_end, 0.05),
)


class Wrapped(nn.Module):
    def __init__(self, change, line=None):
        super().__init__()
        self.change, self.line = change, line or Line()

    def forward(self, x):
        return self.change(self.line(x))


def test_an_honest_line_passes():
    x, y, _ = images()
    for check, threshold in CHECKS:
        finding = check(context_of(Line(), x, y), threshold)
        assert (finding.status, finding.figure) == ("pass", 0.0)


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_a_difference_is_measured_in_margins_whatever_the_scale_and_a_common_offset(factor, offset):
    z = torch.tensor([[0.0, 2.0, 1.0], [5.0, 1.0, -torch.inf], [3.0, 4.0, 0.0]])
    added = offset * factor
    same = z + torch.tensor([0.0, 1e3, -1e3])[:, None]  # a number for each image, added to all its logits
    assert not differ(factor * same + added, factor * z + added, 0.01).any()
    other = z + torch.tensor([[0.0, 0.05, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.2]])
    assert differ(factor * other + added, factor * z + added, 0.01).tolist() == [True, False, True]
    assert not differ(factor * other + added, factor * z + added, 0.1).any()
    nothing = z.clone()
    nothing[0, 0] = torch.nan
    assert differ(nothing, z, 0.01).tolist() == [True, False, False]
    assert not differ(nothing, nothing, 0.01).any()


def test_random_logits_are_noticed_however_small_and_far_from_zero_they_are():
    class Noisy(Line):
        def forward(self, x):
            z = super().forward(x)
            return 1e-5 * (z + 0.2 * z.abs().amax() * torch.randn_like(z)) + 1.0

    x, y, _ = images(20)
    assert context_of(Noisy(), x, y).varies
    assert not context_of(Wrapped(lambda z: 1e-5 * z + 1.0), x, y).varies


def test_two_images_cannot_fail():
    x, y, _ = images(2)
    assert mode_and_logits(context_of(Wrapped(lambda z: z.softmax(1)), x, y), 0.05).status == "warn"
    for check in (deterministic, batch):
        with pytest.raises(NotRun, match="2 images"):
            check(context_of(Line(), x, y), 0.05)


PROBABILITIES = (
    (lambda z: z.softmax(1), "fail"),
    (lambda z: 100 * z.softmax(1), "fail"),
    (lambda z: 30 * z.softmax(1) - 7, "fail"),
    (lambda z: torch.cat([z, z - 3, z - 9], 1).softmax(1) * 5 - 1, "fail"),
    (lambda z: (z[:, 1] - z[:, 0]).sigmoid(), "fail"),
    (lambda z: 10 * (z[:, 1] - z[:, 0]).sigmoid(), "fail"),
    (lambda z: z.log_softmax(1), "pass"),
    (lambda z: z.clamp(0, 1), "pass"),
    (lambda z: z - z.mean(1, keepdim=True), "pass"),  # a constant sum, and no bound
    (lambda z: torch.cat([z, -z], 1), "pass"),
    (lambda z: torch.cat([z, torch.full_like(z[:, :1], -1e4)], 1), "pass"),
    (lambda z: z[:, 1] - z[:, 0], "pass"),
    (lambda z: (z[:, 1] - z[:, 0]) / 100, "pass"),
)


@pytest.mark.parametrize(("change", "status"), PROBABILITIES)
def test_probabilities_are_told_from_logits_whatever_they_are_multiplied_by(change, status):
    x, y, _ = images(20)
    finding = mode_and_logits(context_of(Wrapped(change), x, y), 0.05)
    assert finding.status == status
    assert ("probabilities" in finding.advice) == (status == "fail")


@pytest.mark.parametrize("classes", [2, 5])
def test_probabilities_of_a_model_that_is_nowhere_sure_show_far_outside_the_images(classes):
    """No output of these images lies near 0 or 1, and none is negative for what it is, so only where they lead to tells."""
    x, y, _ = images(20)
    weight = torch.randn(classes, x[0].numel(), generator=torch.Generator().manual_seed(0)) / 200

    class Unsure(nn.Module):
        def __init__(self, probabilities):
            super().__init__()
            self.probabilities = probabilities

        def forward(self, points):
            z = points.flatten(1) @ weight.T
            return 20 * z.softmax(1) - 8 if self.probabilities else z - z.mean(1, keepdim=True)

    table = Unsure(True)(x)
    assert table.min() > -8 + 0.05 * 20 / classes
    assert mode_and_logits(context_of(Unsure(True), x, y), 0.05).status == "fail"
    assert mode_and_logits(context_of(Unsure(False), x, y), 0.05).status == "pass"


@pytest.mark.parametrize("classes", [3, 7, 10])
def test_shifted_probabilities_of_an_unsure_model_are_told_from_logits_of_the_same_sum(classes):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(64, 3, 8, 8, generator=generator)
    z = torch.randn(64, classes, generator=generator)
    z[torch.arange(64), torch.randint(classes, (64,), generator=generator)] += 2

    class Table(Line):
        def __init__(self, table):
            super().__init__()
            self.table = table

        def forward(self, points):
            return self.table[: len(points)]

    y = z.argmax(1)
    assert mode_and_logits(context_of(Table(20 * z.softmax(1) - 4), x, y), 0.05).status == "fail"
    assert mode_and_logits(context_of(Table(z - z.mean(1, keepdim=True)), x, y), 0.05).status == "pass"


def test_the_attacked_finding_is_looked_at_not_the_others():
    x, y, _ = images(20)
    for change, status in ((lambda z: z, "pass"), (torch.sigmoid, "fail")):
        model = Wrapped(lambda z, change=change: torch.stack([z[:, 0] - 2, change(z[:, 1] - z[:, 0])], 1))
        assert mode_and_logits(context_of(model, x, y, finding=1), 0.05).status == status


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


@pytest.mark.parametrize(("deviation", "statuses"), [(0.0, "pass pass"), (0.02, "pass warn"), (5.0, "fail fail")])
def test_noise_in_the_answers_fails_where_classes_or_margins_change(deviation, statuses):
    torch.manual_seed(0)
    x, y, _ = images(12, (0.02, 0.06))  # margins from 3.8 up
    context = context_of(Wrapped(lambda z: z + deviation * torch.randn_like(z)), x, y)
    assert f"{deterministic(context, 0.05).status} {same_logits(context, 0.05).status}" == statuses


class Counting(Line):
    """One of two lines, in turn, each for so many calls; both give every image its class."""

    def __init__(self, turn: int) -> None:
        super().__init__()
        self.turn, self.calls = turn, 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x) * (1.0 if (self.calls - 1) // self.turn % 2 == 0 else 1.5)


def test_a_call_counter_that_changes_no_class_is_found():
    x, y, _ = images()
    context = context_of(Counting(3), x, y)
    assert deterministic(context, 0.05).status == "pass"
    finding = same_logits(context, 0.05)
    assert finding.status == "fail"
    assert "other logits" in finding.advice
    with pytest.raises(NotRun, match="vary"):
        batch(context, 0.05)


def test_a_model_that_answers_otherwise_after_many_calls_is_found_at_the_end():
    x, y, _ = images()
    context = context_of(Counting(30), x, y)
    assert same_logits(context, 0.05).status == "pass"
    for _ in range(30):
        context.access.logits(x[:1])
    assert same_at_end(context, 0.05).status == "fail"


@pytest.mark.parametrize(
    "change",
    [lambda z: z - z.mean(0, keepdim=True), lambda z: z / z.std(), nn.BatchNorm1d(2, track_running_stats=False)],
)
def test_an_answer_that_depends_on_its_batch_is_found(change):
    x, y, _ = images(24, (0.01, 0.06))
    finding = batch(context_of(Wrapped(change), x, y), 0.05)
    assert finding.status == "fail"
    assert "other images of the batch" in finding.advice


def test_an_answer_that_is_no_number_near_an_image_is_found():
    x, y, _ = images()

    class OnlyThese(Line):
        def forward(self, points):
            known = (points[:, None] == x[None]).flatten(2).all(2).any(1)
            return torch.where(known[:, None], super().forward(points), torch.nan)

    finding = numbers(context_of(OnlyThese(), x, y), 0.0)
    assert (finding.status, finding.figure) == ("fail", 1.0)
    assert "not a number" in finding.advice


def test_minus_infinity_is_an_answer():
    x, y, _ = images()
    model = Wrapped(lambda z: torch.cat([z, torch.full_like(z[:, :1], -torch.inf)], 1))
    for check, threshold in CHECKS:
        assert check(context_of(model, x, y), threshold).status == "pass"


def test_an_accuracy_that_rests_on_these_very_pixels_is_found():
    """A third of the images are right only because they are recognised."""
    x, y, _ = images(30)
    wrong = torch.arange(30) % 3 == 0

    class Remembers(Line):
        def forward(self, points):
            known = (points[:, None] == x[None]).flatten(2).all(2)
            corrected = (known & wrong[None]).any(1)
            z = super().forward(points)
            spoiled = (points[:, None] - x[wrong][None]).abs().flatten(2).amax(2).amin(1) < 0.01
            return torch.where((spoiled & ~corrected)[:, None], z.flip(1), z)

    finding = half_a_level(context_of(Remembers(), x, y), 2.0)
    assert finding.status == "fail"
    assert finding.figure == pytest.approx(100 / 3)
    assert "memorised" in finding.advice
