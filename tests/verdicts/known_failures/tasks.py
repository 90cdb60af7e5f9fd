"""The images on which the test networks are trained and attacked: two, seven and ten classes, one channel and three, and findings."""

import dataclasses
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional as F

import palpate
from palpate.data.synthetic.generate import generate

EPSILONS = tuple(level / 255 for level in (1, 2, 4, 8, 16))
SIZE, TESTED = 28, 64

CLOSED = (0, 4, 6, 8, 9)
FINDINGS: tuple[Callable[[np.ndarray], np.ndarray], ...] = (
    lambda digit: digit % 2 == 0,
    lambda digit: digit >= 5,
    lambda digit: np.isin(digit, CLOSED),
    *((lambda digit, wanted=wanted: digit == wanted) for wanted in range(9)),
)
"""Twelve findings of a digit: even, large, with a closed line, and which of nine it is."""

ATTACKED = 1
"""The finding that is attacked."""

SYNTHETIC = ("skin", "digits7", "digits10", "findings")
REAL = ("pneumonia", "lesions")
TASKS: dict[str, str] = {
    "skin": "K = 2, synthetic, three channels",
    "pneumonia": "K = 2, PneumoniaMNIST, one channel",
    "digits7": "K = 7, digits in colours",
    "lesions": "K = 7, HAM10000",
    "digits10": "K = 10, digits, one channel",
    "findings": "12 findings of a digit, one of them attacked",
}
"""All tasks. The real ones need `PALPATE_DATA`, or the data beside the repository."""


@dataclasses.dataclass(frozen=True)
class Task:
    """Images (n, C, 28, 28) in [0, 1] and labels, to learn from and to test on.

    Attributes:
        train_y: classes (n,), or findings (n, F).
        x, y: images to choose the tested ones from, their classes or attacked findings.
        classes: K, or F of a multi-label task.
        finding: the attacked finding of a multi-label task.
    """

    train_x: Tensor
    train_y: Tensor
    x: Tensor
    y: Tensor
    classes: int
    finding: int | None = None

    def tested(self, seed: int) -> Tensor:
        """Places of 64 images, each class about as often as every other, others for each seed."""
        return balanced(self.y, TESTED, seed)


def balanced(labels: Tensor, count: int, seed: int) -> Tensor:
    """Places (count,) drawn from the seed, each class as often as every other as far as there are images of it."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    rank = torch.zeros_like(labels)
    for label in labels.unique():
        mine = order[labels[order] == label]
        rank[mine] = torch.arange(len(mine))
    return order[rank[order].argsort(stable=True)][:count].sort().values


def real_folder() -> Path | None:
    """The folder that holds the real images, if there is one."""
    folder = Path(os.environ.get("PALPATE_DATA") or Path(__file__).parents[4] / "shared" / "data")
    return folder if (folder / "medmnist" / "pneumoniamnist.npz").is_file() else None


@lru_cache(maxsize=8)
def task_of(source: str, train_images: int) -> Task:
    """A task of `TASKS` with so many images to learn from, the same for all seeds."""
    if source in REAL:
        return _real(source, train_images)
    if source != "skin":
        return _digits(source, train_images)
    train, test = generate(source, train_images, SIZE, seed=0), generate(source, 4 * TESTED, SIZE, seed=1)
    return Task(
        _tensor(train.images), torch.as_tensor(train.labels).long(), _tensor(test.images), _long(test.labels), 2
    )


def _real(source: str, train_images: int) -> Task:
    name = {"pneumonia": "pneumoniamnist", "lesions": "ham10000"}[source]
    data = palpate.load(name, root=real_folder(), size=SIZE)
    channels = 1 if source == "pneumonia" else 3
    learned = balanced(_long(data.train.labels), train_images, 0)
    x = torch.as_tensor(np.asarray(data.train.images[learned.numpy()]))[:, :channels]
    pool = torch.as_tensor(np.asarray(data.test.images[:]))[:, :channels]
    return Task(x, _long(data.train.labels)[learned], pool, _long(data.test.labels), len(data.classes))


def _digits(source: str, train_images: int) -> Task:
    """Digits of 8 px (scikit-learn), enlarged, moved, with contrast, colour and noise that differ from image to image."""
    data = load_digits()
    kept = data.target < (7 if source == "digits7" else 10)
    digits, target = torch.from_numpy(data.images[kept]).float().div(16)[:, None], data.target[kept]
    generator = torch.Generator().manual_seed(0)
    count, channels = len(digits), 1 if source == "digits10" else 3
    large = F.interpolate(digits, (24, 24), mode="bilinear", align_corners=False)
    images = torch.zeros(count, 1, SIZE, SIZE)
    for place, (row, column) in enumerate(torch.randint(1, 4, (count, 2), generator=generator).tolist()):
        images[place, :, row : row + 24, column : column + 24] = large[place]
    ink, ground = (torch.rand(count, channels, 1, 1, generator=generator) * 0.2 for _ in range(2))
    images = ground + (0.5 + ink) * images + 0.04 * torch.randn(count, channels, SIZE, SIZE, generator=generator)
    images = images.mul(255).round().div(255).clamp(0, 1)  # as they come from a file; some pixels at the bound
    order = torch.randperm(count, generator=generator)
    images, target = images[order], target[order.numpy()]
    split = count - 250
    findings = torch.from_numpy(np.stack([finding(target) for finding in FINDINGS], 1)).float()
    multi = source == "findings"
    labels = findings[:, ATTACKED].long() if multi else torch.from_numpy(target).long()
    learned = findings if multi else labels
    used = slice(0, min(train_images, split))
    classes = len(FINDINGS) if multi else int(labels.max()) + 1
    finding = ATTACKED if multi else None
    return Task(images[used], learned[used], images[split:], labels[split:], classes, finding)


def _tensor(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div(255).contiguous()


def _long(labels: object) -> Tensor:
    return torch.as_tensor(np.asarray(labels)).long()
