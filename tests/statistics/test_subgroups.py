"""Subgroups: rates counted by hand, intervals of another library, one threshold from clean validation images, and nothing said of few images."""

import datetime

import numpy as np
import polars as pl
import pytest
from scipy.stats import binomtest
from sklearn.metrics import roc_curve

from palpate.core.errors import InputError
from palpate.core.rows import SCHEMA
from palpate.statistics.subgroups import NOT_STATED, banded, choose_columns, subgroups


def rows(
    split: str, scores: np.ndarray, labels: np.ndarray, attack: str = "none", step: int = 0, inherited: bool = False
) -> pl.DataFrame:
    """Rows of a two-class model whose logits are (0, score)."""
    n = len(labels)
    found = {
        **dict.fromkeys(SCHEMA),
        "task": "t", "split": split, "finding": "f", "model_id": "m#0", "attack_id": attack, "attack": attack,
        "epsilon_index": step, "epsilon": step / 255, "status": "ok", "seed": 0, "norm": None if attack == "none" else "linf",
    }  # fmt: skip
    table = pl.DataFrame({name: [value] * n for name, value in found.items()}, schema=SCHEMA)
    predicted = (scores > 0).astype(int)
    return table.with_columns(
        image_id=pl.Series([f"{split}{i}" for i in range(n)]),
        group_id=pl.Series([f"{split}{i}" for i in range(n)]),
        label=pl.Series(labels, dtype=pl.Int32),
        logits=pl.Series([[0.0, score] for score in scores], dtype=pl.List(pl.Float64)),
        prediction=pl.Series(predicted, dtype=pl.Int32),
        correct=pl.Series(predicted == labels),
        inherited=pl.lit(inherited),
    )


@pytest.fixture
def drawn() -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(0)
    labels, sex = rng.integers(0, 2, (2, 300))
    return labels, labels * 1.5 + rng.normal(0.5, 1, 300), np.array(["F", "M"])[sex]


def test_rates_are_those_counted_by_hand_at_the_threshold_of_validation(drawn: tuple[np.ndarray, ...]) -> None:
    labels, scores, sex = drawn
    metadata = pl.DataFrame({"image_id": [f"test{i}" for i in range(300)], "sex": sex})
    found = subgroups(pl.concat([rows("val", scores, labels), rows("test", scores[::-1], labels[::-1])]), metadata)
    fpr, tpr, thresholds = roc_curve(labels, scores)
    threshold = thresholds[np.argmax(tpr - fpr)]
    assert set(found["decision"]) == {"threshold"}
    for line in found.iter_rows(named=True):
        own = (sex == line["value"]) & (labels[::-1] == (line["error"] == "missed disease"))
        wrong = (scores[::-1][own] >= threshold) != labels[::-1][own]
        assert (line["n"], line["rate"]) == (own.sum(), wrong.mean())
        expected = binomtest(int(wrong.sum()), len(wrong)).proportion_ci(method="wilson")
        assert (line["low"], line["high"]) == pytest.approx((expected.low, expected.high))
    assert len(found) == 4


def test_an_attack_that_stops_at_the_boundary_is_judged_by_the_largest_logit(drawn: tuple[np.ndarray, ...]) -> None:
    labels, scores, sex = drawn
    metadata = pl.DataFrame({"image_id": [f"test{i}" for i in range(300)], "sex": sex})
    val, clean = rows("val", scores, labels), rows("test", scores, labels)
    for inherited, decision in ((True, "model"), (False, "threshold")):
        attacked = [rows("test", scores - 1, labels, "a", step, inherited and step == 1) for step in (0, 1)]
        found = subgroups(pl.concat([val, clean, *attacked]), metadata)
        assert dict(found.group_by("attack_id").agg(pl.col("decision").unique()).rows()) == {
            "none": ["threshold"],
            "a": [decision],
        }
    without = subgroups(pl.concat([clean, *attacked]), metadata)
    assert set(without["decision"]) == {"model"}
    missed = without.filter(attack_id="a", epsilon_index=1, value="F", error="missed disease")["rate"].item()
    assert missed == ((scores - 1 <= 0) & (labels == 1) & (sex == "F")).sum() / ((labels == 1) & (sex == "F")).sum()


def test_few_images_get_no_rate_and_failed_ones_are_errors() -> None:
    labels = np.array([1] * 20 + [0] * 20)
    site = ["a"] * 15 + ["b"] * 5 + ["a"] * 20
    table = rows("test", np.where(labels == 1, 1.0, -1.0), labels).with_columns(
        status=pl.when(pl.col("image_id") == "test0").then(pl.lit("failed")).otherwise("status")
    )
    metadata = pl.DataFrame({"image_id": [f"test{i}" for i in range(39)], "site": site[:39]})
    found = {(line["value"], line["error"]): line for line in subgroups(table, metadata).iter_rows(named=True)}
    assert found["a", "missed disease"]["rate"] == 1 / 15
    assert found["b", "missed disease"]["rate"] is None
    assert found["b", "missed disease"]["note"] == "fewer than 10 images"
    assert found[NOT_STATED, "false alarm"]["n"] == 1
    patients = table.with_columns(group_id=pl.lit("one"))
    wide = subgroups(patients, metadata).filter(value="a", error="false alarm").row(0, named=True)
    assert (wide["groups"], wide["low"]) == (1, 0)
    assert wide["high"] > found["a", "false alarm"]["high"]


def test_classes_that_are_the_disease_together_and_none() -> None:
    labels, predicted = np.repeat([0, 1, 2], 20), np.concatenate([np.full(20, 1), np.full(20, 0), np.full(20, 1)])
    table = rows("test", np.zeros(60), labels).with_columns(
        prediction=pl.Series(predicted, dtype=pl.Int32),
        correct=pl.Series(predicted == labels),
        logits=pl.lit([0.0, 0.0, 0.0]),
    )
    metadata = pl.DataFrame({"image_id": [f"test{i}" for i in range(60)], "view": ["x"] * 60})
    together = {line["error"]: line["rate"] for line in subgroups(table, metadata, (1, 2)).iter_rows(named=True)}
    assert together == {"missed disease": 0.5, "false alarm": 1.0}
    (line,) = subgroups(table, metadata, ()).iter_rows(named=True)
    assert (line["error"], line["rate"], line["n"]) == ("misclassified", 1.0, 60)


def test_numbers_become_bands_and_columns_are_chosen_or_refused() -> None:
    age = pl.Series("age", [0, 5, 17, 20, 39, 40, 61, 80, 85, None])
    assert banded(age).to_list() == [
        "0–19",
        "0–19",
        "0–19",
        "20–39",
        "20–39",
        "40–59",
        "60–79",
        "80–99",
        "80–99",
        NOT_STATED,
    ]
    dose = banded(pl.Series("dose", [0.01 * i for i in range(11)]))
    assert dose.n_unique() <= 7
    assert dose[0] == "0 to 0.02"
    assert banded(pl.Series("sex", ["F", " ", "M", None])).to_list() == ["F", NOT_STATED, "M", NOT_STATED]
    metadata = pl.DataFrame(
        {"age": age, "name": [f"n{i}" for i in range(10)], "same": ["x"] * 10, "sex": ["F", "M"] * 5}
    )
    assert choose_columns(metadata.with_columns(name=pl.Series([f"n{i}" for i in range(10)])), None) == [
        "age",
        "name",
        "sex",
    ]
    with pytest.raises(InputError, match=r"subgroups: column 'site' is not among the metadata; found 'age', 'name'"):
        choose_columns(metadata, ["site"])
    many = pl.DataFrame({"id": [f"n{i}" for i in range(13)]})
    assert choose_columns(many, None) == []
    assert choose_columns(many, ["id"]) == ["id"]
    many = pl.DataFrame({"id": [f"n{i}" for i in range(31)]})
    with pytest.raises(InputError, match="column 'id' has 31 values, and at most 30 are shown"):
        choose_columns(many, ["id"])


def test_columns_of_any_type_make_subgroups() -> None:
    """Of parquet: lists, durations, structs and binary values; a number that is none counts as not stated."""
    metadata = pl.DataFrame(
        {
            "views": [["AP"], ["AP", "LL"]] * 5,
            "wait": [datetime.timedelta(days=1), datetime.timedelta(days=2)] * 5,
            "place": [{"room": 1}, {"room": 2}] * 5,
            "mark": [b"a", b"b"] * 5,
            "dose": [float("nan"), *map(float, range(1, 10))],
        }
    )
    assert choose_columns(metadata, None) == metadata.columns
    assert banded(metadata["views"]).unique().sort().to_list() == ["['AP', 'LL']", "['AP']"]
    assert set(banded(metadata["dose"])) == {"not stated", "0–1", "2–3", "4–5", "6–7", "8–9"}
