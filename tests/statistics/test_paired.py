"""compare() on tables with a known answer, on poor ones, and on tables that cannot be paired."""

import json
import math
import re

import numpy as np
import polars as pl
import pytest
from scipy import stats

import palpate
from palpate.core import rows
from palpate.core.errors import InputError
from palpate.statistics.differences import holm

LABELS = np.arange(120) % 2
EPSILONS = (1 / 255, 2 / 255, 4 / 255)


def survivors(counts: tuple[int, ...], n: int = 120, start: int = 0) -> np.ndarray:
    """(E, N): at each epsilon so many images survive, counted from `start` round the circle."""
    place = (np.arange(n) - start) % n
    return np.stack([place < count for count in counts])


@pytest.fixture
def plain(make_rows):
    return make_rows(survivors((110, 90, 60, 12)), LABELS, epsilons=EPSILONS)


@pytest.fixture
def attentive(make_rows):
    return make_rows(survivors((108, 96, 66, 13), start=2), LABELS, epsilons=EPSILONS, attention="full")


def seeds(make_rows, attention, shifts, **more) -> pl.DataFrame:
    """One run per shift, each that many images better at every epsilon."""
    return pl.concat(
        [
            make_rows(
                survivors((110 + s, 90 + s, 60 + s, 12 + s)),
                LABELS,
                epsilons=EPSILONS,
                attention=attention,
                seed=i,
                **more,
            )
            for i, s in enumerate(shifts)
        ]
    )


def finite(value) -> bool:
    """No NaN and no infinity anywhere."""
    if isinstance(value, dict):
        return all(map(finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def test_one_run_each_by_hand(plain, attentive):
    found = palpate.compare(plain, attentive)
    # At 1/255 a keeps images 0–89, b keeps 2–97: only a 2, only b 8.
    assert [point.points for point in found.points] == pytest.approx([-100 * 2 / 120, 5.0, 5.0, 100 / 120])
    assert found.points[1].p == pytest.approx(stats.binomtest(2, 10).pvalue)
    assert [point.p_adjusted for point in found.points] == pytest.approx(
        holm([point.p for point in found.points]).tolist()
    )
    assert not found.architectures
    assert found.sentence == (
        "with vs. without attention: +5.0 [−0.6, 10.4] points at ε = 0.00784 (2/255), one run each, 120 images: "
        "no significant difference (Holm-adjusted p = 0.44); two weight files, not two architectures"
    )
    # trapezoids over 0, 1, 2, 4 (/255): means of the ends −1.667, 5, 5, 0.833 weighed 1, 1, 2, over 4
    assert found.area is not None
    assert found.area.points == pytest.approx(((-5 / 3 + 5) / 2 + 5 + 2 * (5 + 5 / 6) / 2) / 4)
    assert (found.images, found.groups, found.a, found.b) == (120, 120, "resnet18#0", "resnet18+full#0")


def test_swapping_the_models_turns_every_sign(plain, attentive):
    forth, back = palpate.compare(plain, attentive), palpate.compare(attentive, plain)
    for one, other in zip(forth.points, back.points, strict=True):
        assert (one.points, one.low, one.high) == pytest.approx((-other.points, -other.high, -other.low))
        assert one.p == pytest.approx(other.p)
    assert back.sentence.startswith("without vs. with attention: −5.0 [")


def test_seeds_on_both_sides_are_a_claim_about_architectures(make_rows):
    groups = np.minimum(np.arange(120), 99)
    found = palpate.compare(
        seeds(make_rows, "none", (0, 3, -3), groups=groups),
        seeds(make_rows, "full", (1, 4, -2), groups=groups),
        unit="lesions",
    )
    assert found.architectures
    assert re.fullmatch(
        r"with vs\. without attention: \+0\.8 \[−\d+\.\d, \d+\.\d\] points at ε = 0\.00784 \(2/255\), 3 seeds each, "
        r"120 images of 100 lesions: no significant difference \(Holm-adjusted p = 1\.00\)",
        found.sentence,
    )
    assert found.a == "resnet18"


def test_a_real_difference_is_shown_and_where(make_rows):
    found = palpate.compare(seeds(make_rows, "none", (0, 1, -1)), seeds(make_rows, "full", (40, 41, 39)))
    assert "significant difference (Holm-adjusted p " in found.sentence
    assert "no significant" not in found.sentence
    mixed = palpate.compare(
        make_rows(survivors((110, 60, 40, 5)), LABELS, epsilons=EPSILONS),
        make_rows(survivors((110, 60, 80, 5)), LABELS, epsilons=EPSILONS, attention="full"),
    )
    assert (
        "no significant difference (Holm-adjusted p = 1.00), but a significant one at ε = 0.00784 (2/255) (+33.3 points)"
        in (mixed.sentence)
    )


def test_ratio_is_refused_on_a_small_denominator(make_rows):
    labels = np.arange(200) % 2
    few = make_rows(survivors((180, 60, 1), 200), labels)
    many = make_rows(survivors((180, 90, 20), 200), labels, attention="full")
    found = palpate.compare(few, many)
    assert found.points[2].ratio is None
    refusal = "no ratio, its denominator is too small (correct images: 1, patients or lesions: 1)"
    assert found.points[2].ratio_note == refusal
    assert refusal in str(found)
    middle = found.points[1]
    assert middle.ratio == pytest.approx(1.5)
    assert middle.ratio_low is not None
    assert middle.ratio_high is not None
    # Katz's log interval for independent shares
    katz = 1.96 * np.sqrt(1 / 60 - 1 / 200 + 1 / 90 - 1 / 200)
    assert (middle.ratio_low, middle.ratio_high) == pytest.approx((1.5 * np.exp(-katz), 1.5 * np.exp(katz)), rel=0.03)


def test_the_median_radius_is_that_of_the_images_classified_correctly(plain, attentive):
    found = palpate.compare(plain, attentive).median_radius_a
    # Of 120, 10 are wrong when clean; of the 110, 20 fall at 1/255, 30 at 2/255 and 48 at 4/255: the 55th.
    assert found is not None
    assert (found.value, found.images) == (4 / 255, 110)
    assert (found.low, found.high) == (2 / 255, 4 / 255)


def test_never_fooled_is_said_and_is_not_infinity(make_rows):
    sturdy = make_rows(np.ones((3, 40), bool), np.arange(40) % 2)
    found = palpate.compare(sturdy, make_rows(np.ones((3, 40), bool), np.arange(40) % 2, attention="full"))
    assert found.median_radius_a is not None
    assert found.median_radius_a.value is None
    assert "resnet18#0: no image was fooled up to ε = 0.00784 (2/255)" in " ".join(found.notes)
    assert "> 0.00784" in str(found)
    assert finite(found.to_dict())


def test_all_wrong_when_clean_is_said(make_rows, attentive):
    labels = np.arange(120) % 2
    wrong = make_rows(np.zeros((4, 120), bool), labels, epsilons=EPSILONS)
    found = palpate.compare(wrong, attentive)
    assert "resnet18#0: all images are already wrong when clean, so no attack is needed" in found.notes
    assert finite(found.to_dict())


def test_a_model_without_signal_is_said(make_rows, attentive):
    blind = make_rows(np.tile(LABELS == 0, (4, 1)), LABELS, epsilons=EPSILONS)
    assert any("not significantly above chance" in note for note in palpate.compare(blind, attentive).notes)


@pytest.mark.parametrize(
    ("labels", "groups", "words"),
    [
        ([1] * 12, None, "one class"),
        ([0, 1] * 6, [3] * 12, "all images belong to one group"),
        ([0, 1], None, "2 images"),
    ],
)
@pytest.mark.parametrize("worse", [0, 1])
def test_poor_tables_give_a_sentence_and_never_nan(make_rows, labels, groups, words, worse):
    n = len(labels)
    a = make_rows(np.ones((3, n), bool), labels, groups=groups)
    b = make_rows(np.ones((3, n), bool) ^ bool(worse), labels, groups=groups, attention="full")
    for first, second in ((a, b), (b, a), (a, a)):
        found = palpate.compare(first, second)
        assert words in found.sentence + " ".join(found.notes)
        assert finite(found.to_dict())
        assert "nan" not in str(found)
        assert words != "all images belong to one group" or all(point.p == 1 for point in found.points)


def test_seeds_that_differ_are_said(make_rows):
    a, b = seeds(make_rows, "none", (0, 1, 2)), seeds(make_rows, "full", (0, 1, 2, 3, 4)).filter(pl.col("seed") > 2)
    notes = " ".join(palpate.compare(a, b).notes)
    assert "seeds differ (0, 1, 2 vs. 3, 4)" in notes
    assert "3 vs. 2 runs" in notes
    assert "2 vs. 3 runs" in palpate.compare(a, b).sentence
    lone = palpate.compare(a, b.filter(seed=3))
    assert not lone.architectures
    assert "1 vs. 3 runs" in lone.sentence


def test_images_of_one_table_only_are_left_out_and_said(plain, attentive):
    found = palpate.compare(plain, attentive.filter(pl.col("image_id") >= "i0020"))
    assert found.images == 100
    assert "left out: images in a only, 20" in found.notes


def test_failed_images_are_left_out_of_both_and_said(make_rows, attentive):
    plain = make_rows(survivors((110, 90, 60, 12)), LABELS, epsilons=EPSILONS, failed={(1, 5), (3, 7)})
    found = palpate.compare(plain, attentive)
    assert found.images == 118
    assert any(note.startswith("left out of both") and note.endswith(", 2") for note in found.notes)


def test_clean_rows_of_a_whole_test_set_may_come_along(make_rows, plain, attentive):
    """The predict stage holds the whole test split, the attack stage its first images and their clean rows again."""
    more = make_rows(np.ones((4, 150), bool), np.arange(150) % 2, epsilons=EPSILONS).filter(epsilon_index=0)
    more = more.filter(pl.col("image_id") >= "i0120")
    found = palpate.compare(pl.concat([plain, more, plain.filter(epsilon_index=0)]), attentive)
    assert found.images == 120
    assert found.points == palpate.compare(plain, attentive).points


def test_clean_only_tables_are_compared_without_area_or_radius(plain, attentive):
    found = palpate.compare(plain.filter(epsilon_index=0), attentive.filter(epsilon_index=0))
    assert found.area is found.median_radius_a is None
    assert "on clean images" in found.sentence
    assert str(found)


def test_paths_frames_and_json_agree(plain, attentive, tmp_path):
    rows.write(plain, tmp_path / "a.parquet")
    rows.write(attentive, tmp_path / "b.parquet")
    found = palpate.compare(tmp_path / "a.parquet", str(tmp_path / "b.parquet"))
    assert found == palpate.compare(plain, attentive)
    again = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert again["points"][1]["points"] == found.to_frame()["points"][1]
    assert found.to_frame()["epsilon_index"].to_list() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.with_columns(image_id=pl.lit("x") + pl.col("image_id")), "none is in both"),
        (lambda t: t.with_columns(label=1 - pl.col("label")), "have another in b than in a"),
        (lambda t: t.with_columns(epsilon=2 * pl.col("epsilon")), "the same epsilons are needed"),
        (lambda t: t.with_columns(attack_id=pl.col("attack_id").replace("sweep", "foolbox")), "share no attack"),
        (lambda t: t.with_columns(finding=pl.lit("nodule")), "the same finding"),
        (lambda t: t.with_columns(split=pl.lit("val")), "one split"),
        (
            lambda t: pl.concat([t, t.with_columns(backbone=pl.lit("vit"), model_id=pl.lit("vit#0"))]),
            "rows of one architecture",
        ),
        (lambda t: pl.concat([t, t.with_columns(task=pl.lit("other"))]), "rows of one task"),
        (lambda t: t.with_columns(status=pl.lit("failed")), "no image has a result"),
        (lambda t: t.clear(), "no row"),
        (lambda t: t.drop("radius"), "missing"),
        (lambda t: t.filter(epsilon_index=2).with_columns(epsilon_index=pl.lit(9, pl.Int32)), "none is shared"),
    ],
)
def test_tables_that_cannot_be_paired_are_refused_with_the_reason(plain, attentive, change, words):
    with pytest.raises(InputError, match=words):
        palpate.compare(plain, change(attentive))


def test_one_of_several_attacks_must_be_named(plain, attentive):
    both = [
        pl.concat([t, t.filter(pl.col("epsilon_index") > 0).with_columns(attack_id=pl.lit("loss"))])
        for t in (plain, attentive)
    ]
    with pytest.raises(InputError, match="name one"):
        palpate.compare(*both)
    assert palpate.compare(*both, attack_id="loss").attack_id == "loss"
    with pytest.raises(InputError, match="attack_id"):
        palpate.compare(*both, attack_id="none of these")
