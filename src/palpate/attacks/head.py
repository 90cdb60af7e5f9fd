"""Whether the margin between clean images and the boundary is straight, bent by the head, rough or has jumps, as the first images show."""

from typing import Any

import torch
from torch import Tensor

PROBED = 16
"""Images at the start of the sweep that are looked at: few enough to cost nothing, and the same whatever the batches are."""

FEWEST = 4
"""Images from which a median says anything."""

MISS, FALL, RISE = 0.3, 0.6, 3.0
"""A head bends where, in the median, the first prediction of the margin misses by more than the first share of what was to change, or the
margin's slope at the boundary is below or above so many times that at the clean image. Plain heads of trained networks had medians of
.02–.07 and .9–1.4; cubes, fifth powers and exponentials .4–.55 for the slope, a bonus for the predicted class .45–.7 for the miss."""


STRAIGHT = 0.002
"""A model is as good as linear where an image's best first prediction misses by less than this share in the median: above float32's rounding."""

ROUGH, SHARE = 0.08, 1 / 3
"""An image is rough where a prediction of the margin at the end of the first round misses by more than .08 of what a ball as large as the
image's gains; a network, where a third of the first images are. By more than .1 it missed on all images of a k-winners-take-all network, .52 of a
ResNet-50's, .13 of an EfficientNet's and .04 at most on twelve others."""

JUMP = 3.0
"""The margin of a rough network jumps where, on a third of the first images, it differs so many times more between two points close to the boundary,
one on either side, than the gradient says: in the median 9 to 300 times on k-winners-take-all networks, 1.04 at most on nine others."""


class Head:
    """Collects what candidates of the first images show; what it says of them is False until `judge` has seen enough.

    Args:
        carry: where it keeps what it saw, so that a sweep that goes on later knows it; see `palpate.attacks.problem.Problem`.

    Attributes:
        bends: the head misleads a linear model of the margin.
        straight: the model is as good as linear.
        rough: the gradient says little of the margin even a short way off.
        jumps: the margin is discontinuous at the boundary.
        wrong: how many wrong classes there are to aim at; 0 before the first answer.
        since: the first image that was not judged by; what later descents on those before it show counts no more, so that no block is judged
            otherwise than the one before because more was tried there.
    """

    def __init__(self, carry: dict[str, Any] | None = None) -> None:
        self.bends = self.straight = self.rough = self.jumps = False
        self.wrong, self.since, carry = 0, 0, {} if carry is None else carry
        self._seen, self._late, self._across = (carry.setdefault(name, []) for name in ("head", "late", "across"))
        self.judge()

    def note(self, place: Tensor, miss: Tensor, ratio: Tensor) -> None:
        """Take what the first step of candidates showed (R,): their image's place among all, how far the prediction missed, the slope's ratio."""
        here = ((place >= self.since) & (place < PROBED) & miss.isfinite()).nonzero()[:, 0]
        if len(here):
            self._seen.append(torch.stack([place[here].double(), miss[here], ratio[here]]))

    def note_late(self, miss: Tensor) -> None:
        """Take by how much late predictions of first images (n,) missed, see `Best.late`."""
        self._late.append(miss[miss >= 0].cpu())

    def note_across(self, across: Tensor) -> None:
        """Take differences (n,) of the margin across the boundary of first images, as multiples of what the gradient says."""
        self._across.append(across[~across.isnan()].cpu())

    def judge(self) -> None:
        """Say what kind the head is, by the medians of what was seen."""
        none = torch.zeros(0, dtype=torch.float64)
        late, across = torch.cat([none, *self._late]), torch.cat([none, *self._across])
        self.rough = len(late) >= FEWEST and (late > ROUGH).double().mean().item() >= SHARE
        self.jumps = len(across) > 0 and (across > JUMP).double().mean().item() >= SHARE
        if not self._seen:
            return
        place, miss, ratio = torch.cat([seen.cpu() for seen in self._seen], 1)
        # Of an image's candidates, those towards other classes than the nearest miss on a linear model, too.
        least = torch.full((PROBED,), float("inf"), dtype=miss.dtype).scatter_reduce(0, place.long(), miss, "amin")
        self.straight = least[least.isfinite()].median().item() < STRAIGHT
        nearest = miss == least[place.long()]
        miss, ratio = miss[nearest], ratio[nearest]
        self.bends = len(miss) >= FEWEST and not (miss.median() < MISS and FALL < ratio.median() < RISE)
