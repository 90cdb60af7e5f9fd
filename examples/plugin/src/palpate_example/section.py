"""A section of the report: for each model and attack the image that took the smallest change."""

import polars as pl
from markupsafe import Markup, escape

from palpate.core import formatting
from palpate.report.run_data import RunData
from palpate.report.section import Section, ranked


@ranked(80)
def smallest_changes(data: RunData) -> Section | None:
    """A list of images and radii; nothing where no attack changed the answer on any image that was classified correctly."""
    found = data.attack_rows().filter(
        pl.col("epsilon_index") == 1, pl.col("radius").is_between(0, float("inf"), closed="none")
    )
    keys = ["task", "model_id", "attack_id"]
    smallest = found.sort("radius").unique(keys, keep="first", maintain_order=True).sort(keys)
    if smallest.is_empty():
        return None
    lines = [
        escape(
            f"{row['task']}, {row['model_id']}, {row['attack_id']}: {row['image_id']}, {formatting.epsilon(row['radius'])}"
        )
        for row in smallest.iter_rows(named=True)
    ]
    return Section("Smallest changes", Markup("<ul><li>") + Markup("</li><li>").join(lines) + Markup("</li></ul>"))
