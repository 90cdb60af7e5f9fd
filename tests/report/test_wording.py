"""The sentences claim what the points show, and nothing where there is no signal."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palpate.report.load import Line, Point
from palpate.report.wording import answer, both, epsilon, first_below, interval, levels, measured, share


def point(index: int, accuracy: float | None, majority: float = 0.5, **changes) -> Point:
    base = Point(
        epsilon_index=index,
        epsilon=0.01 * index,
        n=100,
        groups=50,
        failed=0,
        accuracy=accuracy,
        low=None if accuracy is None else max(0.0, accuracy - 0.1),
        high=None if accuracy is None else min(1.0, accuracy + 0.1),
        balanced_accuracy=0.8,
        balanced_low=0.7,
        balanced_high=0.9,
        majority_rate=majority,
        chance=0.5,
        signal=True,
        note="",
    )
    return dataclasses.replace(base, **changes)


def line(*points: Point, clean: Point | None = None) -> Line:
    return Line("skin", "skin", "m#0", "sweep-standard", clean or points[0], points)


def test_a_model_gives_at_the_first_epsilon_below_the_majority_rate():
    said = answer(line(point(0, 0.9), point(1, 0.7), point(2, 0.3), point(3, 0.1)))
    assert (said.state, said.figure) == ("gives", "0.02")
    assert "gives at ε = 0.02 (5.1/255)" in said.sentence
    assert "from 90% to 30% [20, 40] of 100 images" in said.sentence
    assert "majority rate of 50%" in said.sentence
    assert "still includes" not in said.sentence


def test_an_interval_that_reaches_the_majority_rate_is_said():
    said = answer(line(point(0, 0.9), point(1, 0.45)))
    assert said.state == "gives"
    assert "still includes that rate" in said.sentence


def test_a_model_that_stays_above_is_not_praised():
    said = answer(line(point(0, 0.9), point(1, 0.8), point(2, 0.7)))
    assert (said.state, said.figure) == ("held", "> 0.02")
    assert "stronger attack may still" in said.sentence


def test_no_signal_is_judged_on_the_whole_test_split_and_claims_nothing():
    silent = point(0, 0.6, signal=False, balanced_accuracy=0.52, balanced_low=0.45, n=400)
    said = answer(line(point(0, 0.9), point(1, 0.1), clean=silent))
    assert (said.state, said.figure) == ("no signal", "no signal")
    assert "52% [45, 90] on 400 images" in said.sentence
    assert "gives at" not in said.sentence


def test_clean_accuracy_below_the_majority_rate_is_measured_by_its_half():
    said = answer(line(point(0, 0.6, 0.7), point(1, 0.4, 0.7), point(2, 0.29, 0.7)))
    assert (said.state, said.figure) == ("gives", "0.02")
    assert "not above the majority rate of 70%" in said.sentence
    assert answer(line(point(0, 0.6, 0.7), point(1, 0.5, 0.7))).state == "held"


@pytest.mark.parametrize(
    ("given_line", "reason"),
    [
        (line(point(0, 0.9)), "no attack has been run"),
        (line(point(0, 0.9), point(1, None, note="the attack failed on all 100 images: no result")), "failed on all"),
        (line(point(0, 0.9, signal=None, note="one class: does not apply")), "one class"),
    ],
)
def test_what_cannot_be_answered_says_why(given_line: Line, reason: str):
    said = answer(given_line)
    assert said.state == "unknown"
    assert reason in said.sentence


shares = st.floats(0, 1)


@given(st.lists(st.one_of(st.none(), shares), min_size=1, max_size=6), shares, st.sampled_from([True, False, None]))
def test_every_answer_is_a_sentence_without_the_word_robust_or_nan(accuracies, majority, signal):
    points = [point(i, value, majority, signal=signal) for i, value in enumerate(accuracies)]
    said = answer(line(*points))
    assert said.sentence.endswith(".")
    assert "robust" not in said.sentence
    assert "nan" not in said.sentence.lower()
    assert "None" not in said.sentence
    if signal is False:
        assert said.state == "no signal"


def test_numbers_are_written_one_way():
    assert (epsilon(1e-5), epsilon(0.00392156), levels(0.5)) == ("1.00e-05", "0.00392", "128/255")
    assert both(0) == "0 (0/255)"
    assert (share(0.0), share(1.0), share(0.005)) == ("0%", "100%", "1%")
    assert interval(None, 0.3) == ""
    assert measured(point(1, 0.5)) == "50% [40, 60] of 100 images"
    assert first_below([point(1, 0.5), point(2, None), point(3, 0.4)], 0.5) == point(3, 0.4)
