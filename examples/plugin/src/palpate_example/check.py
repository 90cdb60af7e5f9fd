"""A check: an image that occurs twice is counted twice, so intervals are narrower than they should be."""

from palpate.verdicts.check import Check, Finding, status_of
from palpate.verdicts.context import CheckContext


def repeated_images(context: CheckContext, threshold: float) -> Finding:
    """How many of the images are equal to an earlier one; it asks the model nothing."""
    count = len(context.images) - len(context.images.flatten(1).unique(dim=0))
    if not count:
        return Finding("pass", 0.0, "No two of the images are equal.")
    advice = f"{context.of(count)} are equal to an earlier one: remove them, or put copies into one group."
    return Finding(status_of(count, count, threshold), count, advice)


REPEATED_IMAGES = Check(
    name="example repeated images",
    subject="model",
    threshold=0.0,
    unit="images",
    source="palpate-example-plugin",
    rank=15,
    function=repeated_images,
)
