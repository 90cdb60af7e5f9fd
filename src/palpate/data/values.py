"""Which values of the files become 0 and 1: stated, or as the type of the files or their tags say, and what was found beside it."""

import math
import warnings
from dataclasses import dataclass

import numpy as np
import polars as pl

from palpate.core.errors import InputError


class ValueRangeWarning(UserWarning):
    """Some images have values outside the range that was stated for them."""


@dataclass(frozen=True)
class Native:
    """What the stored values mean.

    Attributes:
        low, step: the native value that is stored as 0, and between two stored values.   levels: how many stored values there are, 0 for
            floating point numbers.
        unit: of the native values, "HU" for example, or "".   window: lowest and highest value of the window that all files name, or None.
        notes: what was decided about them.   tagged: whether tags of the files say what their values mean.
    """

    low: float = 0
    step: float = 1
    levels: int = 256
    unit: str = ""
    window: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()
    tagged: bool = False


def plain(dtype: np.dtype) -> Native:
    """Of images whose values mean themselves."""
    return Native(levels=0 if dtype.kind == "f" else np.iinfo(dtype).max + 1)


def value_range(
    index: pl.DataFrame, native: Native, stated: tuple[float, float] | None, name: str = "images"
) -> tuple[tuple[float, float], list[str]]:
    """The native values that become 0 and 1, and what to say of them.

    Args:
        index: of a store: the lowest and highest stored value of each image.
        native: what the stored values mean.
        stated: by the user, or None.   name: of the data set, for messages.

    Warns:
        ValueRangeWarning: images have values outside the stated range, which are cut off, or it goes beyond what the files can hold.

    Raises:
        InputError: no range was stated, and images of floating point numbers leave [0, 1], or 16-bit ones without tags use less than half of
            what 16 bits can hold: twelve bits perhaps.
    """
    full = (float(native.low), float(native.low + native.step * (native.levels - 1)))
    if "lowest" not in index.columns or index["lowest"].is_null().all():
        return stated or full, []
    lowest, highest = (native.low + native.step * index[name].drop_nulls().to_numpy() for name in ("lowest", "highest"))
    low, high = float(lowest.min()), float(highest.max())
    ends = f"{low:g} to {high:g}"
    if stated is not None:
        outside = int(((lowest < stated[0]) | (highest > stated[1])).sum())
        beyond_files = bool(native.levels) and (stated[0] < full[0] or stated[1] > full[1])
        if not outside and not beyond_files:
            return stated, []
        beyond = f"{outside} of {len(index)} images have values outside it (from {ends}): they were cut off there"
        held = f"the files can only hold values from {full[0]:g} to {full[1]:g} (found {ends}): is it their range?"
        said = f"value_range {stated[0]:g} to {stated[1]:g} is stated, and {beyond if outside else held}"
        warnings.warn(said, ValueRangeWarning, stacklevel=4)
        return stated, [said]
    if not native.levels:
        if low < 0 or high > 1:
            remedy = "state the values of black and white (value_range=…), or leave out the step that standardises them"
            raise InputError(f"{name}: images have values from {ends}; {remedy}")
        return (0.0, 1.0), []
    bits = math.ceil(math.log2(max((high - full[0]) / native.step, 1) + 1))
    if not native.tagged and native.levels >= max(2 * 2**bits, 512):
        either = f"(0, {2**bits - 1}) if no more is possible, or (0, {full[1]:g}) if they are dark"
        raise InputError(f"{name}: images have 16 bits and values from {ends}; state value_range, for example {either}")
    if (native.levels > 256 and 2**bits < native.levels) or high - full[0] < 0.5 * (full[1] - full[0]):
        example = f"({full[0]:g}, {full[0] + native.step * (2**bits - 1):g})"
        became = f"{full[0]:g} to {full[1]:g} became 0 to 1, and the values found go from {ends}"
        return full, [f"{became}; state value_range, for example {example}, if no more is possible"]
    return full, []
