"""Which classes are taken for which, under attack as when clean: counts of images by label and prediction."""

import polars as pl

from palpate.core.rows import SCHEMA
from palpate.statistics.curves import KEYS, check_rows

COUNTED_BY = [*KEYS, "norm", "epsilon", "label", "prediction"]  # prediction: null where the attack failed
CONFUSION: dict[str, pl.DataType] = {**{name: SCHEMA[name] for name in COUNTED_BY}, "n": pl.UInt32()}


def confusion(rows: pl.DataFrame) -> pl.DataFrame:
    """One line per point of the curve, label and prediction that occurs, with the columns of `CONFUSION`; nothing for what never occurs.

    Args:
        rows: any models, attacks and splits together.

    Raises:
        InputError: as `palpate.statistics.curves.curve`.
    """
    known = pl.when(pl.col("status") == "ok").then("prediction")
    table = check_rows(rows, needed=["prediction"]).with_columns(prediction=known)
    return table.group_by(COUNTED_BY).len("n").sort(COUNTED_BY).cast(CONFUSION)  # pyright: ignore[reportArgumentType]
