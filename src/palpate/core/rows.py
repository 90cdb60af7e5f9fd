"""The row: one record per image and condition, the only hand-over between the stages of a study and its report.

Every number in a report is a group-by of these rows, so every number can be traced to its `image_id`s.
Group by `epsilon_index`, never by the float `epsilon`.
"""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from palpate.core.errors import InputError

DAMAGED: tuple[type[BaseException], ...] = (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException)
"""What polars raises of a damaged file; a panic is no Exception."""

SCHEMA: dict[str, pl.DataType] = {
    "task": pl.String(),
    "split": pl.String(),  # "val" | "test"
    "image_id": pl.String(),  # names the source file, stable across runs
    "group_id": pl.String(),  # patient or lesion
    "finding": pl.String(),  # what the label is about; a multi-label image has one row per finding
    "label": pl.Int32(),
    "model_id": pl.String(),  # "resnet18+full#0": backbone, attention, training unless the default, seed
    "backbone": pl.String(),
    "attention": pl.String(),  # "none" | "full" | "released"
    "training": pl.String(),  # the TrainSpec's name
    "seed": pl.Int32(),
    "attack_id": pl.String(),  # tells two settings of one attack apart; "none" for the clean prediction
    "attack": pl.String(),  # the attack's kind, such as "minimum-norm"; "none" for the clean prediction
    "norm": pl.String(),  # of epsilon and radius: "linf" | "l2" | "l1" | "severity" of a corruption; null for the clean prediction
    "target": pl.Int32(),  # the class that the perturbation had to lead to; null where any other than the label would do
    "epsilon": pl.Float64(),  # radius in units of [0, 1]; 0 for the clean prediction
    "epsilon_index": pl.Int32(),  # 0 is the clean prediction, 1.. the study's epsilons in rising order
    "inherited": pl.Boolean(),  # the image was found at a smaller epsilon and is valid here too
    "logits": pl.List(pl.Float64()),  # (K,) re-predicted from the stored image, never the attack's own answer
    "prediction": pl.Int32(),
    "correct": pl.Boolean(),  # and of status "ok"
    "margin": pl.Float64(),  # true logit minus the best other logit; negative where fooled
    "radius": pl.Float64(),  # smallest epsilon found to fool the image; 0 already wrong, inf never fooled, null unknown
    "linf": pl.Float64(),  # the l-infinity norm really reached
    "in_ball": pl.Boolean(),
    "in_box": pl.Boolean(),
    "survives_rounding": pl.Boolean(),  # still fooled after rounding to the levels of the files (256 by default); null where not fooled
    "passes_forward": pl.Int64(),  # spent on this image by the whole attack, the same in each of its rows
    "passes_backward": pl.Int64(),
    "status": pl.String(),  # "ok" | "failed", never counted as robust | "no gradient", nothing is known beyond the clean prediction
}


def metadata_file(run: Path, task: str) -> Path:
    """Where the columns of a task's images that make subgroups lie, by image_id; no rows hold them."""
    return run / "metadata" / f"{task}.parquet"


def write(rows: pl.DataFrame, path: Path) -> None:
    """Write rows to parquet, refusing any table whose columns or types are not those of SCHEMA."""
    if dict(rows.schema) != SCHEMA:
        raise ValueError(f"not a table of rows: {rows.schema} where {SCHEMA} is needed")
    rows.write_parquet(path)


def join(files: Sequence[Path], path: Path) -> None:
    """Make one file of several that hold rows, in their order; they are never all in memory."""
    pl.scan_parquet(list(files), schema=SCHEMA).sink_parquet(path)


def read(path: Path) -> pl.DataFrame:
    """Read rows back.

    Raises:
        InputError: the file is absent, is not parquet, or holds other columns.
    """
    try:
        rows = pl.read_parquet(path)
    except DAMAGED as error:
        raise InputError(
            f"{path}: cannot be read as a table of rows ({error}); run the study again to remake it"
        ) from None
    if dict(rows.schema) != SCHEMA:
        odd = sorted(set(rows.schema.items()) ^ set(SCHEMA.items()), key=str)
        raise InputError(f"{path}: not a table of rows of this version (differs in {odd}); run the study again")
    return rows
