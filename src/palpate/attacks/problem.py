"""What an attack is given: the whole problem, and from it block after block of images, so that a test set is never held at once."""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from palpate.attacks.access import ModelAccess
from palpate.attacks.best import Best
from palpate.attacks.head import PROBED, Head
from palpate.attacks.losses import margin, rounding_tolerance
from palpate.attacks.norms import Norm, distance, draw_each, project, random_start, seeded
from palpate.attacks.precision import open_access
from palpate.attacks.quantize import through_png
from palpate.attacks.reach import Reach
from palpate.attacks.result import Sweep
from palpate.attacks.validation import check_images
from palpate.core.errors import InputError
from palpate.models.predict import Images, Progress, as_tensor

PIXELS = 128 * 64 * 64
"""Pixels per pass on the CPU, where larger batches are slower and memory that runs out ends the process."""

SURE, SURELY = 8.0, 3
"""Rounding tolerances that a margin must exceed at least, else the point is moved outwards: a batch of another size changes a few last digits. And
the grade of such a point."""

CHANGE, THIN = 16.0, 64.0
"""A margin must exceed so many times what batches change, see `palpate.attacks.precision.wavering`: 3 to 5 tolerances on most networks and 35 on an
EfficientNet, with single ones ten times as large, and a hundred times where the logits are small. One that does not exceed so many times as much
again is looked at by itself."""

OUTWARDS = (1e-4, 1e-3, 5e-3, 2e-2)
"""By what share of its length a perturbation grows where its last digits decide: it fooled in a batch of other size, or in a fused network."""


@dataclasses.dataclass(frozen=True)
class Block:
    """Consecutive images under attack, and what stays the same while they are.

    Attributes:
        place: which of all images they are.
        images: (n, C, H, W) as given, on the CPU.
        labels: (n,) on the device of the attack; where targets are to be reached, the access gives two logits, and all labels are 0.
        access: the model; its passes are those of this block.
        best: the best adversarials so far; holds the clean images on the device.
        epsilons: rising.
        norm, seed: of the balls and of every draw.
        keep: "all", or "radius" to drop the adversarial images.
        head: what the first images of all showed of the model's head.
        truth: (n,) the true classes, where they differ from `labels`.
        classes: K.
    """

    place: slice
    images: Tensor
    labels: Tensor
    access: ModelAccess
    best: Best
    epsilons: tuple[float, ...]
    norm: Norm = "linf"
    seed: int = 0
    keep: str = "all"
    head: Head = dataclasses.field(default_factory=Head)
    truth: Tensor | None = None
    classes: int = 0

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def clean(self) -> Tensor:
        """The images (n, C, H, W) on the device."""
        return self.best.clean

    @property
    def top(self) -> float:
        """The largest epsilon."""
        return self.epsilons[-1]

    def generators(self, image: Tensor, stage: int) -> list[torch.Generator]:
        """A generator for each of these images, by place in the block (m,): it depends on seed, image and stage alone."""
        return [seeded(self.seed, self.place.start + place, stage) for place in image.tolist()]

    def tied(self, image: Tensor) -> Tensor:
        """Which of these images (m,) have channels that move together (m,), on the device."""
        return self.access.tied[image.cpu()].to(image.device)

    def random_start(self, image: Tensor, radius: Tensor, stage: int) -> Tensor:
        """A random point in the ball of each of these images, drawn from `generators`."""
        return random_start(self.clean[image], radius, self.generators(image, stage), self.norm, self.tied(image))

    def random_corner(self, image: Tensor, radius: Tensor, stage: int) -> Tensor:
        """The point of the ball of each of these images at which a random linear function is largest: for l∞ a random corner."""
        clean = self.clean[image]
        drawn = draw_each(clean, self.generators(image, stage), "linf", self.tied(image))
        return project(clean + Reach(clean, drawn, self.norm).delta(radius), clean, radius, self.norm)

    def _audit(self, levels: int | None) -> Tensor:
        """Measure what was found and predict it again with the model itself; an image that does not fool it is a failure, not robust.

        A point on the very boundary may fall back by the rounding of another batch: it is moved outwards a little. Where that does not help, or leads
        beyond one that was kept before, that one is looked at, too, and the surer of both stays, of two as sure the nearer. On grey levels a point is
        what a PNG gives back, and cannot be moved.

        Returns:
            The norm really reached (n,), inf where nothing was found.
        """
        best = self.best
        found = (best.limit.isfinite() & ~best.failed & ~best.pending).nonzero()[:, 0]
        grade = self._confirm(found, levels)
        for spare in () if levels else reversed(best.spare):
            reached = self._reached(best.points)
            nearer = spare[0].isfinite() & (self._reached(spare[1]) < reached)  # not by its ball, which may be larger
            doubtful = found[((grade == 0) | nearer)[found]]
            first = best.limit[doubtful], best.points[doubtful]
            best.limit[doubtful], best.points[doubtful] = (each[doubtful] for each in spare)
            other = self._confirm(doubtful, levels)
            back = ((other < grade) | (other == grade) & (self._reached(best.points) >= reached))[doubtful]
            best.limit[doubtful[back]], best.points[doubtful[back]] = (each[back] for each in first)
            grade[doubtful] = torch.maximum(grade, other)[doubtful]
        best.fail(found[grade[found] == 0])
        radius = torch.where(best.limit.isfinite(), self._reached(best.points), best.limit)
        if levels:  # k / 255 itself, not the difference of two of them rounded to float32
            radius = (radius * (levels - 1)).round() / (levels - 1)
        return radius

    def _reached(self, points: Tensor) -> Tensor:
        """The norms (n,) of the perturbations to these points, a batch at a time, since float64 is twice as large."""
        parts = zip(points.split(self.access.batch), self.best.clean.split(self.access.batch), strict=True)
        return torch.cat([distance(points, clean, self.norm) for points, clean in parts])

    def _confirm(self, image: Tensor, levels: int | None) -> Tensor:
        """Let the model itself look at the best points of these images (m,), which move outwards while it is not sure; how sure it is (n,)."""
        best, grade = self.best, torch.zeros_like(self.best.limit)
        if levels:
            best.points[image] = through_png(best.points[image], levels).to(best.points)
        rest = image
        for share in (0.0,) if levels else (0.0, *OUTWARDS):
            if not len(rest):
                break
            clean, point = best.clean[rest], best.points[rest]
            if share:
                room = ((1 + share) * best.limit[rest]).clamp(max=self.top)
                point = project(clean + (1 + share) * (point - clean), clean, room, self.norm)
            reached = self._grade(point, rest)
            better = reached > grade[rest]
            best.points[rest[better]] = point[better]
            grade[rest[better]] = reached[better]
            rest = rest[grade[rest] < SURELY]
        return grade

    def _grade(self, point: Tensor, image: Tensor) -> Tensor:
        """How well points of these images (m,) fool the model itself (m,): 0 not, 1 in this batch, 2 by themselves, too, 3 surely."""
        if self.access.draws > 1:
            return torch.full_like(self.best.limit[image], SURELY)
        size, doubt = self._sizes(point, image), max(SURE, CHANGE * self.access.wavering)
        least, thin = size.clone(), ((size > 0) & (size <= THIN * doubt)).nonzero()[:, 0]
        with contextlib.suppress(InputError):  # the network takes only so many images at once
            least[thin] = torch.minimum(size[thin], self._sizes(point[thin], image[thin], apart=True))
        return (size > 0).double() + ((size > 0) & (least > 0)) + (least > doubt)

    def _sizes(self, point: Tensor, image: Tensor, apart: bool = False) -> Tensor:
        """The margins (m,) at points of these images in rounding tolerances, each in a batch by itself where they are asked apart."""
        sizes = []
        for rows in torch.arange(len(image), device=image.device).split(1 if apart else max(len(image), 1)):
            logits, label = self.access.judge(point[rows], image[rows]), self.labels[image[rows]]
            sizes.append(margin(logits, label) / rounding_tolerance(logits, label).clamp(min=1e-300))
        return torch.cat([point.new_zeros(0, dtype=torch.float64), *sizes])

    def result(self, how: dict[str, Any], worst: Tensor | None = None, levels: int | None = None) -> Sweep:
        """What was found, audited, as the sweep of this block.

        Args:
            how, worst: see `Sweep`.
            levels: grey levels that the attack kept to.
        """
        self.access.select(torch.arange(len(self)))
        best, radius = self.best, self._audit(levels)
        labels, targets = (self.labels if self.truth is None else self.truth).cpu(), self.access.targets
        own = targets == labels if targets is not None else torch.zeros_like(labels, dtype=torch.bool)
        best.pending |= own.to(best.pending.device)  # images that are of their target class are not attacked
        done = (~best.pending).cpu()
        radius = torch.where(best.failed | best.pending, float("nan"), radius).cpu()
        points = None
        if self.keep == "all":
            found = radius.isfinite().view(-1, *[1] * (self.images.ndim - 1))
            points = torch.where(found, best.points.cpu(), self.images)
        failed, blind = best.failed.cpu(), self.access.unseen & radius.isinf()
        radius = torch.where(blind, float("nan"), radius)
        status = tuple(
            "not run" if not over else "failed" if bad else "no gradient" if unseen else "ok"
            for over, bad, unseen in zip(done.tolist(), failed.tolist(), blind.tolist(), strict=True)
        )
        worst = worst.cpu() if worst is not None and self.keep == "all" else None
        return Sweep(
            radius, labels, self.epsilons, self.access.passes, status, self.images, points, worst, self.norm, how, self.classes, targets
        )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Problem:
    """Everything that an attack is run on; `palpate.sweep` makes it and has checked it.

    Attributes:
        model: images (n, C, H, W) to logits (n, K), K ≥ 2; frozen and in evaluation mode while the attack runs.
        images: N images in [0, 1]; only slices are ever taken.
        labels: (N,) on the CPU.
        epsilons: rising, above 0.
        example: the first images, on the model's device.
        classes: K.
        targets: (N,) classes to be reached, on the CPU; None for any wrong one.
        keep: "all", or "radius" to drop the adversarial images.
        batch_size: images per pass, or None for what suits device and image.
        block: images held at once, at most; or None for a few batches.
        progress: told images done, images in all, and words.
        start: the first image to attack; those before it were attacked earlier.
        carry: what a later block needs to know of earlier ones, by name: tensors, and lists and dicts of these. An attack changes it in place before
            it gives a block's result; with the carry and `start` of an earlier run, the rest has the same result as if there had been no break.
        sizes: images that each block so far could hold; empty where the attack makes its own blocks.
        training: images and labels from which attacks of one perturbation for all images learn; None for the attacked ones.
    """

    model: nn.Module
    images: Images
    labels: Tensor
    epsilons: tuple[float, ...]
    example: Tensor
    classes: int
    targets: Tensor | None = None
    keep: str = "all"
    batch_size: int | None = None
    block: int | None = None
    progress: Progress | None = None
    start: int = 0
    carry: dict[str, Any] = dataclasses.field(default_factory=dict)
    sizes: list[int] = dataclasses.field(default_factory=list)
    training: tuple[Images, Tensor] | None = None

    def access(self, draws: int = 1, precision: str = "float32", decisions: bool = False) -> ModelAccess:
        """Access to the model, in batches that suit device and image; see `palpate.attacks.precision.open_access`."""
        usual = 256
        if self.example.device.type == "cpu":
            usual = min(max(PIXELS // self.example[0, 0].numel(), 8), 128)
        return open_access(self.model, self.example, self.batch_size or usual, draws, precision, decisions)

    def blocks(
        self, access: ModelAccess, norm: Norm, seed: int = 0, batches: int = 1, channels: str = "tied"
    ) -> Iterator[Block]:
        """The images in blocks of so many batches and at least `PROBED` images, where the caller of the sweep did not ask for another size."""
        start, count, head = self.start, len(self.images), Head(self.carry)
        while start < count:
            self.sizes.append(self.block or max(batches * access.batch, PROBED))
            place = slice(start, min(start + self.sizes[-1], count))
            yield self._block(place, access, norm, seed, channels, head)
            start = place.stop

    def _block(self, place: slice, access: ModelAccess, norm: Norm, seed: int, channels: str, head: Head) -> Block:
        images = check_images(as_tensor(self.images[place]), place.start).cpu()
        access.begin(len(images))
        if channels == "tied" and images.shape[1] > 1:
            access.tied = (images == images[:, :1]).flatten(1).all(1)
        clean = images.to(access.device, memory_format=torch.channels_last)
        best = Best(clean, self.progress, place.start, len(self.images))
        truth = labels = self.labels[place].to(access.device)
        if self.targets is not None:
            access.targets, access.still, labels = self.targets[place], None, torch.zeros_like(truth)
        keep, classes = self.keep, self.classes
        return Block(place, images, labels, access, best, self.epsilons, norm, seed, keep, head, truth, classes)
