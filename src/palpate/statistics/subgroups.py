"""Missed disease and false alarm in subgroups of the images, such as sex, age, site or device, clean and under attack.

Two models of equal accuracy may err on other patients. A rate of few images says nothing, so below a minimum there is a note in its place.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from palpate.core.errors import InputError
from palpate.core.tables import columns
from palpate.statistics.curves import answered, check_rows, group_names
from palpate.statistics.intervals import clustered_wilson
from palpate.statistics.operating import choose_threshold, scores_of

MINIMUM = 10
"""Images below which no rate is given."""

MOST, MOST_ASKED = 12, 30
"""Values above which a column makes no subgroups, by itself and when it is asked for."""

BANDS = 6
"""Bands of numbers, such as ages, at most."""

NOT_STATED = "not stated"

ABOUT = ["task", "finding", "model_id", "attack_id", "norm", "epsilon_index", "epsilon"]

SUBGROUPS = columns("subgroups", ABOUT)


def banded(values: pl.Series) -> pl.Series:
    """A column as words: numbers of more than eight values in bands of a round width, blanks as "not stated".

    >>> banded(pl.Series("age", [3, 18, 22, 34, 47, 51, 60, 79, 85, None])).to_list()[-4:]
    ['60–79', '60–79', '80–99', 'not stated']
    """
    try:
        words = values.cast(pl.String)
    except pl.exceptions.PolarsError:  # of lists, durations and objects
        words = pl.Series([None if value is None else str(value) for value in values.to_list()], dtype=pl.String)
    numbers = words.cast(pl.Float64, strict=False)
    unknown = numbers.is_nan().fill_null(False)
    words, numbers = (column.set(unknown, None) for column in (words, numbers))
    if numbers.null_count() == words.null_count() and numbers.n_unique() > 8 and numbers.is_finite().all():
        low, high = np.nanmin(numbers), np.nanmax(numbers)
        power = 10.0 ** np.floor(np.log10((high - low) / BANDS))
        widths = (step * power for step in (1, 2, 5, 10))
        width = next(each for each in widths if np.floor(high / each) - np.floor(low / each) < BANDS)
        starts = (numbers / width).floor() * width
        whole = width >= 1 and bool((numbers.drop_nulls() == numbers.drop_nulls().round()).all())
        written = (lambda s: f"{s:g}–{s + width - 1:g}") if whole else (lambda s: f"{s:g} to {s + width:g}")
        words = starts.map_elements(written, pl.String)
    return words.str.strip_chars().replace("", None).fill_null(NOT_STATED).alias(values.name)


def choose_columns(metadata: pl.DataFrame, asked: Sequence[str] | None) -> list[str]:
    """The columns asked for, or all with 2 to 12 values or bands.

    Raises:
        InputError: a column that is not there, or that has more than 30 values.
    """
    if asked is None:
        return [name for name in metadata.columns if 2 <= banded(metadata[name]).n_unique() <= MOST]
    for name in asked:
        if name not in metadata.columns:
            known = ", ".join(map(repr, metadata.columns)) or "none"
            raise InputError(f"subgroups: column {name!r} is not among the metadata; found {known}")
        if (count := banded(metadata[name]).n_unique()) > MOST_ASKED:
            why = f"and at most {MOST_ASKED} are shown; group them in the table"
            raise InputError(f"subgroups: column {name!r} has {count} values, {why}")
    return list(asked)


def subgroups(rows: pl.DataFrame, metadata: pl.DataFrame, disease: Sequence[int] = (1,)) -> pl.DataFrame:
    """Error rates in each subgroup, one line per model, condition, column, value and error, with the columns of `SUBGROUPS`.

    Where the clean validation rows of a model are among the rows, its threshold on the score of the disease (the logarithm of the odds of its
    classes together) is chosen on them (`palpate.statistics.operating.choose_threshold`) and used unchanged on clean images and under
    attacks that make an image at each epsilon. An attack that stops at the first success leaves its images at the model's own decision
    boundary, where no other threshold means anything: there the largest logit decides, on its clean images too.

    Args:
        rows: any models, attacks and splits of one task and finding together, with logits.
        metadata: image_id and the columns, as `banded` gives them.
        disease: the labels that count as disease; none to count any misclassification.

    Raises:
        InputError: as `palpate.statistics.curves.curve`.
    """
    columns = [name for name in metadata.columns if name != "image_id"]
    table = check_rows(rows, needed=["logits", "inherited", "prediction"])
    table = table.with_columns(group=group_names().rank("dense"))
    table = table.join(metadata, on="image_id", how="left", maintain_order="left")
    lines = []
    for model in table.partition_by("model_id", maintain_order=True):
        threshold = _threshold(model.filter(split="val", epsilon_index=0), disease)
        attacks = model.filter(pl.col("split") != "val").partition_by("attack_id", maintain_order=True)
        for attack in attacks:
            at_boundary = bool(attack["inherited"].fill_null(False).any())
            for part in attack.partition_by("epsilon_index", maintain_order=True):
                lines += _lines(part, columns, disease, None if at_boundary else threshold)
    return pl.DataFrame(lines, schema=SUBGROUPS)


def _threshold(validation: pl.DataFrame, disease: Sequence[int]) -> float | None:
    known = answered(validation)
    ill = known["label"].is_in(disease).to_numpy()
    if not disease or not 0 < ill.sum() < len(ill):
        return None
    scores = scores_of(known["logits"].to_list(), disease)
    return choose_threshold(ill.astype(int), scores) if np.isfinite(scores).all() else None


def _lines(part: pl.DataFrame, columns: list[str], disease: Sequence[int], threshold: float | None) -> list[dict]:
    """The lines of one model under one condition."""
    known = part.select((pl.col("status") == "ok") & pl.col("logits").is_not_null()).to_series().to_numpy()
    ill = part["label"].is_in(disease).to_numpy()
    if not disease:
        wrong, errors = ~part["correct"].fill_null(False).to_numpy(), {"misclassified": np.ones(len(part), bool)}
    else:
        seen = part["prediction"].is_in(disease).fill_null(False).to_numpy().copy()
        if threshold is not None:
            seen[known] = scores_of(part.filter(known)["logits"].to_list(), disease) >= threshold
        wrong, errors = seen != ill, {"missed disease": ill, "false alarm": ~ill}
    wrong, groups = wrong | ~known, part["group"].to_numpy()
    about = part.select(ABOUT).row(0, named=True) | {"decision": "model" if threshold is None else "threshold"}
    lines = []
    for column in columns:
        values = part[column].fill_null(NOT_STATED).to_numpy()
        for value in sorted(set(values), key=_order):
            for error, those in errors.items():
                chosen = those & (values == value)
                n, owners = int(chosen.sum()), len(np.unique(groups[chosen]))
                line: dict = dict.fromkeys(SUBGROUPS) | about | {"column": column, "value": value, "error": error}
                line |= {"n": n, "groups": owners, "note": "" if n >= MINIMUM else f"fewer than {MINIMUM} images"}
                if n >= MINIMUM:
                    low, high = clustered_wilson(wrong[chosen], groups[chosen])
                    line |= {"rate": float(wrong[chosen].mean()), "low": low, "high": high}
                lines.append(line)
    return lines


def _order(value: str) -> tuple[bool, float, str]:
    """Bands by their start, words by the alphabet, what is not stated last."""
    try:
        start = float(value.split("–")[0].split(" to ")[0])
    except ValueError:
        start = 0.0
    return value == NOT_STATED, start, value
