"""Which native values become 0 and 1: said, and never guessed in silence."""

import numpy as np
import polars as pl
import pytest

from palpate.core.errors import InputError
from palpate.data.values import Native, ValueRangeWarning, plain, value_range


def index(lowest: list[float | None], highest: list[float | None]) -> pl.DataFrame:
    return pl.DataFrame({"lowest": lowest, "highest": highest}, schema={"lowest": pl.Float64, "highest": pl.Float64})


def test_the_type_decides_where_nothing_is_stated() -> None:
    assert value_range(index([0, 3], [255, 128]), plain(np.dtype(np.uint8)), None) == ((0, 255), [])
    assert value_range(index([0], [60000]), plain(np.dtype(np.uint16)), None) == ((0, 65535), [])
    assert value_range(index([0.1], [0.9]), plain(np.dtype(np.float32)), None) == ((0, 1), [])
    assert value_range(index([None], [None]), plain(np.dtype(np.uint8)), None) == ((0, 255), [])


@pytest.mark.parametrize(
    ("native", "highest", "note"),
    [
        (
            plain(np.dtype(np.uint8)),
            100,
            "the values found go from 0 to 100; state value_range, for example (0, 127)",
        ),
        (
            Native(-1024, 0.5, 65536, tagged=True),
            4095,
            "-1024 to 31743.5 became 0 to 1, and the values found go from -1024 to 1023.5",
        ),
    ],
)
def test_bits_that_are_not_used_are_said(native: Native, highest: float, note: str) -> None:
    _, (said,) = value_range(index([0], [highest]), native, None)
    assert note in said


@pytest.mark.parametrize(("highest", "example"), [(4000, r"\(0, 4095\)"), (1, r"\(0, 1\)"), (32767, r"\(0, 32767\)")])
def test_sixteen_bits_of_which_half_are_unused_ask_for_the_range(highest: float, example: str) -> None:
    asked = rf"16 bits and values from 0 to {highest}; state value_range, for example {example} if .*, or \(0, 65535\)"
    with pytest.raises(InputError, match=asked):
        value_range(index([0], [highest]), plain(np.dtype(np.uint16)), None)
    assert value_range(index([0], [highest]), plain(np.dtype(np.uint16)), (0, 65535)) == ((0, 65535), [])


def test_a_stated_range_holds_and_what_leaves_it_is_counted() -> None:
    native = Native(-1024, 1, 4096)
    assert value_range(index([0, 24], [1000, 2000]), native, (-1024, 1000)) == ((-1024, 1000), [])
    with pytest.warns(
        ValueRangeWarning,
        match=r"and 1 of 2 images have values outside it \(from -1024 to 976\)",
    ):
        ends, notes = value_range(index([0, 24], [1000, 2000]), native, (-1000, 1000))
    assert (ends, len(notes)) == ((-1000, 1000), 1)


def test_a_stated_range_that_the_files_cannot_hold_is_warned_of() -> None:
    held = (
        r"0 to 4095 is stated, and the files can only hold values from 0 to 255 \(found 0 to 200\): is it their range"
    )
    with pytest.warns(ValueRangeWarning, match=held):
        ends, (said,) = value_range(index([0], [200]), plain(np.dtype(np.uint8)), (0, 4095))
    assert (ends, "is it their range?" in said) == ((0, 4095), True)
    assert value_range(index([0], [300]), plain(np.dtype(np.uint16)), (0, 4095)) == ((0, 4095), [])


def test_standardised_numbers_are_refused() -> None:
    with pytest.raises(InputError, match=r"images have values from -2.1 to 2.6; state the values of black and white"):
        value_range(index([-2.1], [2.6]), plain(np.dtype(np.float32)), None)
