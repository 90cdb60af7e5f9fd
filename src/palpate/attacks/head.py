"""Whether a model's head bends the margin between clean images and the boundary, as seen on the first images of a sweep."""

import torch
from torch import Tensor

PROBED = 16
"""Images at the start of the sweep that are looked at: few enough to cost nothing, and the same whatever the batches are."""

FEWEST = 4
"""Candidates from which a median says anything."""

MISS, FALL, RISE = 0.3, 0.6, 3.0
"""A head bends where, in the median, the first prediction of the margin misses by more than the first share of what was to change, or the
margin's slope at the boundary is below or above so many times that at the clean image. Plain heads of trained networks had medians of
.02–.07 and .9–1.4; cubes, fifth powers and exponentials .4–.55 for the slope, a bonus for the predicted class .45–.7 for the miss."""


class Head:
    """Collects what the first candidates of the first images show; `bends` is False until `judge` has seen enough."""

    def __init__(self) -> None:
        self.bends = False
        self._seen: list[Tensor] = []

    def note(self, place: Tensor, miss: Tensor, ratio: Tensor) -> None:
        """Take what the first step of candidates showed (R,): their image's place among all, how far the prediction missed, the slope's ratio."""
        here = ((place < PROBED) & miss.isfinite()).nonzero()[:, 0]
        if len(here):
            self._seen.append(torch.stack([miss[here], ratio[here]]))

    def judge(self) -> None:
        """Say whether the head bends, by the medians of what was seen."""
        seen = torch.cat(self._seen, 1) if self._seen else torch.zeros(2, 0)
        if seen.shape[1] >= FEWEST:
            miss, ratio = seen.median(1).values.tolist()
            self.bends = not (miss < MISS and FALL < ratio < RISE)
