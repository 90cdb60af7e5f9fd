"""The paper's models have exactly as many parameters as Keras counts in them."""

import pytest

from palpate.models.build import build
from palpate.papers.wasserman2022.parameters import parameter_count, parameter_table


@pytest.fixture(scope="module")
def table():
    return parameter_table()


def test_every_model_of_the_paper_counts_to_the_unit(table):
    assert len(table) == 12
    for row in table:
        assert row.counted == row.keras, row


@pytest.mark.parametrize(("num_classes", "percent"), [(2, 1.267), (7, 1.310)])
def test_attention_costs_what_the_paper_says(table, num_classes, percent):
    counts = {
        row.attention: row.counted
        for row in table
        if (row.backbone, row.num_classes) == ("keras:resnet50", num_classes)
    }
    assert round(100 * (counts["full"] / counts[None] - 1), 3) == percent


def test_torch_and_keras_differ_by_what_the_table_says():
    model = build("resnet50", size=64)
    norms = 26_560  # channels of all 53 batch norms
    assert parameter_count(model, as_keras=False) == 23_508_032 + 2 * 2048 + 2
    assert parameter_count(model) == parameter_count(model, as_keras=False) + 3 * norms
    assert parameter_count(model) == 23_591_810
