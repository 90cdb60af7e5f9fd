"""Images as a sequence of tensors, and a split of a data set: the only place of the room that knows torch."""

import copy
import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from palpate.core.epsilon import Scale

if TYPE_CHECKING:
    import torch


class Images:
    """A sequence of images; slices and index arrays give float32 tensors (n, C, H, W) in [0, 1]."""

    def __init__(
        self,
        pixels: np.ndarray,
        rows: np.ndarray,
        channels: int = 3,
        black: float = 0,
        white: float = 255,
        scale: Scale | None = None,
    ):
        """Serve `rows` (n,) of `pixels` (N, H, W, 1 or 3) without copying them.

        Args:
            channels: of the tensors; one stored channel is repeated to three.
            black, white: the stored values that become 0 and 1; what lies beyond them is cut off.
            scale: what 0 and 1 mean in the values of the files; 8-bit files where None.
        """
        self.scale = scale or Scale()
        self._pixels, self._rows, self._channels = pixels, rows, channels
        self._black, self._span = black, white - black
        kind = np.iinfo(pixels.dtype) if pixels.dtype.kind == "u" else None
        self._inside = kind is not None and black <= kind.min and white >= kind.max

    def __getstate__(self) -> dict[str, Any]:
        """For another process of this machine, or one that shares its files: a map of a file goes by its name, not by its content."""
        state, pixels = dict(self.__dict__), self._pixels
        if isinstance(pixels, np.memmap) and pixels.filename and isinstance(pixels.base, mmap.mmap):
            state["_pixels"] = (str(pixels.filename), pixels.dtype, pixels.offset, pixels.shape)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if isinstance(state["_pixels"], tuple):
            name, kind, offset, shape = state["_pixels"]
            state["_pixels"] = np.memmap(name, kind, "r", offset, shape)
        self.__dict__.update(state)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n, C, H, W)."""
        return len(self._rows), self._channels, self._pixels.shape[1], self._pixels.shape[2]

    @property
    def stored_channels(self) -> int:
        """Of the images as they are stored."""
        return self._pixels.shape[3]

    def __len__(self) -> int:
        return len(self._rows)

    def where(self, chosen: np.ndarray) -> "Images":
        """Only the chosen images (n,) bool."""
        part = copy.copy(self)
        part._rows = self._rows[chosen]
        return part

    def __getitem__(self, index: "slice | int | Sequence[int] | np.ndarray | torch.Tensor") -> "torch.Tensor":
        """One image (C, H, W) for an integer, else (n, C, H, W); booleans select."""
        import torch

        rows = self._rows[index.cpu().numpy() if isinstance(index, torch.Tensor) else index]
        pixels = np.array(self._pixels[rows], np.float32)  # a copy: the map is read-only; (n, H, W, C) or (H, W, C)
        images = torch.from_numpy(pixels).movedim(-1, -3)
        images = (images.sub_(self._black) if self._black else images).div_(self._span)
        images = images if self._inside else images.clamp_(0, 1)
        return images.expand(*images.shape[:-3], self._channels, *images.shape[-2:]).contiguous()


@dataclass(frozen=True)
class Split:
    """One of train, val and test, shuffled by the data seed.

    Attributes:
        labels: (n,) int64; of several findings (n, F), with -1 where a label is unknown.   groups, ids: (n,) str.
        files: (n,) str, paths as in a manifest.
        images: see `Images`.   masks: (n, H, W) bool, or None.   metadata: the other columns of a table, n rows.
    """

    images: Images
    labels: np.ndarray
    groups: np.ndarray
    ids: np.ndarray
    files: np.ndarray
    masks: np.ndarray | None = None
    metadata: pl.DataFrame | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def where(self, chosen: np.ndarray, finding: int) -> "Split":
        """The chosen images (n,) bool, with the label of one finding."""
        masks = None if self.masks is None else self.masks[chosen]
        metadata = None if self.metadata is None else self.metadata.filter(pl.Series(chosen))
        labels, groups, ids = self.labels[chosen, finding], self.groups[chosen], self.ids[chosen]
        return Split(self.images.where(chosen), labels, groups, ids, self.files[chosen], masks, metadata)
