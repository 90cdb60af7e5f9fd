"""Images and trained networks that the examples share, each made once per seed.

Training is what costs, so a network is trained when an example first needs it and kept for the others.
"""

import dataclasses
import os
from collections.abc import Callable
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from tests.verdicts.known_failures import networks
from tests.verdicts.known_failures.networks import Attentive, Cnn, Dense, Mixer, Transformer, Winners, initialised
from torch import Tensor, nn
from torch.nn import functional as F

import palpate
from palpate.attacks.norms import random_start, seeded
from palpate.attacks.pgd import pgd
from palpate.data.synthetic.generate import generate

EPSILONS = tuple(level / 255 for level in (1, 2, 4, 8, 16))
TESTED = 64

FINDINGS = (lambda digit: digit % 2 == 0, lambda digit: digit >= 5, lambda digit: np.isin(digit, (0, 6, 8, 9)))
"""Three findings of a digit: even, large, with a loop."""

ATTACKED = 1
"""The finding that is attacked."""


def real_folder() -> Path | None:
    """The folder that holds PneumoniaMNIST, if there is one."""
    folder = Path(os.environ.get("PALPATE_DATA") or Path(__file__).parents[4] / "shared" / "data")
    return folder if (folder / "medmnist" / "pneumoniamnist.npz").is_file() else None


@dataclasses.dataclass(frozen=True)
class Task:
    """Images (n, C, 28, 28) in [0, 1] and labels, to learn from and to test on.

    Attributes:
        train_y: classes (n,), or findings (n, F).
        x, y: the tested images, their classes or attacked findings.
        classes: K, or F of a multi-label task.
        finding: the attacked finding of a multi-label task.
    """

    train_x: Tensor
    train_y: Tensor
    x: Tensor
    y: Tensor
    classes: int
    finding: int | None = None


class Trained:
    """A task and networks of one seed.

    Args:
        seed: of every first weight and every order; the images are the same for all seeds.
        source: "skin" (synthetic, two classes, three channels), "digits7" (seven classes, colours), "digits10" (ten classes, one channel),
            "findings" (three findings of a digit, one of them attacked), or "pneumoniamnist" (needs the real images).
        train_images: how many to learn from.
        epochs: of an ordinary training.
    """

    def __init__(self, seed: int, source: str = "skin", train_images: int = 1500, epochs: int = 8) -> None:
        self.seed, self.source, self.epochs = seed, source, epochs
        self.task = _task(source, train_images)
        self.x, self.y, self.finding = self.task.x, self.task.y, self.task.finding

    def cnn(self, **settings: Any) -> nn.Module:
        """An untrained convolutional network for the task."""
        return Cnn(**{"outputs": self.task.classes, "inputs": self.x.shape[1]} | settings)

    @cached_property
    def plain(self) -> nn.Module:
        return self.learn(self.cnn)

    @cached_property
    def sibling(self) -> nn.Module:
        """The plain network from another seed."""
        return self.learn(self.cnn, offset=1000)

    @cached_property
    def third(self) -> nn.Module:
        """The plain network from a third seed."""
        return self.learn(self.cnn, offset=2000)

    @cached_property
    def smooth(self) -> nn.Module:
        return self.learn(lambda: self.cnn(activation=nn.SiLU))

    @cached_property
    def weak(self) -> nn.Module:
        """A network that has hardly begun to learn."""
        return self.learn(self.cnn, epochs=max(2, self.epochs // 3))

    @cached_property
    def attentive(self) -> nn.Module:
        return self.learn(lambda: Attentive(self.task.classes, self.x.shape[1]))

    @cached_property
    def transformer(self) -> nn.Module:
        return self.learn(lambda: Transformer(self.x.shape[-1], self.task.classes, self.x.shape[1]), rate=2e-3)

    @cached_property
    def dense(self) -> nn.Module:
        return self.learn(lambda: Dense(self.task.classes, self.x.shape[1]))

    @cached_property
    def mixer(self) -> nn.Module:
        return self.learn(lambda: Mixer(self.x.shape[-1], self.task.classes, self.x.shape[1]), rate=2e-3)

    @cached_property
    def winners(self) -> nn.Module:
        return self.learn(lambda: self.cnn(activation=Winners))

    @cached_property
    def one_logit(self) -> nn.Module:
        return self.learn(
            lambda: self.cnn(outputs=1),
            loss=lambda net, x, y: F.binary_cross_entropy_with_logits(net(x)[:, 0], y.float()),
        )

    @cached_property
    def bytes(self) -> nn.Module:
        """A network that learned from images in [0, 255]."""
        return self.learn(self.cnn, loss=lambda net, x, y: self.loss(net(255 * x), y))

    @cached_property
    def normalised(self) -> tuple[nn.Module, nn.Module]:
        """A network that learned from normalised images, and the step that normalises them."""
        mean, deviation = self.task.train_x.mean((0, 2, 3)), self.task.train_x.std((0, 2, 3))
        step = networks.Normalise(mean, deviation)
        return self.learn(self.cnn, loss=lambda net, x, y: self.loss(net(step(x)), y)), step

    @cached_property
    def distilled(self) -> nn.Module:
        """Trained at temperature 100, used at 1 (Papernot et al. 2016, arXiv 1511.04508)."""
        return self.learn(self.cnn, loss=lambda net, x, y: self.loss(net(x) / 100, y), rate=2e-2)

    @cached_property
    def adversarial(self) -> nn.Module:
        """Trained on PGD images (Madry et al. 2018): ε 4/255, three steps, the plain network as a start."""

        def loss(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
            net.eval()
            radius = torch.full((len(x),), 4 / 255, dtype=torch.float64)
            start = random_start(x, radius, [seeded(self.seed, 0, 0)] * len(x))
            single = (
                None if y.ndim == 1 else lambda z, t: F.binary_cross_entropy_with_logits(z, t, reduction="none").sum(1)
            )
            settings = {} if single is None else {"loss": single}
            attacked = pgd(net, x, y, radius, steps=3, start=start, **settings)
            net.train()
            return self.loss(net(attacked), y)

        start = networks.copied(self.plain).requires_grad_(True)
        task = self.task
        return networks.train(start, task.train_x, task.train_y, self.seed, max(2, self.epochs // 2), loss, 3e-3)

    @staticmethod
    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of classes, or of findings."""
        return (
            F.cross_entropy(logits, labels) if labels.ndim == 1 else F.binary_cross_entropy_with_logits(logits, labels)
        )

    def learn(
        self,
        make: Callable[[], nn.Module],
        offset: int = 0,
        epochs: int | None = None,
        loss: networks.Step | None = None,
        rate: float = 5e-3,
    ) -> nn.Module:
        """A network trained from the seed."""
        seed = self.seed + offset
        loss = loss or (lambda net, x, y: self.loss(net(x), y))
        made = initialised(seed, make)
        return networks.train(made, self.task.train_x, self.task.train_y, seed, epochs or self.epochs, loss, rate)


@lru_cache(maxsize=8)
def _task(source: str, train_images: int) -> Task:
    if source in ("digits7", "digits10", "findings"):
        return _digits(source, train_images)
    if source == "pneumoniamnist":
        data = palpate.load("pneumoniamnist", root=real_folder(), size=28)
        count = min(train_images, len(data.train))
        parts = (data.train.images[:count], data.train.labels[:count], data.test.images[:], data.test.labels)
    else:
        train, test = generate(source, train_images, 28, seed=0), generate(source, 120, 28, seed=1)
        parts = (_tensor(train.images), train.labels, _tensor(test.images), test.labels)
    train_x, train_y, x, y = (torch.as_tensor(np.asarray(part)) for part in parts)
    chosen = _balanced(y.long())
    return Task(train_x, train_y.long(), x[chosen], y[chosen].long(), 2)


def _digits(source: str, train_images: int) -> Task:
    """Digits of 8 px (scikit-learn), enlarged, moved, with contrast, colour and noise that differ from image to image."""
    data = load_digits()
    kept = data.target < (7 if source == "digits7" else 10)
    digits, target = torch.from_numpy(data.images[kept]).float().div(16)[:, None], data.target[kept]
    generator = torch.Generator().manual_seed(0)
    count, channels = len(digits), 1 if source == "digits10" else 3
    large = F.interpolate(digits, (24, 24), mode="bilinear", align_corners=False)
    images = torch.zeros(count, 1, 28, 28)
    for place, (row, column) in enumerate(torch.randint(1, 4, (count, 2), generator=generator).tolist()):
        images[place, :, row : row + 24, column : column + 24] = large[place]
    ink, ground = (torch.rand(count, channels, 1, 1, generator=generator) * 0.2 for _ in range(2))
    images = ground + (0.5 + ink) * images + 0.04 * torch.randn(count, channels, 28, 28, generator=generator)
    images = images.mul(255).round().div(255).clamp(0, 1)  # as they come from a file; some pixels at the bound
    order = torch.randperm(count, generator=generator)
    images, target = images[order], target[order.numpy()]
    split = count - 250
    findings = torch.from_numpy(np.stack([finding(target) for finding in FINDINGS], 1)).float()
    multi = source == "findings"
    labels = findings[:, ATTACKED].long() if multi else torch.from_numpy(target).long()
    learned = findings if multi else labels
    chosen = split + _balanced(labels[split:])
    used = slice(0, min(train_images, split))
    classes = len(FINDINGS) if multi else int(labels.max()) + 1
    return Task(images[used], learned[used], images[chosen], labels[chosen], classes, ATTACKED if multi else None)


def _balanced(labels: Tensor) -> Tensor:
    """Places of 64 images, each class about as often as every other."""
    rank = torch.zeros_like(labels)
    for label in labels.unique():
        rank[labels == label] = torch.arange(int((labels == label).sum()))
    return rank.argsort(stable=True)[:TESTED].sort().values


def _tensor(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div(255).contiguous()
