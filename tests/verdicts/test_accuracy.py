"""Clean accuracy, claimed and expected, and the order of the classes."""

import dataclasses

import pytest
import torch
from tests.verdicts.linear import EPSILONS, Line, claim, context_of, images
from torch import nn

from palpate.attacks.api import sweep
from palpate.verdicts.accuracy import class_order, clean_accuracy
from palpate.verdicts.api import trust
from palpate.verdicts.check import NotRun


class Ten(nn.Module):
    """Class k where the first pixel is k / 10, wrong where the second is white; its classes may have other names."""

    def __init__(self, names: list[int] | None = None) -> None:
        super().__init__()
        self.names = torch.tensor(names or list(range(10)))

    def forward(self, x):
        place = (10 * x[:, 0, 0, 0]).round().long() + (x[:, 0, 0, 1] > 0.9).long()
        return 5.0 * nn.functional.one_hot(self.names[place % 10], 10)


def _ten(count: int = 60, wrong: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    y = torch.arange(count) % 10
    x = torch.full((count, 3, 8, 8), 0.5)
    x[:, 0, 0, 0] = y / 10
    x[:wrong, 0, 0, 1] = 1.0
    return x, y


def test_classes_in_their_own_order_pass_whatever_the_accuracy():
    for wrong in (0, 6, 60):
        x, y = _ten(wrong=wrong)
        finding = class_order(context_of(Ten(), x, y), 10.0)
        assert finding.status == ("fail" if wrong == 60 else "pass")  # every class taken for the next is another order
        assert f"{100 - 100 * wrong // 60}%" in finding.advice


def test_a_model_that_guesses_is_not_accused_of_another_order():
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        x, _ = _ten(64, 0)
        y = torch.randint(0, 10, (64,), generator=generator)
        assert class_order(context_of(Ten(), x, y), 10.0).status == "pass"


@pytest.mark.parametrize(
    "names", [[1, 2, 3, 4, 5, 6, 7, 8, 9, 0], [1, 0, 2, 3, 4, 5, 6, 7, 8, 9], list(range(9, -1, -1))]
)
def test_permuted_classes_fail(names):
    x, y = _ten(100, 10)
    finding = class_order(context_of(Ten(names), x, y), 10.0)
    assert finding.status == "fail"
    moved = sum(name != place for place, name in enumerate(names))
    assert finding.figure == pytest.approx(90 * moved / 10, abs=20)
    assert "permuted" in finding.advice


def test_inverted_labels_fail():
    x, y, _ = images(20)
    finding = class_order(context_of(Line(), x, 1 - y), 10.0)
    assert (finding.status, finding.figure) == ("fail", 100.0)


def test_labels_counted_from_one_fail_by_name():
    x, y = _ten()
    finding = class_order(context_of(Ten(), x, y + 1), 10.0)
    assert finding.status == "fail"
    assert "from 1 to 10" in finding.advice
    assert "from 0 to 9" in finding.advice
    with pytest.raises(NotRun, match="label lies outside"):
        clean_accuracy(context_of(Ten(), x, y + 1), 1.0)


def test_errors_counted_as_robust_are_found_and_the_claim_is_stated():
    x, y = _ten()
    radius = torch.where(torch.arange(60) < 6, 0.0, torch.inf).double()
    honest = clean_accuracy(context_of(Ten(), x, y, swept=claim(x, y, radius, None)), 1.0)
    assert (honest.status, honest.figure) == ("pass", 0.0)
    assert "right on 90% of 60 images" in honest.advice
    assert "the sweep claims 90%" in honest.advice
    finding = clean_accuracy(context_of(Ten(), x, y, swept=claim(x, y, torch.full_like(radius, torch.inf), None)), 1.0)
    assert finding.status == "fail"
    assert finding.figure == pytest.approx(10.0)
    assert "the sweep claims 100%" in finding.advice
    assert "counts 6 of 60 images" in finding.advice


def test_an_answer_that_changes_is_no_wrong_claim():
    """Right every second time: the sweep met the other answer, and neither is a mistake."""

    class Now(Ten):
        calls = 0

        def forward(self, x):
            self.calls += 1
            return super().forward(x).roll(self.calls % 2, 1)

    x, y = _ten(wrong=0)
    swept = claim(x, y, torch.full((60,), torch.inf, dtype=torch.float64), None)
    assert clean_accuracy(context_of(Now(), x, y, swept=swept), 1.0).status == "pass"


@pytest.mark.parametrize(("expect", "status"), [(0.9, "pass"), (0.95, "pass"), (0.5, "pass"), (1.0, "fail")])
def test_an_expected_accuracy_is_compared_and_chance_is_allowed_for(expect, status):
    x, y = _ten()
    context = dataclasses.replace(context_of(Ten(), x, y), expect=expect)
    finding = clean_accuracy(context, 1.0)
    assert finding.status == status
    assert f"{expect:.0%} was expected" in finding.advice
    assert ("mean and standard deviation" in finding.advice) == (status == "fail")


def test_forgotten_normalisation_shows_by_the_expected_accuracy_and_is_named():
    """A line that was trained on images from −1 to 1 sees only one side of it in [0, 1]."""

    class Signed(Line):
        def forward(self, x):
            return super().forward((x + 1) / 2)

    x, y, _ = images(40)
    model = Signed().eval()
    assert (model(2 * x - 1).argmax(1) == y).all()
    verdicts = {each.name: each for each in trust(model, x, y, EPSILONS, expect=1.0)}
    assert verdicts["clean accuracy"].status == "fail"
    assert "images from −1 to 1 are classified better" in verdicts["clean accuracy"].advice
    assert verdicts["clean accuracy"].figure == pytest.approx(
        100 * (1 - float((model(x).argmax(1) == y).float().mean()))
    )


def test_a_sweep_with_other_labels_fails_and_one_of_other_images_is_not_examined():
    x, y, _ = images(20)
    found = sweep(Line(), x, y, EPSILONS, "fast")
    verdicts = {each.name: each for each in trust(Line(), x, y.roll(1), EPSILONS, found)}
    assert verdicts["clean accuracy"].status == "fail"
    assert verdicts["clean accuracy"].figure == 100.0
    assert "another label" in verdicts["clean accuracy"].advice
    assert verdicts["independent attacks"].status == "not run"
    verdicts = {each.name: each for each in trust(Line(), x[1:], y[1:], EPSILONS, found)}
    assert verdicts["clean accuracy"].status == "not run"


def test_an_expected_accuracy_is_compared_on_all_images_where_that_is_cheap():
    """On 64 images 80 % where 90 % was expected may be chance; on 300 it is not."""
    x, _, _ = images(300)
    y = Line()(x).argmax(1)
    wrong = torch.arange(300) % 5 == 0
    labels = torch.where(wrong, 1 - y, y)
    verdict = {each.name: each for each in trust(Line(0.5), x, labels, EPSILONS, expect=0.9)}["clean accuracy"]
    assert verdict.status == "fail"
    assert "80% of 300 images" in verdict.advice
