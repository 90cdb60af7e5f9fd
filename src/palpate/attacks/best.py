"""The best adversarial of each image so far: its point and the radius of the ball that holds it.

All candidates that work on an image share it, so that what one finds is what the others must fall below, unless a search is `independent`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from palpate.models.predict import Progress


class Best:
    """The best known adversarial of every image of a block, on the device of the attack.

    Args:
        clean: the images (N, C, H, W).
        progress: told images done, `count` and words.
        offset: place of the first image in the whole set of `count`.

    Attributes:
        limit: (N,) float64: smallest radius known to fool; inf where none is, 0 where the clean image is wrong.
        points: (N, C, H, W): the point at that radius, else the clean image.
        failed: (N,) the model gave NaN or infinity.
        pending: (N,) not finished yet.
        lead: (N,) float64: by how much the true logit is the largest at the clean image; 1 where it is not, or where that is infinite.
        lost: (N,) the first linear prediction of the margin failed.
        late: (N,) float64: by how much predictions in the last third of the first round missed at most, as a share of what the ball
            gains; −1 before.
        spare: limits and points as they were whenever `keep` was called.
        estimate: (N,) float64: the smallest radius at which the linear model put the boundary at the end of a descent; inf before.
    """

    def __init__(self, clean: Tensor, progress: Progress | None = None, offset: int = 0, count: int = 0) -> None:
        self.clean, self.points = clean, clean.clone()
        self.limit = torch.full((len(clean),), float("inf"), dtype=torch.float64, device=clean.device)
        self.failed = torch.zeros(len(clean), dtype=torch.bool, device=clean.device)
        self.pending = ~self.failed
        self.lost, self.lead = self.failed.clone(), torch.ones_like(self.limit)
        self.estimate, self.late = self.limit.clone(), torch.full_like(self.limit, -1.0)
        self.spare: list[tuple[Tensor, Tensor]] = []
        self.offset, self._count, self._progress = offset, count, progress

    def tell(self, words: str) -> None:
        """Report the images done."""
        if self._progress:
            self._progress(self.offset + int((~self.pending).sum()), self._count, words)

    def alive(self) -> Tensor:
        """The images (m,) that an attack can still change something about: neither wrong when clean nor failed."""
        return ((self.limit > 0) & ~self.failed).nonzero()[:, 0]

    def update(self, image: Tensor, point: Tensor, radius: Tensor, fooled: Tensor) -> None:
        """Take the candidates that fool their image (R,) at a smaller radius than known; of several the smallest, then the first."""
        offered = torch.where(fooled & (radius < self.limit[image]), radius, float("inf"))
        limit = self.limit.scatter_reduce(0, image, offered, "amin")
        rows = ((offered == limit[image]) & (offered < float("inf"))).nonzero()[:, 0]
        if not len(rows):
            return
        first = torch.full_like(limit, len(image), dtype=torch.long)
        first.scatter_reduce_(0, image[rows], rows, "amin")
        rows = rows[first[image[rows]] == rows]
        self.points[image[rows]] = point[rows]
        self.limit = limit  # last, so that an interrupt between the two leaves no radius without its point

    @contextmanager
    def independent(self, image: Tensor) -> Iterator[None]:
        """Let a search on these images (n,) go by what it finds itself, as if no radius were known; when it ends the smaller radius stays."""
        limit, points = self.limit.clone(), self.points.clone()
        again = image[(limit[image] > 0) & limit[image].isfinite()]
        self.limit = self.limit.index_fill(0, again, float("inf"))
        try:
            yield
        finally:
            older = again[~(self.limit[again] < limit[again])]
            self.points[older] = points[older]
            self.limit = self.limit.index_copy(0, older, limit[older])

    def keep(self) -> None:
        """Keep what is known now, for images whose better points the model will not confirm."""
        self.spare.append((self.limit.clone(), self.points.clone()))

    def fail(self, image: Tensor) -> None:
        """Note images for which the model gave no number; they are neither fooled nor robust."""
        self.failed[image] = True

    def finish(self, begun: Tensor, busy: Tensor, words: str) -> None:
        """Note that of the images begun only those with candidates at work are unfinished, and report it."""
        open_now = torch.zeros_like(self.pending)
        open_now[busy] = True
        self.pending[begun] &= open_now[begun]
        self.tell(words)
