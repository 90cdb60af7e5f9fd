"""Counts by label and prediction are those of the rows, as scikit-learn counts them."""

import numpy as np
import polars as pl
from sklearn.metrics import confusion_matrix

from palpate.statistics.clinical import CONFUSION, confusion


def test_counts_are_those_of_scikit_learn(make_rows):
    rng = np.random.default_rng(0)
    labels, correct = rng.integers(0, 4, 60), np.sort(rng.random((3, 60)) < 0.6, axis=0)[::-1]
    rows = make_rows(correct, labels)
    found = confusion(rows)
    assert dict(found.schema) == CONFUSION
    for index in range(3):
        part = rows.filter(epsilon_index=index)
        counts = np.zeros((4, 4), int)
        for label, prediction, n in found.filter(epsilon_index=index).select("label", "prediction", "n").iter_rows():
            counts[label, prediction] = n
        np.testing.assert_array_equal(counts, confusion_matrix(part["label"], part["prediction"], labels=range(4)))


def test_failed_images_have_no_prediction_and_are_counted(make_rows):
    rows = make_rows(np.ones((2, 6)), [0, 1, 2] * 2, epsilons=(0.01,), failed=[(1, 0), (1, 3)])
    found = confusion(rows)
    assert found.filter(pl.col("prediction").is_null()).select("label", "n").rows() == [(0, 2)]
    assert found["n"].sum() == len(rows)
