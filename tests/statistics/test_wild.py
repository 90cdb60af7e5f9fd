"""Any small table of rows gives finite figures or a reason, whatever survived, failed, repeated or was never there."""

import math

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import palpate
from palpate.core.errors import InputError
from palpate.statistics.clinical import directed_curves, operating_points
from palpate.statistics.curves import curve


@st.composite
def tables(draw, make):
    """Rows of two models, one to three runs each, on one to eight images."""
    n = draw(st.integers(1, 8))
    labels = draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))
    groups = draw(st.none() | st.lists(st.integers(0, 3), min_size=n, max_size=n))
    image = st.tuples(st.integers(0, 2), st.integers(0, n - 1))
    sides = []
    for attention in ("none", "full"):
        runs = []
        for seed in range(draw(st.integers(1, 3))):
            correct = draw(st.lists(st.lists(st.booleans(), min_size=n, max_size=n), min_size=3, max_size=3))
            failed = draw(st.sets(image, max_size=3))
            split = draw(st.sampled_from(["test", "test", "val"]))
            runs.append(
                make(correct, labels, groups=groups, attention=attention, seed=seed, failed=failed, split=split)
            )
        sides.append(pl.concat(runs))
    return sides


def all_finite(table: pl.DataFrame) -> bool:
    floats = table.select(pl.selectors.float())
    return all(floats[name].drop_nulls().is_finite().all() for name in floats.columns)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_figures_are_finite_or_there_is_a_reason(make_rows, data):
    a, b = data.draw(tables(make_rows))
    for table in (a, pl.concat([a, b])):
        assert all_finite(curve(table))
        assert all_finite(directed_curves(table))
        assert all_finite(operating_points(table, repetitions=20))
    try:
        found = palpate.compare(a, b)
    except InputError as error:
        assert str(error)
        return
    assert all_finite(found.to_frame())
    assert "nan" not in str(found)
    assert "inf" not in str(found)
    for point in found.points:
        assert -100 <= point.low <= point.points <= point.high <= 100
        assert 0 < point.p <= point.p_adjusted <= 1
        if point.ratio is not None and point.ratio_low is not None and point.ratio_high is not None:
            assert math.isfinite(point.ratio_high)
            assert point.ratio_low <= point.ratio <= point.ratio_high
